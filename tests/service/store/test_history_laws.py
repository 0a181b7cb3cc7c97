"""What holds of runs after any history of starts, ends and forgetting."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.service.records import Page, RunRecord
from reconciler.service.store import Store
from tests.service.store.records import run

_examples = itertools.count(1)


@dataclass(frozen=True)
class Start:
    project: str


@dataclass(frozen=True)
class End:
    """The newest run of the project ends, if it has one."""

    project: str


@dataclass(frozen=True)
class Forget:
    runs: int
    age: int


projects = st.sampled_from(["a", "b", "c"])
histories = st.lists(
    st.builds(Start, projects)
    | st.builds(End, projects)
    | st.builds(Forget, st.integers(1, 4), st.integers(0, 20)),
    max_size=25,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=histories)
async def test_runs_are_as_a_model_of_lists_says(store: Store, history: list[Start | End | Forget]) -> None:
    # Each example has projects of its own, since the newest runs of earlier ones stay.
    example = next(_examples)
    model: dict[str, list[RunRecord]] = defaultdict(list)
    for at, step in enumerate(history, 1):
        before = await store.pulse()
        match step:
            case Start(project):
                started = run(f"{example}-{at}", project=f"{project}{example}", started_at=float(at))
                await store.start_run(started)
                model[project] = [
                    replace(old, result="interrupted", ended_at=float(at)) if old.result == "running" else old
                    for old in model[project]
                ] + [started]
            case End(project) if model[project]:
                ended = replace(model[project][-1], result="applied", ended_at=float(at))
                await store.end_run(ended)
                model[project][-1] = ended
            case Forget(runs, age):
                older_than = float(at - age)
                await store.forget(runs=runs, older_than=older_than, audit_older_than=0, now=0)
                for project, kept in model.items():
                    newest = kept[-1:]
                    model[project] = [old for old in kept[-runs:-1] if old.started_at >= older_than] + newest
                assert await store.forget(runs=runs, older_than=older_than, audit_older_than=0, now=0) == 0
            case _:
                continue
        assert await store.pulse() >= before
        for project, expected in model.items():
            listed, total = await store.runs(project=f"{project}{example}", page=Page(100))
            assert list(listed) == expected[::-1]
            assert total == len(expected)

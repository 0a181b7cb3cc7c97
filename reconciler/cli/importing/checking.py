"""Would a plan of these files say "No changes"? The same code answers that plans, on files in memory."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from reconciler.cli.importing.manifests import Agent, LeftOut, Shape, Written, unfit, write
from reconciler.cli.importing.target import Target
from reconciler.desired import DesiredProject, load
from reconciler.kinds.kind import Action, Change
from reconciler.kinds.port import Port
from reconciler.kinds.registry import KINDS
from reconciler.loading import Loaded, inputs_of
from reconciler.options import Allow
from reconciler.plan import Plan, Planned
from reconciler.policies import Severity, rules
from reconciler.reconcile import examine
from reconciler.report import ExitCode, ProjectRun, project_report
from reconciler.resource import Done, Key, Live
from reconciler.settings import Settings
from reconciler.snapshot import Snapshot, SourceFile, blob_id

_PIN_CODE = (
    "The zip made from this folder has other bytes than the deployed one, with the same files in it.\n"
    "Remove this line to release the folder as a new version."
)
_PIN_SHAPE = (
    "The live definition has a shape that the service takes no longer.\n"
    "Remove this line to release the definition above as a new version."
)
_PIN_NEWER = (
    "A newer version that was made from Git does not serve.\n"
    "Remove this line to let the newest one that matches this manifest serve."
)


@dataclass(frozen=True)
class Verdict:
    """The plan of one agent's files: clean, or why not. `rules` are policies that would refuse it."""

    clean: bool
    why: str = ""
    fix: str = ""
    rules: tuple[str, ...] = ()


class Recorded:
    """A port to what was read already; more versions are read once, through the real one."""

    def __init__(self, lives: Mapping[Key, Live], port: Port[Any]) -> None:
        self.lives = dict(lives)
        self._port = port

    async def list(self) -> AsyncIterator[Live]:
        for live in self.lives.values():
            yield live

    async def read(self, name: str) -> Live | None:
        return next((live for live in self.lives.values() if live.key.name == name), None)

    async def deepen(self, live: Live, numbers: tuple[str, ...] | None) -> Live:
        self.lives[live.key] = deeper = await self._port.deepen(live, numbers)
        return deeper

    async def download_code(self, name: str, number: str) -> bytes:
        return await self._port.download_code(name, number)

    async def do(self, key: Key, call: Any) -> Done:
        raise AssertionError("an import writes nothing to the service")

    async def settled(self, key: Key, call: Any) -> Done | None:
        raise AssertionError("an import writes nothing to the service")


@dataclass
class Checker:
    """Finds the plainest manifest of each agent that plans as no change.

    `lenient` collects the policies that refuse agents which are live already; a fresh Project gets them as
    warnings.
    """

    target: Target
    settings: Settings
    lenient: dict[str, str] = field(default_factory=dict)

    async def written(self, agent: Agent, port: Recorded) -> Written | LeftOut:
        """The files of an agent, or why it has none."""
        refused = unfit(agent)
        if refused is not None:
            return refused
        verdict = Verdict(False)
        for shape in shapes(agent):
            found = write(agent, shape)
            if isinstance(found, LeftOut):
                return found
            verdict = await self.verdict(agent, found, port)
            if not verdict.clean and verdict.rules and self.target.fresh:
                self.lenient |= dict.fromkeys(verdict.rules, "warn")
                verdict = await self.verdict(agent, found, port)
            if verdict.clean:
                return found
        return LeftOut(agent.name, verdict.why, verdict.fix)

    async def verdict(self, agent: Agent, found: Written, port: Recorded) -> Verdict:
        """What a plan of one agent's files says."""
        loaded = self._loaded({f"{self.target.prefix}{path}": data for path, data in found.files.items()})
        project = next(one for one in loaded.projects if one.project.name == self.target.name)
        key = Key(self.target.name, agent.live.key.kind, agent.name)
        problems = [problem for problem in project.problems if problem.place.file.endswith(found.manifest)]
        if problems:
            first = problems[0]
            why = f"{first.path}: {first.message}".removeprefix(": ")
            return Verdict(False, why, first.hint or "Mend it in the portal, or write its manifest by hand.")
        if key not in {desired.key for desired in project.resources}:
            why = f"the Project `{self.target.name}` would not take {found.manifest}"
            return Verdict(False, why, "Check its `resources` and `selector`.")
        live = {key: port.lives[agent.live.key]}
        plan = await examine(
            inputs_of(loaded, _only(project, key), Allow()), {key.kind: Recorded(live, port)}
        )
        return judged(plan, key)

    def _loaded(self, files: Mapping[str, bytes]) -> Loaded:
        target = self.target.with_policies(self.lenient) if self.lenient else self.target
        snapshot = in_memory({target.file: target.text, **files}, target.origin)
        projects = load(snapshot, environ=os.environ, kinds=KINDS, projects=(target.name,))
        return Loaded(snapshot, projects, self.settings, "")


def shapes(agent: Agent) -> tuple[Shape, ...]:
    """The shapes to try, plainest first. A pin compares nothing, so it is only for what cannot be equal."""
    plain = (Shape(), Shape(lenient=True))
    base, latest = agent.base, agent.live.latest
    if len(agent.live.traffic) > 1 or base is None or latest is None:
        return plain
    why = _PIN_CODE if agent.code else _PIN_SHAPE if agent.is_old_shape else ""
    if not why and base.number != latest.number:
        why = _PIN_NEWER
    if not why:
        return plain
    return (*plain, Shape(pinned=True, why=why), Shape(lenient=True, pinned=True, why=why))


def in_memory(files: Mapping[str, bytes], origin: str) -> Snapshot:
    """A source that is nowhere on disk."""

    def look(file: SourceFile) -> tuple[str, int]:
        return blob_id(files[file.path]), len(files[file.path])

    listed = {path: SourceFile(path, look=look) for path in sorted(files)}
    return Snapshot(root="memory", files=listed, reader=lambda file: files[file.path], origin=origin)


def _only(project: DesiredProject, key: Key) -> DesiredProject:
    own = tuple(desired for desired in project.resources if desired.key == key)
    return replace(project, resources=own, problems=(), invalid=(), narrowed=True)


def judged(plan: Plan, key: Key) -> Verdict:
    """Whether `plan` would exit 0, and the first reason why not."""
    run = ProjectRun(plan.project, plan.endpoint, plan)
    if project_report("plan", run, int(time.time())).exit_code is ExitCode.DONE:
        return Verdict(True)
    refusals = [verdict for verdict in plan.verdicts if verdict.severity is Severity.REFUSE]
    if refusals:
        broken = tuple(sorted({verdict.rule for verdict in refusals} & set(rules())))
        first = refusals[0]
        fix = f"{first.hint} Or set `policies: {{{first.rule}: warn}}` in the Project, and import again."
        return Verdict(False, first.message, fix if broken else first.hint, broken)
    change = next((planned.change for planned in plan.planned if planned.key == key), None)
    return Verdict(False, *_difference(change))


def clean(plan: Plan, planned: Planned) -> bool:
    """Whether a plan of many agents would leave this one alone."""
    own = tuple(verdict for verdict in plan.verdicts if verdict.key == planned.key)
    seen = planned.change.desired is not None
    return seen and judged(replace(plan, planned=(planned,), verdicts=own), planned.key).clean


def _difference(change: Change | None) -> tuple[str, str]:
    if change is None:
        return "a plan does not see it", "Report this with the agent's definition."
    paths = ", ".join(dict.fromkeys(f"`{diff.path}`" for diff in change.fields)) or f"`{change.reason}`"
    what = "the traffic" if change.held or change.action is Action.MOVE else paths
    return f"a plan of its manifest would still change {what}", "Write its manifest by hand."

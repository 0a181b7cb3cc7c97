"""The checker lets a good run pass and names what is wrong with each bad one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.soak.checker import STALE_S, check
from tests.soak.evidence import (
    CREATE,
    DELETE,
    PATCH,
    RETIRE,
    Agent,
    Evidence,
    Push,
    Span,
    Traffic,
    Version,
    Write,
    writes_of,
)

OWNER = "soak#prod"
ONE, TWO = "soak-r1.1", "soak-r2.1"


def mark(base: int, name: str = "desk", owner: str = OWNER) -> dict[str, str]:
    return {"owner": owner, "for": f"Agent/{name}", "base": str(base)}


def wants(*names: str, at: float = 0.0, changed: tuple[str, ...] = (), broken: bool = False) -> Push:
    bad = frozenset({"prod"}) if broken else frozenset[str]()
    return Push(at, at + 0.5, {"prod": frozenset(names)}, {"prod": frozenset(changed)}, bad)


def write(action: str, at: float, *, client: str = ONE, name: str = "desk", **more) -> Write:
    return Write("prod", name, action, at, at + 0.1, client=client, **more)


def good() -> Evidence:
    """A hosted agent gets a second version by a commit: pinned, made, moved when it was active."""
    return Evidence(
        {"prod": OWNER},
        [
            write(CREATE, 10.0),
            write(PATCH, 20.0),
            write(CREATE, 20.2),
            write(PATCH, 25.0),
        ],
        [Agent(1, "prod", "desk", "hosted", 10.05)],
        [
            Version(1, "1", 10.05, settles_at=11.0, mark=mark(0)),
            Version(1, "2", 20.25, settles_at=24.0, mark=mark(1)),
        ],
        [Traffic(1, 10.05), Traffic(1, 20.05, (("1", 100),)), Traffic(1, 25.05, (("2", 100),))],
        [wants("desk", at=5.0, changed=("desk",)), wants("desk", at=19.0, changed=("desk",))],
    )


def found(evidence: Evidence) -> list[tuple[str, str]]:
    return [(finding.rule, finding.text) for finding in check(evidence).findings]


def test_a_good_run_passes_and_is_counted():
    verdict = check(good())
    assert verdict.findings == []
    assert verdict.counts["writes: create"] == 2
    assert verdict.counts["writes: patch"] == 2
    assert verdict.counts["traffic set"] == 2
    assert verdict.counts["versions made"] == 2
    assert verdict.counts["commits of agents"] == 2


def more(*writes: Write) -> Callable[[Evidence], Evidence]:
    return lambda run: replace(run, writes=sorted([*run.writes, *writes], key=lambda one: one.at))


def stranger(run: Evidence) -> Evidence:
    """Another agent that somebody else made, without any mark."""
    return replace(
        run,
        agents=[*run.agents, Agent(2, "prod", "theirs", "prompt", 1.0)],
        versions=[*run.versions, Version(2, "1", 1.0)],
    )


def marked(mark_: dict[str, str]) -> Callable[[Evidence], Evidence]:
    """The same with such a mark on it."""
    return lambda run: replace(stranger(run), versions=[*run.versions, Version(2, "1", 1.0, mark=mark_)])


def pushed(*pushes: Push) -> Callable[[Evidence], Evidence]:
    return lambda run: replace(run, pushes=[*run.pushes, *pushes])


def spans(*spans_: Span) -> Callable[[Evidence], Evidence]:
    return lambda run: replace(run, spans=[*run.spans, *spans_])


def but(**changes) -> Callable[[Evidence], Evidence]:
    return lambda run: replace(run, **changes)


def deleted(at: float, by: Write) -> Callable[[Evidence], Evidence]:
    """The agent is gone since then."""

    def change(run: Evidence) -> Evidence:
        return more(by)(replace(run, agents=[replace(run.agents[0], deleted_at=at + 0.05)]))

    return change


BAD = [
    pytest.param(
        [more(write(CREATE, 30.0, name="other"))], "owned", "nobody wanted it", id="unwanted-create"
    ),
    pytest.param(
        [stranger, more(write(PATCH, 30.0, name="theirs"))],
        "owned",
        "it is not ours, and Git does not want it",
        id="patch-of-a-stranger",
    ),
    pytest.param(
        [stranger, more(write(DELETE, 30.0, name="theirs"))],
        "owned",
        "it carries no mark of ours",
        id="delete-of-a-stranger",
    ),
    pytest.param(
        [
            marked(mark(0, "theirs", "others#prod")),
            pushed(wants("theirs", at=21.0)),
            more(write(CREATE, 22.0, name="theirs")),
        ],
        "owned",
        "it is somebody else's",
        id="another-owner-although-wanted",
    ),
    pytest.param(
        [marked(mark(0, "desk")), more(write(DELETE, 30.0, name="theirs"))],
        "owned",
        "it carries no mark of ours",
        id="a-copied-mark-names-another-agent",
    ),
    pytest.param(
        [marked(mark(4, "theirs")), more(write(DELETE, 30.0, name="theirs"))],
        "owned",
        "it carries no mark of ours",
        id="a-copied-mark-sits-on-another-number",
    ),
    pytest.param(
        [deleted(30.0, write(DELETE, 30.0))], "owned", "Git wants it", id="delete-of-what-git-wants"
    ),
    pytest.param(
        [pushed(wants(at=29.0)), deleted(29.2 - STALE_S, write(DELETE, 29.2 - STALE_S))],
        "owned",
        "Git wants it",
        id="delete-before-git-removed-it",
    ),
    pytest.param(
        [pushed(wants(at=29.0, broken=True)), deleted(45.0, write(DELETE, 45.0))],
        "owned",
        "Git wants it",
        id="delete-by-a-broken-commit",
    ),
    pytest.param(
        [pushed(wants(at=29.0)), more(write(CREATE, 30.0 + STALE_S, name="late"))],
        "owned",
        "nobody wanted it",
        id="create-by-nobody",
    ),
    pytest.param(
        [more(write(RETIRE, 30.0, version="2"))], "owned", "version 2 serves", id="retire-what-serves"
    ),
    pytest.param(
        [
            but(versions=[*good().versions, Version(1, "3", 26.0)]),
            more(write(RETIRE, 30.0, version="3")),
        ],
        "owned",
        "version 3 is not ours",
        id="retire-of-a-foreign-version",
    ),
    pytest.param(
        [
            but(traffic=[Traffic(1, 10.05), Traffic(1, 20.05, (("1", 100),))]),
            more(write(RETIRE, 30.0, version="2")),
        ],
        "owned",
        "version 2 is the newest",
        id="retire-of-the-newest",
    ),
    pytest.param(
        [but(versions=[good().versions[0], replace(good().versions[1], settles_at=26.0)])],
        "served",
        "version 2 was not active",
        id="traffic-to-what-has-not-started",
    ),
    pytest.param(
        [but(versions=[good().versions[0], replace(good().versions[1], outcome="failed")])],
        "served",
        "version 2 was not active",
        id="traffic-to-what-failed",
    ),
    pytest.param(
        [but(traffic=[Traffic(1, 10.05)], writes=[good().writes[0], good().writes[2]])],
        "served",
        "the version served before it had started",
        id="made-without-a-pin",
    ),
    pytest.param(
        [but(pushes=[good().pushes[0], wants("desk", at=19.0)])],
        "counted",
        "prod/desk got 2 versions from us: 1 commits, 0 outside edits, 0 races",
        id="a-version-too-many",
    ),
    pytest.param(
        [more(replace(write(CREATE, 19.9, client=TWO), ended_at=20.5))],
        "apart",
        "while soak-r2.1: create prod/desk",
        id="two-at-once",
    ),
    pytest.param(
        [
            spans(Span("disturbed", 15.0, 16.0, process=TWO)),
            more(replace(write(CREATE, 19.9, client=TWO), ended_at=20.5)),
        ],
        "apart",
        "while soak-r2.1: create prod/desk",
        id="two-at-once-long-after-a-kill",
    ),
    pytest.param(
        [spans(Span("suspended", 15.0, 30.0, "prod"))],
        "suspended",
        "the Project is suspended",
        id="suspended",
    ),
    pytest.param(
        [spans(Span("observed", 1.0, project="prod"))], "observed", "the Project is observed", id="observed"
    ),
    pytest.param(
        [spans(Span("pinned", 15.0, 60.0, "prod", "desk", "1"))],
        "pinned",
        "it was rolled back to version 1",
        id="a-rollback-that-does-not-hold",
    ),
    pytest.param(
        [but(pushes=[good().pushes[0], wants("desk", at=8.0, broken=True)])],
        "broken",
        "the manifests are broken",
        id="written-while-broken",
    ),
]


@pytest.mark.parametrize(("changes", "rule", "text"), BAD)
def test_a_bad_run_is_caught(changes, rule, text):
    run = good()
    for change in changes:
        run = change(run)
    assert any(one == rule and text in said for one, said in found(run)), found(run)


FINE = [
    pytest.param(
        [pushed(wants(at=29.0)), deleted(30.0, write(DELETE, 30.0))], id="delete-of-what-git-removed"
    ),
    pytest.param(
        [
            pushed(wants("desk", "brief", at=29.0), wants("desk", at=40.0)),
            more(write(CREATE, 41.0, name="brief")),
        ],
        id="a-commit-that-was-replaced-just-now",
    ),
    pytest.param(
        [stranger, pushed(wants("desk", "theirs", at=29.0)), more(write(PATCH, 31.0, name="theirs"))],
        id="an-agent-that-git-adopts",
    ),
    pytest.param([more(write(RETIRE, 30.0, version="1"))], id="an-old-version-retired"),
    pytest.param(
        [deleted(30.0, write(DELETE, 30.0, client="")), more(write(DELETE, 31.0, status=404))], id="gone"
    ),
    pytest.param(
        [
            spans(Span("disturbed", 20.0, 21.0, process=TWO)),
            more(replace(write(CREATE, 19.9, client=TWO), ended_at=20.5)),
        ],
        id="an-answer-under-way-when-the-first-was-killed",
    ),
    pytest.param(
        [
            spans(Span("disturbed", 20.0, 21.0, process="*")),
            more(replace(write(CREATE, 19.9, client=TWO), ended_at=20.5)),
        ],
        id="an-answer-under-way-when-the-database-went",
    ),
    pytest.param(
        [
            but(pushes=[good().pushes[0], wants("desk", at=19.0)]),
            more(replace(write(CREATE, 19.0), ended_at=float("inf"))),
        ],
        id="a-version-whose-answer-was-lost",
    ),
    pytest.param([spans(Span("suspended", 30.0, 40.0, "prod"))], id="suspended-later"),
    pytest.param([spans(Span("pinned", 1.0, 19.0, "prod", "desk", "1"))], id="a-rollback-that-is-over"),
]


@pytest.mark.parametrize("changes", FINE)
def test_what_looks_bad_and_is_not_passes(changes):
    run = good()
    for change in changes:
        run = change(run)
    assert found(run) == []


def test_requests_become_writes_with_the_process_that_sent_them():
    def entry(method: str, path: str, client: str = "reconciler/1 soak-r2.3 Python/3") -> dict:
        path = f"/api/projects/prod/{path}?api-version=v1"
        return {"method": method, "path": path, "at": 1.0, "ended_at": None, "status": None, "client": client}

    log = [
        entry("GET", "agents/desk"),
        entry("POST", "agents/desk/versions"),
        entry("PATCH", "agents/desk"),
        entry("POST", "agents/desk:disable"),
        entry("DELETE", "agents/desk/versions/3", "soak-driver"),
        entry("DELETE", "agents/d%C3%A9sk"),
        entry("POST", "agents/desk/endpoint/protocols/openai/responses"),
    ]
    writes = [(one.action, one.name, one.version, one.client) for one in writes_of(log, "soak-r")]
    assert writes == [
        (CREATE, "desk", "", "soak-r2.3"),
        (PATCH, "desk", "", "soak-r2.3"),
        ("switch", "desk", "", "soak-r2.3"),
        (RETIRE, "desk", "3", ""),
        (DELETE, "désk", "", "soak-r2.3"),
    ]

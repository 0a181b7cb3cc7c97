"""Every page: what it says, to whom, how fast and how large, and that nobody can write into it."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import pytest

from reconciler.service.auth.headers import POLICY
from reconciler.service.records import (
    EventRecord,
    Health,
    ProjectRecord,
    ResourceRecord,
    RunRecord,
    SourceRecord,
)
from reconciler.service.store import StoreDown
from tests.service.web import seed
from tests.service.web.front import Front, front
from tests.service.web.html import Read

PAGES: Final = (
    "/",
    "/?health=failed",
    "/?search=nothing-is-called-so",
    "/projects/prod",
    "/projects/prod?search=team%3Dsupport&page=1",
    "/projects/prod/graph",
    "/projects/prod/runs",
    "/projects/prod/events?severity=error",
    "/projects/demo",
    "/projects/demo/graph",
    "/projects/sales-eu",
    "/projects/sales-us",
    "/projects/research",
    "/projects/archive",
    "/projects/prod/Agent/support-triage",
    "/projects/prod/Agent/support-router",
    "/projects/prod/Agent/invoice-reader",
    "/projects/prod/Agent/refund-clerk",
    "/projects/prod/Agent/playground",
    "/runs",
    "/runs/run-prod",
    "/runs/run-dev",
    "/runs/run-001",
    "/events",
    "/audit",
    "/projects/prod/do/sync",
    "/projects/prod/do/suspend",
    "/projects/sales-eu/do/resume",
    "/projects/sales-us/do/approve",
    "/projects/prod/do/approve",
    "/projects/prod/do/rollback?resource=Agent/support-triage&version=7",
    "/projects/prod/do/unpin?resource=Agent/support-router",
)


async def test_every_page_is_whole_and_runs_nothing_of_its_own(local: Front):
    for path in PAGES:
        answer = await local.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["cache-control"] == "no-store"
        read = Read(answer.text)
        assert read.faults == [], path
        for tag, attributes in read.elements:
            assert tag != "style", path
            assert "style" not in attributes, (path, tag)
            assert not any(name.startswith("on") or name.startswith("hx-on") for name in attributes), (
                path,
                tag,
            )
            for name in ("href", "src", "action"):
                # Files and pages of ours only; nothing comes from elsewhere.
                assert attributes.get(name, "/").startswith(("/", "#")), (path, attributes)
            if tag == "script":
                assert attributes["src"].startswith("/static/"), path
        assert len(answer.content) < 150_000, path


@pytest.mark.parametrize("path", PAGES)
async def test_what_changes_is_fetched_as_a_piece(local: Front, path: str):
    answer = await local.get(path, **{"HX-Request": "true"})
    assert answer.status_code == 200
    assert "<html" not in answer.text
    if "/do/" not in path:
        assert Read(answer.text).elements[0] == (
            "div",
            {"id": "live", "hx-get": path, "hx-trigger": "pulse from:#stream", "hx-swap": "outerMorph"},
        )
        assert answer.headers["vary"] == "HX-Request"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (
            "/",
            ("11 Projects, 1 failed", "Source research is stale", "signed by nobody", "stale for 2 h 15 min"),
        ),
        (
            "/",
            ("Nothing is deleted meanwhile", "Suspended", "Asks for approval", "1 rollback", "Gone from Git"),
        ),
        (
            "/projects/prod",
            ("1 agent failed, 1 drifted", "Done in part", "rolled back to version 11", "INC-4711"),
        ),
        ("/projects/prod", ("Enforces, every 5 min", "1–50 of 64 resources", "version 4 failed")),
        ("/projects/sales-eu", ("mira@contoso.com stopped all writes 2 h ago : Holiday sale",)),
        ("/projects/sales-us", ("lets through, once: deletions beyond the limit", "after 3 failures")),
        ("/projects/archive", ("no longer in source agents", "nothing was deleted")),
        ("/projects/legal", ("Observes only",)),
        ("/projects/research", ("Source research is stale", "This Project keeps commit c3d8a5f2")),
        ("/projects/prod/graph", ("support-router uses Model/gpt-5-mini", "Without references")),
        ("/projects/prod/Agent/support-triage", ("Version 7 Serves 90 %", "Portal or another tool", "90 %")),
        (
            "/projects/prod/Agent/support-triage",
            ("Reconciler 4 d ago", "Unknown author", "carries a copied mark"),
        ),
        ("/projects/prod/Agent/support-triage", ("add version 9", "Agent/support-router", "team=support")),
        ("/projects/prod/Agent/invoice-reader", ("Version 4 did not start", "AcrPull", "Failed to start")),
        ("/projects/prod/Agent/invoice-reader", ("wait until version 4 is active", "Request 5b1f0c3e")),
        (
            "/projects/sales-us/Agent/finance-answers",
            ("The plan of the Project is refused", "12 deletions are more", "the plan is to delete it"),
        ),
        ("/projects/prod/Agent/refund-clerk", ("secret-in-version", "Use a connection")),
        ("/projects/prod/Agent/playground", ("No manifest names this agent", "reconciler import")),
        ("/projects/prod/Agent/sales-audit", ("Live equals Git.", "the service has no such agent now")),
        (
            "/runs/run-prod",
            ("image_pull_failed", "the model gpt-4o retires", "a new commit", "reconciler-7d9f-1"),
        ),
        ("/runs/run-dev", ("The run goes on.", "still running")),
        ("/events", ("Agent/invoice-reader: version 4 failed", "source research")),
        ("/audit", ("Denied", "action: approve", "Routes returns to billing")),
    ],
)
async def test_a_page_says_what_there_is_to_know(local: Front, path: str, said: tuple[str, ...]):
    text = Read((await local.get(path)).text).said
    for words in said:
        assert words.casefold() in text.casefold(), words


async def test_a_configuration_that_was_refused_is_on_the_first_page(local: Front):
    local.deps.configured.rejected = ("service.yaml:12:5: sources.1.ref: expected text",)
    local.deps.configured.rejected_at = seed.NOW - 60
    text = Read((await local.get("/")).text).said
    assert "The new configuration does not hold" in text
    assert "service.yaml:12:5: sources.1.ref: expected text" in text
    assert "the service goes on as configured 1 d ago" in text


async def test_a_page_fetches_itself_again_under_its_own_address(empty: Front):
    name = "a b?c%2f#d"
    await empty.store.put_project(ProjectRecord("prod", "agents"))
    await empty.store.put_resources("prod", [ResourceRecord("prod", f"Agent/{name}", Health.UNMANAGED)], ())
    path = f"/projects/prod/Agent/{quote(name, safe='')}"
    for _ in range(2):
        answer = await empty.get(path)
        assert answer.status_code == 200
        path = next(part["hx-get"] for part in Read(answer.text).of("div") if part.get("id") == "live")


async def test_an_empty_service_says_how_it_fills(empty: Front):
    assert "No Project yet." in (await empty.get("/")).text
    for path in ("/runs", "/events", "/audit"):
        assert (await empty.get(path)).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/nowhere", 404, "Nothing is at /nowhere"),
        ("/projects/prd", 404, "There is no Project"),
        ("/projects/prd", 404, "prod"),
        ("/projects/prod/Agent/nope", 404, "has no resource"),
        ("/projects/prod/Agent/%2e%2e%2f%2e%2e", 404, "has no resource"),
        ("/runs/nope", 404, "There is no run"),
        ("/projects/prod/do/explode", 404, "Choose one of sync"),
        ("/projects/prod/do/sync/", 404, "has no resource"),
        ("/static/0/nothing.js", 404, "There is no such file"),
    ],
)
async def test_what_is_not_there_says_so(local: Front, path: str, status: int, said: str):
    answer = await local.get(path)
    assert answer.status_code == status
    assert said in Read(answer.text).said


async def test_a_page_outside_of_ones_scope_is_not_there(guarded: Front):
    assert (await guarded.get("/projects/prod", "viewer")).status_code == 200
    for path in (
        "/projects/finance",
        "/projects/finance/graph",
        "/projects/finance/Agent/x",
        "/runs/run-dev",
    ):
        assert (await guarded.get(path, "viewer")).status_code == 404, path
    first = Read((await guarded.get("/", "viewer")).text).said
    assert "prod" in first
    for other in ("finance", "sales-us", "research"):
        assert other not in first
        for path in ("/runs", "/events", "/audit"):
            assert other not in Read((await guarded.get(path, "viewer")).text).said


async def test_nobody_sees_anything_before_signing_in(guarded: Front):
    for path in (*PAGES, "/nowhere", "/stream"):
        answer = await guarded.get(path)
        assert answer.status_code in (303, 404), path
        assert "prod" not in Read(answer.text).said
    piece = await guarded.get("/projects/prod", **{"HX-Request": "true"})
    assert (piece.status_code, piece.headers["hx-redirect"]) == (401, "/auth/sign-in?next=%2Fprojects%2Fprod")


async def test_the_old_address_of_the_sign_in_page_leads_there(guarded: Front):
    answer = await guarded.get("/sign-in")
    assert (answer.status_code, answer.headers["location"]) == (303, "/auth/sign-in")


async def test_a_store_that_is_down_is_said_and_not_a_traceback(
    local: Front, monkeypatch: pytest.MonkeyPatch
):
    async def down(*args: Any, **more: Any) -> None:
        raise StoreDown("the database does not answer", hint="It is asked again; load the page in a minute.")

    monkeypatch.setattr(local.store, "pulse", down)
    answer = await local.get("/projects/prod")
    assert answer.status_code == 503
    text = Read(answer.text).said
    assert "The database does not answer." in text
    assert "load the page in a minute" in text


async def test_a_page_that_breaks_says_nothing_of_why(local: Front, monkeypatch: pytest.MonkeyPatch):
    async def broken(*args: Any, **more: Any) -> None:
        raise RuntimeError("secret-of-the-inside")

    monkeypatch.setattr(local.store, "projects", broken)
    answer = await local.get("/")
    assert answer.status_code == 500
    assert "The page could not be made." in answer.text
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-store"
    assert "secret-of-the-inside" not in answer.text
    assert "Traceback" not in answer.text


HOSTILE: Final = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'{{7*7}}\x00\x1b[2J\u202egpj"
# A NUL in an address is refused before anything looks at it.
TYPED: Final = HOSTILE.replace("\x00", "")


async def test_hostile_text_stays_text_wherever_it_is_shown(empty: Front):
    store = empty.store
    await store.put_source(
        SourceRecord(
            HOSTILE, "javascript:alert(1)", HOSTILE, error=HOSTILE, hint=HOSTILE, problems=(HOSTILE,)
        )
    )
    conditions = (
        {"type": HOSTILE, "status": HOSTILE, "reason": HOSTILE, "message": HOSTILE, "time": HOSTILE},
    )
    project = ProjectRecord(
        "evil",
        HOSTILE,
        endpoint="javascript:alert(1)",
        reason=HOSTILE,
        revision=HOSTILE,
        wanted=HOSTILE,
        asks=HOSTILE,
        digest=HOSTILE,
        conditions=conditions,
        resources=1,
        summary={"health:failed": 1},
    )
    await store.put_project(project)
    field = {"op": HOSTILE, "path": HOSTILE, "desired": {HOSTILE: HOSTILE}, "live": HOSTILE}
    change = {
        "action": HOSTILE,
        "reason": HOSTILE,
        "fields": [field],
        "steps": {"now": [HOSTILE], "later": [HOSTILE]},
        "notes": [HOSTILE],
        "drift": [{"what": HOSTILE, "by": HOSTILE, "at": HOSTILE, "version": HOSTILE, "fields": [field]}],
    }
    outcome = {
        "step": HOSTILE,
        "outcome": HOSTILE,
        "note": HOSTILE,
        "hint": HOSTILE,
        "error": [HOSTILE],
        "request_id": HOSTILE,
    }
    verdict = {"severity": HOSTILE, "rule": HOSTILE, "message": HOSTILE, "hint": HOSTILE, "place": HOSTILE}
    detail = {"change": change, "outcomes": [outcome], "verdicts": [verdict], "conditions": list(conditions)}
    row = ResourceRecord(
        "evil",
        f"Agent/{HOSTILE}",
        Health.FAILED,
        reason=HOSTILE,
        serving=f"{HOSTILE}:50,2:50",
        latest=HOSTILE,
        definition_kind=HOSTILE,
        place=HOSTILE,
        labels={HOSTILE: HOSTILE},
        references=(HOSTILE, f"Agent/{HOSTILE}2"),
        detail=detail,
    )
    await store.put_resources("evil", [row], ())
    report = {
        "changes": [change | {"key": f"evil/Agent/{HOSTILE}"}],
        "outcomes": [outcome],
        "verdicts": [verdict],
        "conditions": list(conditions),
        "failed": {"messages": [HOSTILE], "hint": HOSTILE, "problems": [{"file": HOSTILE}]},
    }
    await store.end_run(
        RunRecord(
            "run-1", "evil", HOSTILE, (HOSTILE,), HOSTILE, 1.0, 2.0, HOSTILE, replica=HOSTILE, report=report
        )
    )
    await store.add_events(
        [
            EventRecord(
                1.0, HOSTILE, HOSTILE, "evil", HOSTILE, resource=f"Agent/{HOSTILE}", hint=HOSTILE, run=HOSTILE
            )
        ]
    )
    kept = (await store.resources("evil"))[0][0].resource

    for path in (
        "/",
        "/projects/evil",
        "/projects/evil/graph",
        "/projects/evil/runs",
        "/projects/evil/events",
        f"/projects/evil/Agent/{quote(kept.removeprefix('Agent/'), safe='')}",
        "/runs",
        "/runs/run-1",
        "/events",
        f"/?search={quote(TYPED)}&health={quote(TYPED)}",
        f"/projects/evil?kind={quote(TYPED)}",
        f"/events?resource={quote(TYPED)}",
        "/projects/evil/do/approve",
        f"/projects/evil/do/rollback?resource={quote(TYPED)}&version={quote(TYPED)}&why={quote(TYPED)}",
        f"/{quote(TYPED)}",
    ):
        answer = await empty.get(path)
        assert answer.status_code in (200, 404), path
        read = Read(answer.text)
        assert read.faults == [], path
        assert read.of("img") == []
        assert all(script.get("src", "").startswith("/static/") for script in read.of("script"))
        assert not any("onerror" in attributes for _, attributes in read.elements)
        assert not any(attributes.get("href", "").startswith("javascript") for _, attributes in read.elements)
        for char in ("\x00", "\x1b", "\u202e"):
            assert char not in answer.text, path


@pytest.fixture
async def large(tmp_path: Path) -> Any:
    """A Project of 10,000 agents, a tenth of them with references, and 100 Projects beside it."""
    async with front(tmp_path) as made:
        await made.store.put_source(
            SourceRecord("agents", "https://git.example.com/agents.git", good=seed.HEAD)
        )
        for index in range(100):
            await made.store.put_project(
                ProjectRecord(
                    f"p{index:03d}",
                    "agents",
                    health=Health.IN_SYNC,
                    resources=100,
                    revision=seed.HEAD,
                    summary={"health:in-sync": 100},
                )
            )
        await made.store.put_project(
            ProjectRecord("large", "agents", health=Health.DRIFTED, resources=10_000)
        )
        rows = [
            ResourceRecord(
                "large",
                f"Agent/agent-{index:05d}",
                Health.DRIFTED if index % 1000 == 0 else Health.IN_SYNC,
                serving="7",
                latest="7",
                definition_kind="prompt",
                labels={"team": f"team-{index % 40}"},
                references=(f"Agent/agent-{index // 10:05d}",) if index % 10 == 1 else (),
                changed_at=seed.NOW - index,
                detail={"change": seed.DRIFT} if index % 1000 == 0 else {},
            )
            for index in range(10_000)
        ]
        await made.store.put_resources("large", rows, ())
        yield made


async def test_pages_of_10000_agents_are_small_and_made_in_100_ms(large: Front, record_property: Any):
    pages = {
        "first": "/",
        "project": "/projects/large",
        "last page": "/projects/large?page=200",
        "by name": "/projects/large?sort=name&page=100",
        "by kind": "/projects/large?kind=prompt&page=100",
        "search": "/projects/large?search=agent-0777",
        "by label": "/projects/large?search=team%3Dteam-7&health=drifted",
        "graph": "/projects/large/graph",
        "agent": "/projects/large/Agent/agent-00000",
    }
    counts = []
    for name, path in pages.items():
        took = []
        for _ in range(5):
            started = time.perf_counter()
            answer = await large.get(path)
            took.append(time.perf_counter() - started)
        assert answer.status_code == 200
        assert len(answer.content) < 150_000, name
        counts.append(f"{name} {statistics.median(took) * 1000:.0f} ms {len(answer.content) // 1000} kB")
        # The aim is 0.1 s; a machine that is busy with other tests may take a few times as long.
        assert min(took) < (0.4 if name != "graph" else 0.8), counts
    record_property("counts", f"dashboard of 10,000 agents: {', '.join(counts)}")


async def test_paging_reaches_every_agent_once(large: Front):
    seen: list[str] = []
    path = "/projects/large?health=drifted"
    answer = Read((await large.get(path)).text)
    seen += [link["href"] for link in answer.of("a") if link.get("class") == "cover"]
    assert len(seen) == 10
    numbers = []
    for number in (1, 2, 199, 200, 201, 10**7):
        read = Read((await large.get(f"/projects/large?page={number}")).text)
        numbers.append(sum(link.get("class") == "cover" for link in read.of("a")))
    assert numbers == [50, 50, 50, 50, 0, 0]
    for strange in ("0", "-1", "x", "", "9" * 400, "٣"):
        assert (await large.get(f"/projects/large?page={strange}")).status_code == 200


async def test_a_project_that_fails_again_says_how_often(local: Front):
    row = await local.store.project("stage")
    assert row is not None
    await local.store.put_project(replace(row, failures=4))
    assert "4 failures in a row" in Read((await local.get("/")).text).said


@pytest.mark.parametrize(
    ("path", "first"),
    [
        pytest.param("/", ["prod", "sales-us", "research"], id="projects"),
        pytest.param("/?sort=name", ["archive", "demo", "dev"], id="projects-by-name"),
        pytest.param("/projects/prod", ["invoice-reader", "refund-clerk", "support-triage"], id="agents"),
        pytest.param(
            "/projects/prod?sort=name",
            ["copy-of-support-triage", "finance-answers", "finance-answers-2"],
            id="agents-by-name",
        ),
    ],
)
async def test_lists_begin_with_what_is_broken(local: Front, path: str, first: list[str]):
    read = Read((await local.get(path)).text)
    links = [link["href"] for link in read.of("a") if link.get("class") == "cover"]
    assert [link.rpartition("/")[2] for link in links[:3]] == first
    assert read.faults == []


async def test_the_order_of_a_list_holds_on_its_next_page(local: Front):
    for path, expected in (("/projects/prod?sort=name", "sort=name"), ("/projects/prod", "")):
        read = Read((await local.get(path)).text)
        (after,) = [link["href"] for link in read.of("a") if link.get("rel") == "next"]
        assert ("sort=" in after) is bool(expected)
        assert expected in after

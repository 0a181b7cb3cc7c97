"""What can be asked, what is refused and how, and who sees what."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reconciler.service.api_operations import OPERATIONS
from reconciler.service.records import EventRecord, RunRecord
from reconciler.service.store import StoreDown
from tests.service.api.world import NOW, ROLES, SHA, Front, fill, front


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        pytest.param("/projects/prd", 404, ("'prd'", "Did you mean `prod`?"), id="project"),
        pytest.param(
            "/projects/prod/resources/Agent/triag", 404, ("Did you mean `Agent/triage`?",), id="agent"
        ),
        pytest.param("/runs/none", 404, ("no run 'none'", "retention"), id="run"),
        pytest.param("/nowhere", 404, ("openapi.json",), id="address"),
        pytest.param("/projects?helth=failed", 400, ("Did you mean `health`?",), id="parameter"),
        pytest.param("/runs/x?a=1", 400, ("It takes none",), id="no-parameters"),
        pytest.param("/projects?health=drifte", 400, ("Did you mean `drifted`?",), id="choice"),
        pytest.param("/events?severity=loud", 400, ("`info`",), id="choices"),
        pytest.param("/projects?limit=0", 400, ("`limit`", "1 to 1000"), id="limit-small"),
        pytest.param("/projects?limit=1001", 400, ("1 to 1000",), id="limit-large"),
        pytest.param("/projects?limit=\u0661", 400, ("`limit`",), id="other-digits"),
        pytest.param("/projects?offset=-1", 400, ("`offset`",), id="offset"),
        pytest.param("/events?after_id=x", 400, ("`after_id`",), id="after"),
        pytest.param("/projects?limit=1&limit=2", 400, ("twice",), id="twice"),
        pytest.param("/projects?search=" + "x" * 301, 400, ("300",), id="long"),
        pytest.param("/projects/..%2f..%2fetc/resources", 404, (), id="traversal"),
    ],
)
async def test_a_wrong_request_is_told_what_is_wrong(
    local: Front, path: str, status: int, said: tuple[str, ...]
) -> None:
    async with local.client() as client:
        answer = await client.get(f"/api/v1{path}")

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["hint"]
    for words in said:
        assert words in problem["detail"] + problem["hint"]


async def test_a_name_cannot_put_a_header_into_the_answer(local: Front) -> None:
    async with local.client() as client:
        answer = await client.get("/api/v1/projects/prod%0d%0aSet-Cookie:x=y")

    assert answer.status_code == 404
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("content", "content_type", "said"),
    [
        pytest.param(b"{", "application/json", "line 1", id="no-json"),
        pytest.param(b"[]", "application/json", "Send a JSON object", id="no-object"),
        pytest.param(b"{}", "application/json", "`why`", id="missing"),
        pytest.param(b'{"why": ""}', "application/json", "`why`", id="empty"),
        pytest.param(b'{"why": "x", "wy": 1}', "application/json", "unknown key `wy`", id="unknown"),
        pytest.param(b'{"why": "   "}', "application/json", "needs a reason", id="blank"),
        pytest.param(b'{"why": "x"}', "text/plain", "application/json", id="type"),
        pytest.param(b"why=x", "application/x-www-form-urlencoded", "application/json", id="form"),
        pytest.param(b'{"why": "' + b"x" * 70_000 + b'"}', "application/json", "64 KiB", id="large"),
    ],
)
async def test_a_wrong_body_is_told_what_is_wrong(
    local: Front, content: bytes, content_type: str, said: str
) -> None:
    async with local.client() as client:
        answer = await client.post(
            "/api/v1/projects/prod/suspend", content=content, headers={"Content-Type": content_type}
        )

    assert answer.status_code == 400
    assert said in answer.json()["detail"] + answer.json()["hint"]
    assert await local.deps.store.suspension("prod") is None


@pytest.mark.parametrize(
    ("path", "name", "record"), [("/runs", "result", RunRecord), ("/events", "type", EventRecord)]
)
def test_a_filter_takes_every_word_that_rows_have(path: str, name: str, record: type) -> None:
    operation = next(each for each in OPERATIONS if each.path == path)
    choices = next(param.choices for param in operation.params if param.name == name)
    told = (record.__doc__ or "").split("one of:")[1].split(".")[0]

    assert set(choices) - {"running"} == set(re.findall(r"[a-z-]+", told))


async def test_a_sync_needs_no_body(local: Front) -> None:
    async with local.client() as client:
        answer = await client.post("/api/v1/projects/prod/sync")

    assert answer.status_code == 200
    assert local.engine.asked == [("project/prod", "manual by local")]


async def test_a_wrong_method_is_refused_in_the_same_form(local: Front) -> None:
    async with local.client() as client:
        answer = await client.put("/api/v1/projects")

    assert answer.status_code == 405
    assert answer.json()["detail"] == "PUT is not possible here"
    assert answer.headers["allow"]


async def test_a_store_that_is_down_is_said(local: Front) -> None:
    class Down:
        def __getattr__(self, name: str) -> None:
            raise StoreDown("cannot reach the database", hint="Start it.")

    object.__setattr__(local.deps, "store", Down())
    answer = await local.get("/projects")

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["detail"] == "cannot reach the database"


def rels(link: str) -> dict[str, dict[str, list[str]]]:
    return {rel: parse_qs(urlsplit(url).query) for url, rel in re.findall(r'<([^>]*)>; rel="(\w+)"', link)}


async def test_links_lead_through_a_list_and_back(local: Front) -> None:
    names, query = [], {"limit": ["1"], "offset": ["0"], "source": ["agents"]}
    while True:
        answer = await local.get("/projects", **query)
        names += [item["name"] for item in answer.json()["items"]]
        links = rels(answer.headers["link"])
        assert links["first"]["offset"] == ["0"]
        assert links["last"]["offset"] == ["2"]
        if "next" not in links:
            break
        query = links["next"]

    assert names == ["prod", "dev", "stage"]
    assert query["source"] == ["agents"]
    assert links["prev"]["offset"] == ["1"]


async def test_lists_begin_with_the_worst_or_are_sorted_by_name(guarded: Front) -> None:
    """Also for somebody who sees some Projects, whose lists are put together elsewhere."""
    for token, worst in (("root", ["prod", "dev", "stage"]), ("viewer", ["prod", "stage"])):
        for sort, expected in (("", worst), ("health", worst), ("name", sorted(worst))):
            query = {"sort": sort} if sort else {}
            found = (await guarded.get("/projects", token, **query)).json()
            assert [item["name"] for item in found["items"]] == expected
    path = "/projects/prod/resources"
    worst_first = (await guarded.get(path, "viewer")).json()["items"]
    by_name = (await guarded.get(path, "viewer", sort="name")).json()["items"]
    refused = await guarded.get(path, "viewer", sort="age")

    assert [item["name"] for item in worst_first] == ["triage", "billing", "stranger"]
    assert [item["name"] for item in by_name] == ["billing", "stranger", "triage"]
    assert refused.status_code == 400
    assert refused.json()["detail"] == "`sort` cannot be 'age'"
    assert refused.json()["hint"] == "It is one of `health` and `name`."


@pytest.fixture
async def shared(tmp_path: Path) -> AsyncIterator[Front]:
    async with front(tmp_path) as running:
        await fill(running)
        yield running


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=20), st.text(max_size=20), st.dictionaries(st.text(max_size=8), st.text(max_size=8)))
async def test_nothing_that_is_asked_breaks_the_service(
    shared: Front, project: str, name: str, query: dict[str, str]
) -> None:
    async with shared.client() as client:
        for parts in (("projects", project), ("projects", "prod", "resources", "Agent", name), ("events",)):
            url = "/api/v1/" + "/".join(part.replace("/", "%2F") for part in parts)
            try:
                request = client.build_request("GET", url, params=query)
            except Exception:  # noqa: BLE001 - no client could send it
                continue
            answer = await client.send(request)
            assert answer.status_code in (200, 307, 400, 404)


# Who sees what


async def history(front: Front) -> None:
    for number, project in enumerate(("prod", "dev", "stage", "prod", "", "dev")):
        run = RunRecord(f"r{number}", project, "agents", ("poll",), SHA, NOW + number)
        await front.deps.store.start_run(run)
        await front.deps.store.add_events(
            [EventRecord(NOW + number, "drift", "warning", project, f"e{number}")]
        )


@pytest.mark.parametrize(
    ("token", "projects", "events"),
    [
        pytest.param("root", ["prod", "dev", "stage"], ["e5", "e4", "e3", "e2", "e1", "e0"], id="everything"),
        pytest.param("viewer", ["prod", "stage"], ["e3", "e2", "e0"], id="two"),
    ],
)
async def test_lists_hold_what_somebody_may_see(
    guarded: Front, token: str, projects: list[str], events: list[str]
) -> None:
    await history(guarded)

    found = (await guarded.get("/projects", token)).json()
    told = (await guarded.get("/events", token)).json()
    part = (await guarded.get("/events", token, limit=1, offset=1)).json()
    runs = (await guarded.get("/runs", token)).json()

    assert [item["name"] for item in found["items"]] == projects
    assert found["total"] == len(projects)
    assert [item["message"] for item in told["items"]] == events
    assert told["total"] == len(events)
    assert [item["message"] for item in part["items"]] == events[1:2]
    later = (await guarded.get("/events", token, after_id=2)).json()
    assert [item["message"] for item in later["items"]] == [e for e in reversed(events) if e > "e1"]
    assert [item["id"] for item in runs["items"]] == [event.replace("e", "r") for event in events]


@pytest.mark.parametrize(
    "path",
    [
        "/projects/dev",
        "/projects/dev/resources",
        "/projects/dev/resources/Agent/triage",
        "/projects/dev/graph",
        "/runs/r1",
    ],
)
async def test_what_somebody_may_not_see_is_not_there(guarded: Front, path: str) -> None:
    await history(guarded)

    hidden, missing = (
        await guarded.get(path, "viewer"),
        await guarded.get(path.replace("dev", "dew"), "viewer"),
    )

    assert hidden.status_code == 404
    assert "Did you mean `dev`" not in hidden.text + missing.text
    assert (await guarded.get("/projects", "viewer", search="dev")).json()["total"] == 0
    assert (await guarded.get("/events", "viewer", project="dev")).json()["total"] == 0


async def test_problems_of_the_configuration_are_for_those_who_see_everything(guarded: Front) -> None:
    guarded.deps.configured.rejected = ("line 3: source dev is wrong",)
    guarded.deps.configured.rejected_at = NOW

    whole = (await guarded.get("/service", "root")).json()
    part = (await guarded.get("/service", "viewer")).json()

    assert whole["config"]["rejected"] == ["line 3: source dev is wrong"]
    assert part["config"]["rejected"] == []
    assert part["config"]["rejected_at"]
    assert part["projects"] == {"drifted": 1, "in-sync": 1}


async def test_roles_of_the_configuration_hold_from_the_next_request_on(guarded: Front) -> None:
    assert (await guarded.get("/projects/dev", "viewer")).status_code == 404
    current = guarded.deps.configured.current
    spec = current.spec.auth
    assert spec is not None
    wider = spec.model_copy(update={"roles": (spec.roles[0].model_copy(update={"projects": ("*",)}),)})
    object.__setattr__(current, "spec", current.spec.model_copy(update={"auth": wider}))

    assert (await guarded.get("/projects/dev", "viewer")).status_code == 200
    assert (await guarded.get("/projects", "root")).status_code == 403
    assert len(ROLES) == 5

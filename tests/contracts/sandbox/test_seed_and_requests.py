from __future__ import annotations

import json
from urllib.request import Request, urlopen

import pytest

from reconciler.sandbox import Sandbox

from .builders import code_definition, prompt
from .clients import Client, Raw
from .conftest import Control


async def test_made_up_agents_are_valid_and_about_a_kilobyte(client: Client, control: Control) -> None:
    kinds = ["prompt", "hosted", "workflow", "external", "voice"]
    answer = control.seed(count=25, kinds=kinds, prefix="bot-", pinned=True, metadata={"owner": "me"})
    assert answer["count"] == len(answer["names"]) == 25
    agents = await client("list", limit=10)
    assert sorted(each["name"] for each in agents) == sorted(answer["names"])
    control.set(validation="strict")
    for agent in agents:
        latest = agent["versions"]["latest"]
        assert (latest["status"], latest["metadata"]) == ("active", {"owner": "me"})
        assert agent["agent_endpoint"]["version_selector"]["version_selection_rules"] == [
            {"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100}
        ]
        copy = {"definition": latest["definition"]}
        assert (await client("create_version", f"copy-{agent['name']}", copy))["version"] == "1"
    assert {each["versions"]["latest"]["definition"]["kind"] for each in agents} == set(kinds)


async def test_written_agents_are_there_word_for_word(client: Client, control: Control) -> None:
    error = {"code": "image_pull_failed", "message": "No."}
    versions = [
        {**prompt("three"), "version": "3", "created_at": 1_700_000_000},
        {**prompt("seven", metadata={"m": "1"}, description="d"), "version": 7, "created_at": 1_700_000_001},
        {**prompt("draft"), "draft": True},
        {"definition": code_definition(), "version": "9", "status": "failed", "error": error},
    ]
    card = {"version": "1", "skills": []}
    selector = [
        {"agent_version": "3", "traffic_percentage": 60},
        {"agent_version": "7", "traffic_percentage": 40},
    ]
    control.seed(
        agents=[{"name": "a", "versions": versions, "selector": selector, "state": "disabled", "card": card}]
    )
    agent = await client("get", "a")
    assert (agent["state"], agent["agent_card"]) == ("disabled", card)
    rules = agent["agent_endpoint"]["version_selector"]["version_selection_rules"]
    assert [(each["agent_version"], each["traffic_percentage"]) for each in rules] == [("3", 60), ("7", 40)]
    latest = agent["versions"]["latest"]
    assert (latest["version"], latest["status"], latest["error"]) == ("9", "failed", error)
    assert [each["version"] for each in await client("list_versions", "a")] == ["9", "7", "3"]
    assert (await client("get_version", "a", "7"))["created_at"] == 1_700_000_001
    assert len(await client("list_versions", "a", include_drafts=True)) == 4
    assert (await client("create_version", "a", prompt()))["version"] == "10"


async def test_seeding_an_agent_that_exists_adds_versions(client: Client, control: Control) -> None:
    old = await client("create_version", "a", prompt())
    control.seed(agents=[{"name": "a", "versions": [{**prompt("x"), "status": "failed"}]}])
    latest = (await client("get", "a"))["versions"]["latest"]
    assert (latest["version"], latest["status"], latest["agent_guid"]) == ("2", "failed", old["agent_guid"])


async def test_seeded_agents_are_listed_at_once(client: Client, control: Control) -> None:
    control.set(list_lag_s=60)
    control.seed(agents=[{"name": "a", "definition": prompt()["definition"]}])
    assert [each["name"] for each in await client("list")] == ["a"]


async def test_version_fields_may_stand_beside_the_definition(client: Client, control: Control) -> None:
    error = {"code": "image_pull_failed", "message": "No."}
    card = {"version": "1", "skills": []}
    agent = {
        "name": "a",
        **prompt(metadata={"m": "1"}, description="d"),
        "version": "4",
        "status": "failed",
        "error": error,
        "created_at": 1_700_000_000,
        "agent_endpoint": {"protocol_configuration": {"a2a": {}}},
        "agent_card": card,
        "selector": {"4": 100},
    }
    answer = control.ok("POST", "seed", [agent], project=control.project)
    assert answer["names"] == ["a"]
    shown = await client("get", "a")
    latest = shown["versions"]["latest"]
    expected = {key: agent[key] for key in ("metadata", "description", "version", "status", "created_at")}
    assert {key: latest[key] for key in expected} == expected
    assert (latest["error"], shown["agent_card"]) == (error, card)
    assert list(shown["agent_endpoint"]["protocol_configuration"]) == ["a2a"]
    (rule,) = shown["agent_endpoint"]["version_selector"]["version_selection_rules"]
    assert (rule["agent_version"], rule["traffic_percentage"]) == ("4", 100)


@pytest.mark.parametrize(
    "selector",
    [
        [{"agent_version": "1", "traffic_percentage": 100}],
        {"version_selection_rules": [{"agent_version": "1", "traffic_percentage": 100}]},
        {"1": 100},
    ],
    ids=["list", "object", "shares"],
)
async def test_a_selector_can_be_seeded_in_three_forms(raw: Raw, control: Control, selector: object) -> None:
    control.seed(agents=[{"name": "a", **prompt(), "selector": selector}])
    assert (await raw("get", "a"))["agent_endpoint"]["version_selector"]["version_selection_rules"] == [
        {"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100}
    ]


async def test_made_up_agents_are_numbered_after_those_that_exist(raw: Raw, control: Control) -> None:
    assert control.seed(count=2)["names"] == ["agent-00000", "agent-00001"]
    assert control.seed(count=1, kind="hosted")["names"] == ["agent-00002"]
    assert control.seed(count=1, prefix="bot-")["names"] == ["bot-00000"]
    assert len(await raw("list")) == 4


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"count": -1},
        {"count": 1, "kinds": ["x"]},
        {"count": 1, "more": 1},
        {"agents": 1},
        {"agents": [{"name": "a"}]},
        {"agents": [{"name": "a", "versions": []}]},
        {"agents": [{"name": "a", "definition": {}, "state": "x"}]},
        {"agents": [{"name": "a", "versions": [{"definition": {}, "version": "x"}]}]},
        {"agents": [{"name": "a", "definition": {}}, {"name": "b"}]},
        {"agents": [{"name": "a", "versions": [{"definition": {}}], "status": "failed"}]},
        {"agents": [{"name": "a", "definition": {}, "selector": {"1": "all"}}]},
    ],
    ids=str,
)
async def test_a_wrong_seed_changes_nothing(raw: Raw, control: Control, wanted: dict) -> None:
    assert control.send("POST", "seed", wanted, project=control.project)[0] == 400
    assert await raw("list") == []


async def test_the_project_of_a_seed_can_be_in_its_body(raw: Raw, control: Control) -> None:
    control.ok("POST", "seed", {"project": control.project, "count": 1})
    assert len(await raw("list")) == 1
    assert control.send("POST", "seed", {"count": 1})[0] == 400


async def test_requests_are_counted_by_route_and_logged_in_order(client: Client, control: Control) -> None:
    await client("create_version", "a", prompt())
    await client("get", "a")
    await client("list", limit=1)
    await client("disable", "a")
    found = control.requests()
    assert found["counts"] == {
        "POST /agents/{agent_name}/versions": 1,
        "GET /agents/{agent_name}": 1,
        "GET /agents": 2,
        "POST /agents/{agent_name}:disable": 1,
    }
    assert [(each["method"], each["status"]) for each in found["log"]] == [
        ("POST", 200),
        ("GET", 200),
        ("GET", 200),
        ("GET", 200),
        ("POST", 204),
    ]
    path = found["log"][3]["path"]
    assert path.startswith(f"/api/projects/{control.project}/agents?")
    assert "after=a" in path
    assert set(found["log"][0]) == {"method", "path", "status", "at", "ended_at", "client"}
    times = [each["at"] for each in found["log"]]
    assert times == sorted(times)
    assert all(each["ended_at"] >= each["at"] for each in found["log"])


async def test_the_log_names_the_client_of_each_request(raw: Raw, control: Control) -> None:
    await raw.send("GET", "/agents", headers={"User-Agent": "somebody/1.0"})
    assert control.requests()["log"][0]["client"] == "somebody/1.0"


async def test_unknown_routes_are_counted_as_such(raw: Raw, control: Control) -> None:
    await raw.send("GET", "/nothing")
    assert control.requests()["counts"] == {"GET <unknown>": 1}


async def test_the_log_can_be_cleared(raw: Raw, control: Control) -> None:
    await raw.send("GET", "/agents")
    control.ok("DELETE", "requests", project=control.project)
    assert control.requests() == {"counts": {}, "log": []}
    assert control.ok("GET", "requests")["counts"].keys() >= control.requests()["counts"].keys()


@pytest.mark.parametrize("path", ["/", "/_sandbox", "/_sandbox/"])
def test_a_look_at_the_root_lists_the_own_routes_and_is_not_counted(path: str) -> None:
    with Sandbox(":memory:") as sandbox:
        with urlopen(sandbox.url + path) as answer:
            shown = json.load(answer)
        assert shown["name"] == "reconciler sandbox"
        assert "POST /_sandbox/seed" in shown["routes"]
        with urlopen(f"{sandbox.url}/_sandbox/requests") as answer:
            assert json.load(answer) == {"counts": {}, "log": []}


async def test_head_works_where_get_does(raw: Raw, control: Control) -> None:
    control.seed(count=1)
    for path, status in (("/agents", 200), ("/agents/agent-00000", 200), ("/agents/none", 404)):
        answer, content = await raw.send("HEAD", path)
        assert (answer.status, content) == (status, b"")
    with urlopen(Request(f"{control.url}/_sandbox/settings", method="HEAD")) as own:
        assert (own.status, own.read()) == (200, b"")


def test_unknown_own_routes_are_404(control: Control) -> None:
    status, answer = control.send("GET", "nothing")
    assert status == 404
    assert "GET /_sandbox/requests" in answer["error"]["message"]

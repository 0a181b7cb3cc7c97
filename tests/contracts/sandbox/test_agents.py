from __future__ import annotations

import re

import pytest

from .builders import BODIES, hosted, prompt, shares
from .clients import Client, Raw, Refused
from .conftest import Control

GUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}"


async def test_a_first_version_makes_the_agent(client: Client) -> None:
    version = await client("create_version", "MyAgent1", prompt(metadata={"a": "b"}, description="Brief"))
    assert (version["object"], version["id"], version["version"]) == ("agent.version", "MyAgent1:1", "1")
    assert (version["metadata"], version["description"], version["status"]) == ({"a": "b"}, "Brief", "active")
    agent = await client("get", "MyAgent1")
    assert agent["versions"]["latest"] == version
    assert (agent["object"], agent["id"], agent["name"]) == ("agent", "MyAgent1", "MyAgent1")
    assert (agent["state"], agent["configuration_state"]) == ("enabled", "enabled")
    assert agent["agent_endpoint"] == {
        "protocols": ["responses"],
        "protocol_configuration": {"responses": {}},
        "authorization_schemes": [{"type": "Entra", "isolation_key_source": {"kind": "Entra"}}],
    }


async def test_identity_is_one_per_agent_and_named_after_its_guid(client: Client) -> None:
    one = await client("create_version", "a", prompt())
    two = await client("create_version", "a", prompt("Other"))
    agent = await client("get", "a")
    assert re.fullmatch(GUID, one["agent_guid"])
    for key in ("instance_identity", "blueprint", "blueprint_reference"):
        assert one[key] == two[key] == agent[key]
    assert one["agent_guid"] == two["agent_guid"]
    assert one["instance_identity"]["principal_id"] == one["instance_identity"]["client_id"]
    assert one["blueprint_reference"]["blueprint_id"] == f"a-{one['agent_guid'][:5]}"


@pytest.mark.parametrize("kind", sorted(BODIES))
async def test_every_kind_is_echoed_with_its_kind_first(client: Client, kind: str) -> None:
    sent = BODIES[kind]["definition"]
    shuffled = dict(reversed(list(sent.items())))
    version = await client("create_version", "a", {"definition": shuffled})
    assert next(iter(version["definition"])) == "kind"
    assert sent.items() <= version["definition"].items()
    assert {"prompt": set(), "hosted": {"container_protocol_versions"}}.get(kind, set()) == (
        set(version["definition"]) - set(sent)
    )


async def test_versions_count_up_and_the_newest_is_latest(client: Client) -> None:
    for text in ("one", "two", "three"):
        await client("create_version", "a", prompt(text))
    assert (await client("get", "a"))["versions"]["latest"]["version"] == "3"
    assert [each["version"] for each in await client("list_versions", "a")] == ["3", "2", "1"]
    assert (await client("get_version", "a", "2"))["definition"]["instructions"] == "two"
    assert (await client("get_version", "a", "@latest"))["version"] == "3"
    with pytest.raises(Refused):
        await client("delete_version", "a", "@latest")


async def test_deleted_numbers_are_not_used_again(client: Client) -> None:
    for text in ("one", "two", "three"):
        await client("create_version", "a", prompt(text))
    deleted = await client("delete_version", "a", "3")
    assert deleted == {"object": "agent.version.deleted", "name": "a", "version": "3", "deleted": True}
    assert (await client("get", "a"))["versions"]["latest"]["version"] == "2"
    assert (await client("create_version", "a", prompt("four")))["version"] == "4"


async def test_the_last_version_takes_the_agent_with_it(client: Client) -> None:
    old = await client("create_version", "a", prompt())
    await client("delete_version", "a", "1")
    with pytest.raises(Refused) as refused:
        await client("get", "a")
    assert refused.value.status == 404
    new = await client("create_version", "a", prompt())
    assert new["version"] == "1"
    assert new["agent_guid"] != old["agent_guid"]


async def test_a_deleted_agent_is_gone_and_starts_anew(client: Client) -> None:
    old = await client("create_version", "a", prompt())
    await client("create_version", "a", prompt("two"))
    assert await client("delete", "a") == {"object": "agent.deleted", "name": "a", "deleted": True}
    assert await client("list") == []
    new = await client("create_version", "a", prompt())
    assert (new["version"], new["agent_guid"] == old["agent_guid"]) == ("1", False)


@pytest.mark.parametrize(
    ("operation", "args"),
    [
        ("get", ("gone",)),
        ("delete", ("gone",)),
        ("list_versions", ("gone",)),
        ("get_version", ("gone", "1")),
        ("delete_version", ("gone", "1")),
        ("update_details", ("gone", {})),
        ("enable", ("gone",)),
        ("disable", ("gone",)),
        ("download_code", ("gone",)),
    ],
)
async def test_what_is_not_there_is_a_404(client: Client, operation: str, args: tuple[object, ...]) -> None:
    with pytest.raises(Refused) as refused:
        await client(operation, *args)
    error = refused.value.error
    assert (refused.value.status, error["code"], error["type"]) == (404, "not_found", "error")
    assert error["additionalInfo"]["request_id"] == refused.value.headers["x-request-id"]
    assert error["details"] == []


async def test_lists_are_newest_first_and_complete_over_pages(client: Client) -> None:
    names = [f"a{number}" for number in range(7)]
    for name in names:
        await client("create_version", name, prompt())
    assert [each["name"] for each in await client("list")] == names[::-1]
    assert [each["name"] for each in await client("list", limit=3)] == names[::-1]
    assert [each["name"] for each in await client("list", limit=2, order="asc")] == names


async def test_a_page_neither_repeats_nor_skips_when_the_list_changes(raw: Raw) -> None:
    for number in range(6):
        await raw("create_version", f"a{number}", prompt())
    first = await raw.json("GET", "/agents", query={"limit": 3})
    await raw("create_version", "new", prompt())
    await raw("delete", "a3")
    second = await raw.json("GET", "/agents", query={"limit": 3, "after": first["last_id"]})
    assert [each["name"] for each in first["data"] + second["data"]] == ["a5", "a4", "a3", "a2", "a1", "a0"]


async def test_paging_ends_on_an_empty_page_without_cursors(raw: Raw) -> None:
    await raw("create_version", "a", prompt())
    page = await raw.json("GET", "/agents", query={"limit": 1})
    assert (page["first_id"], page["last_id"], page["has_more"], page["object"]) == ("a", "a", False, "list")
    last = await raw.json("GET", "/agents", query={"limit": 1, "after": "a"})
    assert last == {"data": [], "has_more": False, "object": "list"}


async def test_before_gives_the_page_in_front(raw: Raw) -> None:
    for number in range(5):
        await raw("create_version", f"a{number}", prompt())
    page = await raw.json("GET", "/agents", query={"limit": 2, "before": "a1"})
    assert [each["name"] for each in page["data"]] == ["a3", "a2"]
    assert page["has_more"] is True


@pytest.mark.parametrize(
    "query",
    [{"limit": 0}, {"limit": 101}, {"limit": -1}, {"order": "up"}, {"before": "x"}, {"kind": "x"}],
    ids=str,
)
async def test_wrong_paging_is_refused(client: Client, query: dict[str, object]) -> None:
    await client("create_version", "a", prompt())
    with pytest.raises(Refused) as refused:
        await client("list", **query)
    assert (refused.value.status, refused.value.error["code"]) == (400, "invalid_payload")
    assert refused.value.error["param"] == next(iter(query))


async def test_lists_filter_by_kind(client: Client) -> None:
    for kind, body in BODIES.items():
        await client("create_version", f"a-{kind}", body)
    for kind in BODIES:
        assert [each["name"] for each in await client("list", kind=kind)] == [f"a-{kind}"]


async def test_version_cursors_are_version_ids(raw: Raw) -> None:
    for number in range(5):
        await raw("create_version", "MyAgent1", prompt(str(number)))
    page = await raw.json("GET", "/agents/MyAgent1/versions", query={"limit": 2})
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("MyAgent1:5", "MyAgent1:4", True)
    rest = await raw.json("GET", "/agents/MyAgent1/versions", query={"after": page["last_id"]})
    assert [each["version"] for each in rest["data"]] == ["3", "2", "1"]
    up = await raw.json("GET", "/agents/MyAgent1/versions", query={"order": "asc", "limit": 2})
    assert [each["version"] for each in up["data"]] == ["1", "2"]


async def test_drafts_are_hidden_and_never_latest(client: Client) -> None:
    await client("create_version", "a", prompt())
    draft = await client("create_version", "a", prompt("Try", draft=True))
    assert re.fullmatch(r"draft-\d{13}", draft["version"])
    assert draft["draft"] is True
    assert (await client("get", "a"))["versions"]["latest"]["version"] == "1"
    assert [each["version"] for each in await client("list_versions", "a")] == ["1"]
    shown = await client("list_versions", "a", include_drafts=True)
    assert [each["version"] for each in shown] == [draft["version"], "1"]
    assert (await client("get_version", "a", draft["version"]))["definition"]["instructions"] == "Try"
    assert (await client("create_version", "a", prompt("Release")))["version"] == "2"


async def test_details_are_merge_patched(client: Client) -> None:
    await client("create_version", "a", prompt())
    await client("create_version", "a", prompt("two"))
    await client("update_details", "a", shares(v1=100))
    agent = await client("update_details", "a", shares(v1=90, v2=10))
    rules = agent["agent_endpoint"]["version_selector"]["version_selection_rules"]
    assert [(each["agent_version"], each["traffic_percentage"]) for each in rules] == [("1", 90), ("2", 10)]
    card = {"version": "1.0", "description": "Card", "skills": [{"id": "s", "name": "S"}]}
    agent = await client("update_details", "a", {"agent_card": card})
    assert agent["agent_card"] == card
    agent = await client("update_details", "a", {"agent_card": {"description": None}})
    assert "description" not in agent["agent_card"]
    body = {"agent_endpoint": {"protocol_configuration": {"a2a": {}}, "version_selector": None}}
    agent = await client("update_details", "a", {**body, "agent_card": None})
    assert "agent_card" not in agent
    assert "version_selector" not in agent["agent_endpoint"]
    assert agent["agent_endpoint"]["protocol_configuration"] == {"responses": {}, "a2a": {}}
    assert agent["agent_endpoint"]["protocols"] == ["responses", "a2a"]
    assert await client("get", "a") == agent
    assert (await client("list")) == [agent]


async def test_a_new_version_does_not_move_a_selector(client: Client) -> None:
    await client("create_version", "a", prompt())
    await client("update_details", "a", shares(v1=100))
    await client("create_version", "a", prompt("two"))
    rules = (await client("get", "a"))["agent_endpoint"]["version_selector"]["version_selection_rules"]
    assert [each["agent_version"] for each in rules] == ["1"]


async def test_the_old_protocols_list_sets_the_protocol_configuration(raw: Raw) -> None:
    await raw("create_version", "a", hosted())
    agent = await raw("update_details", "a", {"agent_endpoint": {"protocols": ["invocations"]}})
    assert agent["agent_endpoint"]["protocol_configuration"] == {"invocations": {}}


@pytest.mark.parametrize(
    "patch",
    [
        pytest.param(shares(v1=90), id="sum-below-100"),
        pytest.param(shares(v1=90, v2=20), id="sum-above-100"),
        pytest.param(shares(v1=50, v9=50), id="unknown-version"),
        pytest.param(shares(v1=150, v2=-50), id="share-out-of-range"),
        pytest.param(shares(), id="no-rules"),
        pytest.param({"agent_endpoint": {"version_selector": {}}}, id="no-list"),
        pytest.param({"agent_endpoint": 1}, id="endpoint-no-object"),
        pytest.param({"agent_card": {"version": "1"}}, id="card-without-skills"),
    ],
)
async def test_a_wrong_endpoint_or_card_is_refused_and_changes_nothing(client: Client, patch: dict) -> None:
    await client("create_version", "a", prompt())
    await client("create_version", "a", prompt("two"))
    before = await client("get", "a")
    with pytest.raises(Refused) as refused:
        await client("update_details", "a", patch)
    assert refused.value.status == 400
    assert await client("get", "a") == before


async def test_a_draft_cannot_take_traffic(raw: Raw) -> None:
    await raw("create_version", "a", prompt())
    draft = await raw("create_version", "a", prompt(draft=True))
    rule = {"type": "FixedRatio", "agent_version": draft["version"], "traffic_percentage": 100}
    with pytest.raises(Refused):
        await raw(
            "update_details",
            "a",
            {"agent_endpoint": {"version_selector": {"version_selection_rules": [rule]}}},
        )


async def test_disabled_agents_can_still_be_managed(client: Client) -> None:
    await client("create_version", "a", prompt())
    assert await client("disable", "a") is None
    await client("disable", "a")
    agent = await client("get", "a")
    assert (agent["state"], agent["configuration_state"]) == ("disabled", "disabled")
    assert (await client("create_version", "a", prompt("two")))["version"] == "2"
    await client("enable", "a")
    assert (await client("list"))[0]["state"] == "enabled"


async def test_create_from_manifest_makes_a_version(client: Client) -> None:
    body = {"manifest_id": "azureml://m/1", "parameter_values": {"model": "gpt-5"}, "metadata": {"a": "b"}}
    version = await client("create_version_from_manifest", "a", body)
    assert (version["version"], version["definition"]["model"]) == ("1", "gpt-5")
    assert version["metadata"] == {"a": "b"}
    with pytest.raises(Refused) as refused:
        await client("create_version_from_manifest", "a", {"manifest_id": "x"})
    assert refused.value.error["param"] == "parameter_values"


async def test_generate_makes_a_voice_agent(client: Client) -> None:
    agent = await client("create_from_prompt", {"kind": "voice", "name": "v", "goal": "Take orders"})
    latest = agent["versions"]["latest"]
    assert (latest["version"], latest["definition"]["kind"]) == ("1", "voice")
    assert "Take orders" in latest["definition"]["instructions"]


async def test_projects_do_not_see_each_other(raw: Raw, control: Control) -> None:
    await raw("create_version", "a", prompt())
    other = Raw(f"{control.url}/api/projects/other-{control.project}")
    try:
        assert await other("list") == []
    finally:
        await other.close()

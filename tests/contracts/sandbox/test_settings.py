from __future__ import annotations

import asyncio
import time

import pytest

from .builders import BODIES, hosted, prompt, shares
from .clients import Client, Raw, Refused
from .conftest import Control

LATEST = "latest-definition"
ALL = "latest-definition+metadata+description"


def test_settings_show_every_switch_with_its_default(control: Control) -> None:
    shown = control.ok("GET", "settings", project=control.project)
    assert shown == {
        "dedupe": {"prompt": "off", "hosted": LATEST, "workflow": "off", "external": "off", "voice": "off"},
        "provisioning": {"delay_s": 1.0, "outcome": "active", "error": None},
        "default_endpoint": "present",
        "selector": dict.fromkeys(["prompt", "hosted", "workflow", "external", "voice"], "accepted"),
        "drafts": "allowed",
        "list_lag_s": 0,
        "page_size_cap": 100,
        "enable_status": 204,
        "server_added": {"known": True, "unknown": None},
        "validation": "required",
        "rate_limit": {"per_second": None, "burst": None, "retry_after": True},
        "latency_s": 0,
        "auth": "off",
        "max_versions": 1000,
        "delete_serving": "allowed",
        "features": "required",
        "names": "case-sensitive",
        "seed": 0,
    }


def test_settings_merge_per_project_and_reset(control: Control) -> None:
    control.set(provisioning={"delay_s": 5})
    control.set(provisioning={"outcome": "failed"}, drafts="refused")
    shown = control.ok("GET", "settings", project=control.project)
    assert shown["provisioning"] == {"delay_s": 5, "outcome": "failed", "error": None}
    assert shown["drafts"] == "refused"
    assert control.ok("GET", "settings", project="another")["drafts"] == "allowed"
    control.ok("DELETE", "settings", project=control.project)
    assert control.ok("GET", "settings", project=control.project)["drafts"] == "allowed"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nothing": 1}, ["nothing", "dedupe", "drafts"]),
        ({"dedupe": {"other": "off"}}, ["dedupe.other", "hosted", "prompt"]),
        ({"dedupe": {"prompt": "on"}}, ["dedupe.prompt", "off", LATEST, ALL]),
        ({"dedupe": "on"}, ["dedupe.", "off", LATEST]),
        ({"dedupe": 1}, ["dedupe", "hosted"]),
        ({"rate_limit": True}, ["rate_limit", "per_second"]),
        ({"provisioning.nothing": 1}, ["provisioning.nothing", "delay_s"]),
        ({"page_size_cap": True}, ["page_size_cap"]),
        ({"list_lag_s": -1}, ["list_lag_s", "0 to 3600"]),
        ({"list_lag_s": True}, ["list_lag_s"]),
        ({"page_size_cap": 1.5}, ["page_size_cap", "1 to 100"]),
        ({"enable_status": 201}, ["enable_status", "204", "200"]),
        ({"provisioning": {"error": "x"}}, ["provisioning.error", "code"]),
        ({"server_added": {"unknown": "other"}}, ["server_added.unknown", "random"]),
        ({"server_added": {"known": 1}}, ["server_added.known", "true"]),
    ],
)
def test_wrong_settings_are_refused_with_what_is_allowed(
    control: Control, changes: dict, words: list[str]
) -> None:
    before = control.ok("GET", "settings", project=control.project)
    status, answer = control.send(
        "PUT", "settings", {"drafts": "refused", **changes}, project=control.project
    )
    assert status == 400
    for word in words:
        assert word in answer["error"]["message"]
    assert control.ok("GET", "settings", project=control.project) == before


@pytest.mark.parametrize(
    ("kind", "policy", "versions"),
    [
        ("prompt", None, ["1", "2", "3"]),
        ("hosted", None, ["1", "1", "1"]),
        ("prompt", LATEST, ["1", "1", "1"]),
        ("external", LATEST, ["1", "1", "1"]),
        ("prompt", ALL, ["1", "1", "2"]),
        ("hosted", "off", ["1", "2", "3"]),
    ],
)
async def test_dedupe_gives_back_the_latest_when_nothing_changed(
    client: Client, control: Control, kind: str, policy: str | None, versions: list[str]
) -> None:
    if policy:
        control.set(dedupe={kind: policy})
    bodies = [BODIES[kind], BODIES[kind], {**BODIES[kind], "metadata": {"k": "v"}}]
    assert [(await client("create_version", "a", body))["version"] for body in bodies] == versions


async def test_dedupe_compares_with_the_latest_only(client: Client) -> None:
    bodies = [hosted("1"), hosted("2"), hosted("1")]
    assert [(await client("create_version", "a", body))["version"] for body in bodies] == ["1", "2", "3"]


async def test_dedupe_does_not_take_the_new_metadata(client: Client) -> None:
    await client("create_version", "a", hosted(metadata={"k": "1"}))
    again = await client("create_version", "a", hosted(metadata={"k": "2"}))
    assert (again["version"], again["metadata"]) == ("1", {"k": "1"})


async def test_hosted_versions_are_provisioned_for_a_while(client: Client, control: Control) -> None:
    control.set(provisioning={"delay_s": 0.4})
    version = await client("create_version", "a", hosted())
    assert version["status"] == "creating"
    assert (await client("list"))[0]["versions"]["latest"]["status"] == "creating"
    await asyncio.sleep(0.45)
    assert (await client("list"))[0]["versions"]["latest"]["status"] == "active"
    assert (await client("get_version", "a", "1"))["status"] == "active"
    assert (await client("list_versions", "a"))[0]["status"] == "active"


async def test_provisioning_fails_with_its_error(client: Client, control: Control) -> None:
    error = {"code": "AcrImageNotFound", "message": "No such image."}
    control.set(provisioning={"delay_s": 0, "outcome": "failed", "error": error})
    version = await client("create_version", "a", hosted())
    assert (version["status"], version["error"]) == ("failed", error)
    control.set(provisioning={"outcome": "active"})
    assert (await client("get", "a"))["versions"]["latest"]["status"] == "failed"
    assert (await client("create_version", "a", hosted("2")))["status"] == "active"


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("absent", None), ("present", ["protocols", "protocol_configuration", "authorization_schemes"])],
)
async def test_the_default_endpoint_is_there_or_not(
    client: Client, control: Control, mode: str, expected: list[str] | None
) -> None:
    control.set(default_endpoint=mode)
    await client("create_version", "a", prompt())
    agent = await client("get", "a")
    assert (list(agent["agent_endpoint"]) if "agent_endpoint" in agent else None) == expected


async def test_a_pinned_default_endpoint_stays_on_the_first_version(client: Client, control: Control) -> None:
    control.set(default_endpoint="pinned")
    await client("create_version", "a", prompt())
    await client("create_version", "a", prompt("two"))
    agent = await client("get", "a")
    assert agent["agent_endpoint"]["version_selector"] == {
        "version_selection_rules": [
            {"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100},
        ]
    }


async def test_a_selector_can_be_refused_or_ignored_by_kind(client: Client, control: Control) -> None:
    await client("create_version", "a", prompt())
    control.set(selector={"prompt": "refused"})
    with pytest.raises(Refused) as refused:
        await client("update_details", "a", shares(v1=100))
    assert refused.value.status == 400
    control.set(selector={"prompt": "ignored"})
    agent = await client("update_details", "a", shares(v1=100))
    assert "version_selector" not in agent["agent_endpoint"]
    control.set(selector={"prompt": "accepted", "hosted": "refused"})
    agent = await client("update_details", "a", shares(v1=100))
    assert "version_selector" in agent["agent_endpoint"]


async def test_drafts_can_be_downgraded_or_refused(client: Client, control: Control) -> None:
    await client("create_version", "a", prompt())
    control.set(drafts="downgraded")
    version = await client("create_version", "a", prompt("two", draft=True))
    assert (version["version"], "draft" in version) == ("2", False)
    control.set(drafts="refused")
    with pytest.raises(Refused) as refused:
        await client("create_version", "a", prompt("three", draft=True))
    assert (refused.value.status, refused.value.error["param"]) == (400, "draft")


async def test_pages_can_be_shorter_than_asked_for(client: Client, control: Control) -> None:
    control.set(page_size_cap=2)
    for number in range(5):
        await client("create_version", f"a{number}", prompt())
    assert len(await client("list", limit=100)) == 5
    assert control.requests()["counts"]["GET /agents"] == 4


async def test_enable_answers_200_in_the_old_way(raw: Raw, control: Control) -> None:
    control.set(enable_status=200)
    await raw("create_version", "a", prompt())
    for verb in ("disable", "enable"):
        answer, content = await raw.send("POST", f"/agents/a:{verb}")
        assert (answer.status, content) == (200, b"")


async def test_known_additions_can_be_left_out(client: Client, control: Control) -> None:
    await client("create_version", "h", hosted())
    await client("create_version", "e", {"definition": {"kind": "external"}})
    body = prompt()
    body["definition"]["skills"] = [{"name": "s"}]
    await client("create_version", "p", body)
    assert (await client("get_version", "h", "1"))["definition"]["container_protocol_versions"] == []
    assert (await client("get_version", "e", "1"))["definition"]["otel_agent_id"] == "e"
    assert (await client("get_version", "p", "1"))["definition"]["skills"] == [{"name": "s", "version": "1"}]
    control.set(server_added={"known": False})
    assert "container_protocol_versions" not in (await client("get_version", "h", "1"))["definition"]
    agents = {each["name"]: each for each in await client("list")}
    assert agents["e"]["versions"]["latest"]["definition"] == {"kind": "external"}
    assert agents["p"]["versions"]["latest"]["definition"]["skills"] == [{"name": "s"}]
    assert "protocols" not in agents["p"]["agent_endpoint"]


async def test_unknown_additions_appear_in_every_definition(client: Client, control: Control) -> None:
    await client("create_version", "a", prompt())
    control.set(server_added={"unknown": {"x_new": {"deep": [1]}}})
    for agent in (await client("get", "a"), *await client("list")):
        assert agent["versions"]["latest"]["definition"]["x_new"] == {"deep": [1]}


async def test_random_additions_stay_the_same_for_a_version(client: Client, control: Control) -> None:
    control.set(server_added={"unknown": "random"})
    version = await client("create_version", "a", prompt())
    extra = set(version["definition"]) - set(prompt()["definition"])
    assert extra
    assert await client("get_version", "a", "1") == version
    control.set(seed=7)
    assert await client("get_version", "a", "1") != version


REQUIRED = [
    pytest.param("-bad-", prompt(), id="name"),
    pytest.param("a" * 64, prompt(), id="long-name"),
    pytest.param("a", {"definition": {"kind": "prompt"}}, id="prompt-without-model"),
    pytest.param("a", {"definition": {"kind": "other"}}, id="unknown-kind"),
    pytest.param(
        "a", {"definition": {"kind": "hosted", "cpu": "1", "memory": "2Gi"}}, id="neither-image-nor-code"
    ),
    pytest.param(
        "a",
        {
            "definition": {
                **hosted()["definition"],
                "code_configuration": {"runtime": "python_3_13", "entry_point": ["x"]},
            }
        },
        id="both-image-and-code",
    ),
    pytest.param("a", {"definition": {"kind": "voice"}}, id="voice-without-model"),
    pytest.param("a", prompt(metadata={str(n): "" for n in range(17)}), id="17-metadata"),
    pytest.param("a", prompt(metadata={"k" * 65: ""}), id="long-metadata-key"),
    pytest.param("a", prompt(metadata={"k": "v" * 513}), id="long-metadata-value"),
    pytest.param("a", prompt(metadata={"k": 1}), id="metadata-no-text"),
    pytest.param("a", prompt(description="d" * 513), id="long-description"),
]


@pytest.mark.parametrize(("name", "body"), REQUIRED)
async def test_required_validation_refuses_and_off_accepts(
    client: Client, control: Control, name: str, body: dict
) -> None:
    with pytest.raises(Refused) as refused:
        await client("create_version", name, body)
    assert (refused.value.status, refused.value.error["type"]) == (400, "invalid_request_error")
    assert await client("list") == []
    control.set(validation="off")
    assert (await client("create_version", name, body))["version"] == "1"


async def test_too_many_tools_have_their_own_code(client: Client) -> None:
    body = prompt()
    body["definition"]["tools"] = [{"type": "code_interpreter"}] * 129
    with pytest.raises(Refused) as refused:
        await client("create_version", "a", body)
    assert refused.value.error["code"] == "tool_limit_exceeded"


@pytest.mark.parametrize(
    "change",
    [{"temprature": 1}, {"cpu": "0.25", "memory": "0.5Gi"}, {"image": "acr.example/a"}],
    ids=["typo", "tier", "old-shape"],
)
async def test_strict_validation_refuses_more(client: Client, control: Control, change: dict) -> None:
    body = hosted()
    body["definition"] |= change
    assert (await client("create_version", "a", body))["version"] == "1"
    control.set(validation="strict")
    with pytest.raises(Refused) as refused:
        await client("create_version", "b", body)
    assert refused.value.status == 400


async def test_above_the_rate_limit_is_429(raw: Raw, control: Control) -> None:
    control.set(rate_limit={"per_second": 1, "burst": 3})
    answers = [(await raw.send("GET", "/agents"))[0] for _ in range(5)]
    assert [each.status for each in answers] == [200, 200, 200, 429, 429]
    assert answers[-1].headers["Retry-After"] == "1"
    control.set(rate_limit={"retry_after": False})
    answer, content = await raw.send("GET", "/agents")
    assert (answer.status, "Retry-After" in answer.headers) == (429, False)
    assert b"rate_limit_exceeded" in content
    control.set(rate_limit={"per_second": 100})
    await asyncio.sleep(0.05)
    assert (await raw.send("GET", "/agents"))[0].status == 200


async def test_latency_holds_every_answer(client: Client, control: Control) -> None:
    control.set(latency_s=0.1)
    began = time.monotonic()
    assert await client("list") == []
    assert time.monotonic() - began >= 0.1


async def test_with_auth_a_bearer_token_is_needed(raw: Raw, control: Control) -> None:
    control.set(auth="required")
    answer, content = await raw.send("GET", "/agents")
    assert (answer.status, b'"unauthorized"' in content) == (401, True)
    for authorization, expected in (("Bearer any", 200), ("Basic any", 401), ("Bearer ", 401)):
        answer, _ = await raw.send("GET", "/agents", headers={"Authorization": authorization})
        assert answer.status == expected


async def test_too_many_versions_are_refused_until_one_goes(client: Client, control: Control) -> None:
    control.set(max_versions=2)
    await client("create_version", "a", prompt("1"))
    await client("create_version", "a", prompt("2"))
    with pytest.raises(Refused) as refused:
        await client("create_version", "a", prompt("3"))
    assert (refused.value.status, refused.value.error["code"]) == (400, "UserError")
    await client("delete_version", "a", "1")
    assert (await client("create_version", "a", prompt("3")))["version"] == "3"


async def test_deleting_a_serving_version_can_be_refused(client: Client, control: Control) -> None:
    for text in ("1", "2", "3"):
        await client("create_version", "a", prompt(text))
    await client("update_details", "a", shares(v1=90, v2=10))
    assert (await client("delete_version", "a", "2"))["deleted"] is True
    control.set(delete_serving="refused")
    with pytest.raises(Refused) as refused:
        await client("delete_version", "a", "1")
    assert refused.value.status == 409
    assert (await client("delete_version", "a", "3"))["deleted"] is True


@pytest.mark.parametrize("kind", ["workflow", "external", "voice", "draft"])
async def test_preview_needs_its_header_before_anything_is_validated(
    raw: Raw, control: Control, kind: str
) -> None:
    body = prompt(draft=True) if kind == "draft" else {"definition": {"kind": kind, "model": 1}}
    feature = f"{kind.capitalize()}Agents=V1Preview"
    headers = {"Foundry-Features": "Other=V1Preview"}
    with pytest.raises(Refused) as refused:
        await raw.json("POST", "/agents/a/versions", body=body, headers=headers)
    assert (refused.value.status, refused.value.error["code"]) == (403, "preview_feature_required")
    assert feature in refused.value.error["message"]
    control.set(features="off", validation="off")
    assert (await raw.json("POST", "/agents/a/versions", body=body, headers=headers))["name"] == "a"


@pytest.mark.parametrize("kind", ["prompt", "hosted"])
async def test_ga_kinds_need_no_header(raw: Raw, kind: str) -> None:
    headers = {"Foundry-Features": ""}
    version = await raw.json("POST", "/agents/a/versions", body=BODIES[kind], headers=headers)
    assert version["version"] == "1"


async def test_names_can_be_the_same_in_any_case(client: Client, control: Control) -> None:
    await client("create_version", "MyAgent", prompt())
    with pytest.raises(Refused):
        await client("get", "myagent")
    control.set(names="case-insensitive")
    assert (await client("get", "myagent"))["name"] == "MyAgent"
    assert (await client("create_version", "MYAGENT", prompt("two")))["id"] == "MyAgent:2"

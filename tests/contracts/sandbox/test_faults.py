from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest
from azure.ai.projects import AIProjectClient
from azure.core.exceptions import HttpResponseError, ServiceResponseError
from azure.core.pipeline.policies import SansIOHTTPPolicy

from reconciler.sandbox import Sandbox

from .builders import prompt
from .clients import Client, Raw, Refused
from .conftest import Control

CREATE = {"method": "POST", "path": "/agents/{agent_name}/versions"}


async def test_a_status_comes_instead_of_the_answer(client: Client, control: Control) -> None:
    control.faults({"match": CREATE, "times": 1, "action": {"status": 500}})
    with pytest.raises(Refused) as refused:
        await client("create_version", "a", prompt())
    assert (refused.value.status, refused.value.error["code"]) == (500, "server_error")
    assert await client("list") == []
    assert (await client("create_version", "a", prompt()))["version"] == "1"


async def test_after_commit_the_write_is_done(client: Client, control: Control) -> None:
    control.faults({"match": CREATE, "times": 1, "action": {"status": 503, "after_commit": True}})
    with pytest.raises(Refused) as refused:
        await client("create_version", "a", prompt())
    assert refused.value.status == 503
    assert (await client("get", "a"))["versions"]["latest"]["version"] == "1"


@pytest.mark.parametrize("after_commit", [False, True])
async def test_a_dropped_connection_gives_no_answer(
    sandbox: Sandbox, control: Control, after_commit: bool
) -> None:
    control.faults({"match": CREATE, "times": 1, "action": {"drop": True, "after_commit": after_commit}})
    with AIProjectClient(
        sandbox.endpoint(control.project),
        credential=object(),
        authentication_policy=SansIOHTTPPolicy(),
        retry_total=0,
    ) as client:
        with pytest.raises(ServiceResponseError):
            client.agents.create_version("a", prompt())
        assert [each.name for each in client.agents.list()] == (["a"] if after_commit else [])
    dropped = control.requests()["log"][0]
    assert (dropped["method"], dropped["status"]) == ("POST", 0)


async def test_a_delay_lets_the_request_go_on(client: Client, control: Control) -> None:
    control.faults({"match": {"path": "/agents"}, "action": {"delay_s": 0.15}})
    began = time.monotonic()
    assert await client("list") == []
    assert time.monotonic() - began >= 0.15


async def test_a_held_request_is_in_the_log_without_status(raw: Raw, control: Control) -> None:
    control.faults({"match": CREATE, "action": {"delay_s": 0.5, "after_commit": True}})
    asking = asyncio.create_task(raw("create_version", "a", prompt()))
    await asyncio.sleep(0.2)
    (entry,) = control.requests()["log"]
    assert entry["status"] is None
    assert (await raw("get", "a"))["name"] == "a"  # committed, not yet answered
    await asking
    assert control.requests()["log"][0]["status"] == 200


@pytest.mark.parametrize(
    ("action", "code"),
    [
        ({"status": 409}, "conflict"),
        ({"status": 429, "headers": {"Retry-After": "7"}}, "rate_limit_exceeded"),
        ({"status": 400, "code": "tool_limit_exceeded"}, "tool_limit_exceeded"),
        ({"status": 418, "body": {"error": {"code": "mine"}}}, "mine"),
    ],
)
async def test_bodies_and_headers_are_as_written(
    client: Client, control: Control, action: dict, code: str
) -> None:
    control.faults({"match": {"method": "get"}, "action": action})
    with pytest.raises(Refused) as refused:
        await client("get", "a")
    assert (refused.value.status, refused.value.error["code"]) == (action["status"], code)
    assert refused.value.headers.get("Retry-After") == action.get("headers", {}).get("Retry-After")


@pytest.mark.parametrize(
    ("body", "content_type", "content"),
    [
        ("<html>no</html>", "text/plain; charset=utf-8", b"<html>no</html>"),
        ("", "", b""),
        ({"a": 1}, "application/json; charset=utf-8", b'{"a":1}'),
    ],
    ids=["text", "empty", "object"],
)
async def test_a_body_is_sent_as_it_is(
    raw: Raw, control: Control, body: object, content_type: str, content: bytes
) -> None:
    control.faults({"action": {"status": 502, "body": body}})
    answer, received = await raw.send("GET", "/agents")
    assert (answer.status, answer.headers.get("Content-Type", ""), received) == (502, content_type, content)
    control.faults({"action": {"status": 502, "body": body, "headers": {"content-type": "text/html"}}})
    answer, received = await raw.send("GET", "/agents")
    assert (answer.headers.getall("Content-Type"), received) == (["text/html"], content)


async def test_code_and_message_fill_the_usual_envelope(client: Client, control: Control) -> None:
    control.faults({"action": {"status": 409, "code": "busy", "message": "Wait."}})
    with pytest.raises(Refused) as refused:
        await client("get", "a")
    assert refused.value.error["code"] == "busy"
    assert refused.value.error["message"].startswith("Wait. [Request ID: ")


@pytest.mark.parametrize(
    ("match", "hits"),
    [
        ({}, 3),
        ({"method": "GET"}, 3),
        ({"method": "POST"}, 0),
        ({"path": "/agents"}, 1),
        ({"path": "/agents/a"}, 1),
        ({"path": "/agents/{agent_name}"}, 2),
        ({"path": "/agents/*"}, 2),
        ({"path": "*"}, 3),
        ({"path": "/agents/{agent_name}", "skip": 1}, 1),
        ({"path": "/agents/{name}"}, 2),
        ({"path": "/{collection}"}, 1),
        ({"path": "/agents/{name}:enable"}, 0),
        ({"path": "/agents/{name}/versions"}, 0),
        ({"path": "agents/"}, 1),
        ({"path": ""}, 3),
        ({"path": "/api/projects/{project}/agents/{name}"}, 2),
        ({"path": "/api/projects/*/agents"}, 1),
        ({"path": "/api/projects/*"}, 3),
        ({"path": "/api/projects/another/agents"}, 0),
        ({"path": "/agents?api-version=v1"}, 1),
        ({"path": "/agents/*?api-version=*"}, 2),
        ({"path": "?api-version=v1"}, 3),
        ({"path": "/agents?api-version=v1&after=a"}, 0),
        ({"method": "ANY"}, 3),
        ({"method": "*", "path": "/agents"}, 1),
        ({"method": ""}, 3),
    ],
    ids=str,
)
async def test_rules_match_by_method_path_and_project(
    raw: Raw, control: Control, match: dict, hits: int
) -> None:
    control.faults({"match": match, "action": {"status": 500}})
    statuses = [(await raw.send("GET", path))[0].status for path in ("/agents", "/agents/a", "/agents/b")]
    assert statuses.count(500) == hits
    (rule,) = control.ok("GET", "faults", project=control.project)["rules"]
    assert (rule["hits"], rule["times"]) == (hits, None)


async def test_a_literal_project_in_a_path_is_that_project(raw: Raw, control: Control) -> None:
    control.faults({"match": {"path": f"/api/projects/{control.project}/agents"}, "action": {"status": 500}})
    assert (await raw.send("GET", "/agents"))[0].status == 500


async def test_a_parameter_is_one_segment_and_keeps_its_verb(raw: Raw, control: Control) -> None:
    await raw("create_version", "a", prompt())
    control.faults(
        {"match": {"path": "/agents/{name}"}, "action": {"status": 500}},
        {"match": {"path": "/agents/a/versions/{n}"}, "action": {"status": 502}},
    )
    asked = ["GET /agents/a", "GET /agents/a/versions", "GET /agents/a/versions/1", "POST /agents/a:disable"]
    statuses = [(await raw.send(*each.split()))[0].status for each in asked]
    assert statuses == [500, 200, 502, 204]


async def test_a_single_rule_may_hold_skip_and_words_of_its_own(raw: Raw, control: Control) -> None:
    rule = {"name": "mine", "skip": 1, "action": {"status": 500}}
    (kept,) = control.ok("PUT", "faults", rule, project=control.project)["rules"]
    assert (kept["name"], kept["match"]["skip"]) == ("mine", 1)
    assert [(await raw.send("GET", "/agents"))[0].status for _ in range(2)] == [200, 500]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"match": {"path": "/agent/x"}, "action": {"status": 500}}, ["/agent/x", "matches no route"]),
        ({"match": {"path": "/connection/*"}, "action": {"status": 500}}, ["matches no route"]),
        ({"match": {"path": "a" * 3000}, "action": {"status": 500}}, ["matches no route"]),
        ({"action": {"body": "no", "headers": {"a": "b"}}}, ["'status' is missing", "body, headers"]),
        ({"action": {"after_commit": True}}, ["'status' is missing", "after_commit"]),
        ({"action": {"status": 500, "body": "", "code": "x"}}, ["not both"]),
    ],
    ids=["typo", "stars", "long", "no-status", "only-when", "body-and-code"],
)
def test_a_refused_rule_says_what_is_wrong(control: Control, rule: dict, words: list[str]) -> None:
    status, answer = control.send("PUT", "faults", [rule], project=control.project)
    assert status == 400
    for word in words:
        assert word in answer["error"]["message"]


async def test_the_first_rule_with_times_left_wins(raw: Raw, control: Control) -> None:
    control.faults(
        {"match": {"path": "/agents"}, "times": 2, "action": {"status": 500}},
        {"match": {"path": "/agents"}, "times": 1, "action": {"status": 503}},
    )
    statuses = [(await raw.send("GET", "/agents"))[0].status for _ in range(4)]
    assert statuses == [500, 500, 503, 200]
    rules = control.ok("GET", "faults", project=control.project)["rules"]
    assert [(each["times"], each["hits"]) for each in rules] == [(0, 2), (0, 1)]
    control.ok("DELETE", "faults", project=control.project)
    assert control.ok("GET", "faults", project=control.project) == {"rules": []}


@pytest.mark.parametrize(
    "rules",
    [
        1,
        {"other": []},
        [1],
        [{"match": {}}],
        [{"action": {}}],
        [{"action": {"status": 99}}],
        [{"action": {"status": "500"}}],
        [{"action": {"status": 500, "extra": 1}}],
        [{"match": {"path": 1}, "action": {"status": 500}}],
        [{"times": -1, "action": {"status": 500}}],
        [{"action": {"status": 500, "headers": {"a": "b\r\nc: d"}}}],
    ],
    ids=str,
)
def test_wrong_rules_are_refused_and_the_present_ones_stay(control: Control, rules: object) -> None:
    control.faults({"action": {"status": 500}})
    present = control.ok("GET", "faults", project=control.project)
    assert control.send("PUT", "faults", rules, project=control.project)[0] == 400
    assert control.ok("GET", "faults", project=control.project) == present


@pytest.mark.parametrize("key", ["rules", "faults"])
def test_rules_come_as_a_list_or_in_an_object(control: Control, key: str) -> None:
    rule = {"match": {"project": control.project}, "action": {"status": 500}}
    for given in ([rule], {key: [rule]}):
        answer = control.ok("PUT", "faults", given, project=control.project)
        assert answer["rules"][0]["action"] == {"status": 500}
    control.ok("PUT", "faults", answer, project=control.project)


async def test_rules_of_the_server_name_their_project_or_meet_all() -> None:
    with Sandbox(":memory:") as alone:
        mine, other = Control(alone.url, "mine"), Control(alone.url, "other")
        mine.ok("PUT", "faults", [{"match": {"project": "mine"}, "action": {"status": 500}}])
        mine.ok("PUT", "faults", [{"action": {"status": 503}}], project="other")
        assert len(mine.ok("GET", "faults")["rules"]) == 2
        for project, expected in ((mine.project, 500), (other.project, 503), ("third", 200)):
            asking = Raw(alone.endpoint(project))
            assert (await asking.send("GET", "/agents"))[0].status == expected
            await asking.close()
        mine.ok("DELETE", "faults", project="mine")
        assert len(mine.ok("GET", "faults")["rules"]) == 1
        mine.ok("PUT", "faults", [{"action": {"status": 502}}])
        asking = Raw(alone.endpoint("third"))
        assert (await asking.send("GET", "/agents"))[0].status == 502
        await asking.close()


async def test_the_sdk_retries_a_429_with_retry_after(sandbox: Sandbox, control: Control) -> None:
    control.faults(
        {"match": CREATE, "times": 2, "action": {"status": 429, "headers": {"Retry-After": "0.05"}}}
    )
    with AIProjectClient(
        sandbox.endpoint(control.project), credential=object(), authentication_policy=SansIOHTTPPolicy()
    ) as client:
        assert client.agents.create_version("a", prompt()).version == "1"
        control.faults({"match": CREATE, "times": 1, "action": {"status": 409}})
        with pytest.raises(HttpResponseError):
            client.agents.create_version("a", prompt())
    counts = control.requests()["counts"]
    assert counts["POST /agents/{agent_name}/versions"] == 4


async def test_a_dropped_raw_request_sees_the_connection_close(raw: Raw, control: Control) -> None:
    control.faults({"action": {"drop": True}})
    with pytest.raises(aiohttp.ClientConnectionError):
        await raw.send("POST", "/agents/a/versions", body=prompt())

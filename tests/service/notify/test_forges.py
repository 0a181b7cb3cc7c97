"""Statuses, open requests and refusals, against servers that answer as the forges' documentation says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import ClientSession, web

from reconciler.errors import InvalidInput
from reconciler.service.config_spec import ForgeSpec
from reconciler.service.notify.caller import Answer, Caller, pause_asked_for
from reconciler.service.notify.forges import (
    ForgeDown,
    ForgeError,
    PullRequest,
    Status,
    api_address,
    open_forge,
)
from tests.service.notify.forge_servers import COMMIT, TOKEN, served
from tests.service.notify.places import PAUSES, SECRET, Place, no_pause

STATUS = Status("reconciler/prod", "success", "Applied: 1 added", "https://reconciler.example.com/runs/1")

SENT = {
    "github": (
        f"/api/v3/repos/acme/agents/statuses/{COMMIT}",
        {
            "state": "success",
            "context": "reconciler/prod",
            "description": "Applied: 1 added",
            "target_url": "https://reconciler.example.com/runs/1",
        },
    ),
    "gitlab": (
        f"/api/v4/projects/acme%2Fplatform%2Fagents/statuses/{COMMIT}",
        {
            "state": "success",
            "name": "reconciler/prod",
            "description": "Applied: 1 added",
            "target_url": "https://reconciler.example.com/runs/1",
        },
    ),
    "azure-devops": (
        f"/acme/Team%20A/_apis/git/repositories/agents/commits/{COMMIT}/statuses?api-version=7.1",
        {
            "state": "succeeded",
            "context": {"genre": "reconciler", "name": "prod"},
            "description": "Applied: 1 added",
            "targetUrl": "https://reconciler.example.com/runs/1",
        },
    ),
}


async def test_a_status_is_sent_as_the_forge_documents_it(place: Place) -> None:
    await place.forge.set_status(COMMIT, STATUS)

    path, body = SENT[place.provider]
    (asked,) = place.server.asked
    assert (asked.method, asked.path, asked.body) == ("POST", path, body)
    assert asked.headers["User-Agent"] == "reconciler"


@pytest.mark.parametrize("state", ["pending", "success", "failure", "error"])
async def test_every_state_is_known_to_the_forge(place: Place, state: Any) -> None:
    await place.forge.set_status(COMMIT, replace(STATUS, state=state))

    assert len(place.server.statuses) == 1


async def test_the_same_state_twice_is_no_error(place: Place) -> None:
    await place.forge.set_status(COMMIT, replace(STATUS, state="pending"))
    await place.forge.set_status(COMMIT, replace(STATUS, state="pending"))


async def test_a_long_description_is_cut_to_one_line(place: Place) -> None:
    await place.forge.set_status(COMMIT, replace(STATUS, description="first\nsecond \x1b[31m" + "x" * 5000))

    described = place.server.statuses[0][1]["description"]
    assert described.startswith("first second \\x1b[31mxxx")
    assert described.endswith("…")


async def test_open_requests_are_read_over_all_pages(place: Place) -> None:
    for number in range(1, 231):
        place.server.pull(number, f"{number:040x}")
    place.server.pull(900, "9" * 40, base="other")

    pulls = await place.forge.pull_requests("main")

    assert [pull.number for pull in pulls] == list(range(1, 231))
    assert len(place.server.asked) == 3


async def test_a_request_names_the_ref_that_the_repository_has(place: Place) -> None:
    place.server.pull(4, COMMIT)

    refs = {
        "github": "refs/pull/4/head",
        "gitlab": "refs/merge-requests/4/head",
        "azure-devops": "refs/heads/b4",
    }
    assert await place.forge.pull_requests("main") == (PullRequest(4, COMMIT, refs[place.provider]),)


async def test_a_fork_is_told_apart(place: Place) -> None:
    homes: dict[str, list[Any]] = {
        "github": ["stranger/agents", None],
        "gitlab": [8],
        "azure-devops": ["f00d"],
    }
    for number, home in enumerate(homes[place.provider], start=1):
        place.server.pull(number, COMMIT, home=home)

    assert all(pull.fork for pull in await place.forge.pull_requests("main"))


REFUSALS = [
    pytest.param(401, "renew the secret under `forge.token`", id="401"),
    pytest.param(403, "Give the token", id="403"),
    pytest.param(404, "Check `forge.repository`", id="404"),
    pytest.param(422, "", id="422"),
    pytest.param(301, "", id="moved"),
    pytest.param(203, "", id="sign-in-page"),
]


@pytest.mark.parametrize(("status", "hint"), REFUSALS)
async def test_a_refusal_says_what_to_do_and_never_the_token(place: Place, status: int, hint: str) -> None:
    server = place.server
    said = {"message": f"token {TOKEN} was refused\nsecond line"}
    if status == 203:
        server.next = [web.Response(status=203, text="<html>Sign in</html>", content_type="text/html")]
    else:
        server.next = [web.json_response(said, status=status, headers={"Location": "http://127.0.0.1:1/"})]

    with pytest.raises(ForgeError) as caught:
        await place.forge.set_status(COMMIT, STATUS)

    assert not caught.value.retryable
    assert caught.value.status == status
    assert hint in caught.value.hint
    assert caught.value.hint
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert len(server.asked) == 1


async def test_a_wrong_token_is_told_as_one(place: Place) -> None:
    with pytest.raises(ForgeError) as caught:
        await place.open("another-token").pull_requests("main")

    assert "renew the secret under `forge.token`" in caught.value.hint


async def test_a_redirect_is_not_followed_with_the_token(place: Place, session: ClientSession) -> None:
    taken: list[str] = []

    async def thief(request: web.Request) -> web.Response:
        taken.append(str(request.headers))
        return web.json_response([])

    async with served(thief) as url:
        place.server.next = [web.Response(status=307, headers={"Location": f"{url}/elsewhere"})]
        with pytest.raises(ForgeError, match="redirected, which a token does not follow"):
            await place.forge.pull_requests("main")

    assert taken == []


async def test_a_server_error_is_tried_again(place: Place) -> None:
    place.server.next = [web.Response(status=502), web.Response(status=500)]

    await place.forge.set_status(COMMIT, STATUS)

    assert len(place.server.statuses) == 1
    assert len(PAUSES) == 2


async def test_a_lasting_server_error_is_retryable(place: Place) -> None:
    place.server.next = [web.Response(status=500, text="<html>") for _ in range(3)]

    with pytest.raises(ForgeDown) as caught:
        await place.forge.set_status(COMMIT, STATUS)

    assert "HTTP 500" in str(caught.value)
    assert caught.value.retryable


async def test_retry_after_is_obeyed(place: Place) -> None:
    place.server.next = [web.Response(status=429, headers={"Retry-After": "7"})]

    await place.forge.set_status(COMMIT, STATUS)

    assert PAUSES == [7.0]


async def test_a_long_retry_after_is_left_to_the_next_turn(place: Place) -> None:
    place.server.next = [web.Response(status=429, headers={"Retry-After": "120"})]

    with pytest.raises(ForgeDown) as caught:
        await place.forge.set_status(COMMIT, STATUS)

    assert caught.value.retry_after_s == 120
    assert PAUSES == []
    assert len(place.server.asked) == 1


@pytest.mark.parametrize("place", ["gitlab", "azure-devops"], indirect=True)
async def test_a_request_without_a_head_holds_up_no_other(place: Place) -> None:
    """GitLab has none once the branch is gone, Azure DevOps none before it has looked at the branch."""
    for number in range(1, 4):
        place.server.pull(number, COMMIT)
    one, two, _ = place.server.pulls
    if place.provider == "gitlab":
        one["sha"], two["sha"] = None, ""
    else:
        one["lastMergeSourceCommit"] = None
        del two["lastMergeSourceCommit"]

    assert [pull.number for pull in await place.forge.pull_requests("main")] == [3]


async def test_a_conflict_with_somebody_else_is_tried_again(place: Place) -> None:
    said = {"message": "Another update to this commit status is in progress"}
    place.server.next = [web.json_response(said, status=409)]

    await place.forge.set_status(COMMIT, STATUS)

    assert len(place.server.statuses) == 1
    assert len(PAUSES) == 1


async def test_a_lasting_conflict_is_retryable(place: Place) -> None:
    place.server.next = [web.json_response({"message": "locked"}, status=409) for _ in range(3)]

    with pytest.raises(ForgeDown, match="HTTP 409, locked"):
        await place.forge.set_status(COMMIT, STATUS)


@pytest.mark.parametrize("place", ["github"], indirect=True)
async def test_a_limit_that_only_the_message_tells_makes_no_second_comment(place: Place) -> None:
    await place.forge.comment(7, "<!-- m -->", "one")
    said = {"message": "You have exceeded a secondary rate limit. Please wait a few minutes."}
    listed, me = place.server.comments[1], {"login": "reconciler-bot", "type": "User"}
    place.server.next = [
        web.json_response([{**listed, "user": me}]),
        web.json_response(said, status=403, headers={"X-RateLimit-Remaining": "14"}),
    ]

    with pytest.raises(ForgeDown) as caught:
        await place.forge.comment(7, "<!-- m -->", "two")

    assert caught.value.retry_after_s == 60.0
    assert len(place.server.comments) == 1


@pytest.mark.parametrize("body", ["[]{", "null", '"text"', "[1, null]", '{"value": [7]}', '[{"id": "x"}]'])
async def test_a_strange_answer_is_an_error_of_ours(place: Place, body: str) -> None:
    answer = {"text": body, "content_type": "application/json"}
    place.server.next = [web.Response(**answer) for _ in range(3)]  # type: ignore[arg-type]

    with pytest.raises(ForgeError) as caught:
        await place.forge.pull_requests("main")

    assert caught.value.hint


async def test_no_answer_is_retryable_and_names_the_host(session: ClientSession) -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with served(hang_up) as url:
        caller = Caller("GitHub", url, {"Authorization": f"Bearer {TOKEN}"}, TOKEN, session, pause=no_pause)
        with pytest.raises(ForgeDown) as caught:
            await caller.call("GET", "/repos/x/y")

    assert str(caught.value) == ("cannot GET /repos/x/y of GitHub at 127.0.0.1: ServerDisconnectedError")
    assert TOKEN not in repr(caller)


NOW = 1_700_000_000.0

ASKED = [
    pytest.param(200, {}, None, id="fine"),
    pytest.param(403, {}, None, id="no-rights"),
    pytest.param(429, {}, 60.0, id="says-nothing"),
    pytest.param(429, {"Retry-After": "7"}, 7.0, id="seconds"),
    pytest.param(429, {"Retry-After": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0, id="date"),
    pytest.param(429, {"Retry-After": "Tue, 14 Nov 2000 22:13:50 GMT"}, 0.0, id="date-that-was"),
    pytest.param(429, {"Retry-After": "soon"}, 60.0, id="nonsense"),
    pytest.param(403, {"Retry-After": "60"}, 60.0, id="secondary-limit"),
    pytest.param(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000042"}, 42.0, id="used-up"),
    pytest.param(
        429, {"RateLimit-Remaining": "0", "RateLimit-Reset": "1700000042"}, 42.0, id="used-up-gitlab"
    ),
    pytest.param(503, {"Retry-After": "5"}, 5.0, id="maintenance"),
    pytest.param(503, {}, None, id="broken"),
]


@pytest.mark.parametrize(("status", "headers", "asked_s"), ASKED)
def test_how_long_a_forge_wants_to_be_left_alone(
    status: int, headers: dict[str, str], asked_s: float | None
) -> None:
    assert pause_asked_for(Answer(status, headers, None), NOW) == asked_s


ADDRESSES = [
    ("github", None, "https://github.com/acme/agents", "https://api.github.com"),
    ("github", "https://github.com", "x", "https://api.github.com"),
    ("github", "https://ghe.example.com", "x", "https://ghe.example.com/api/v3"),
    ("github", "https://ghe.example.com/api/v3/", "x", "https://ghe.example.com/api/v3"),
    ("github", "https://acme.ghe.com", "x", "https://api.acme.ghe.com"),
    ("github", "https://api.acme.ghe.com/", "x", "https://api.acme.ghe.com"),
    ("gitlab", None, "https://gitlab.com/acme/agents", "https://gitlab.com/api/v4"),
    ("gitlab", "https://git.example.com/gitlab", "x", "https://git.example.com/gitlab/api/v4"),
    ("gitlab", "https://git.example.com/api/v4", "x", "https://git.example.com/api/v4"),
    ("azure-devops", None, "https://acme@dev.azure.com/acme/p/_git/r", "https://dev.azure.com/acme"),
    ("azure-devops", None, "git@ssh.dev.azure.com:v3/acme/p/r", "https://dev.azure.com/acme"),
    ("azure-devops", None, "https://acme.visualstudio.com/p/_git/r", "https://dev.azure.com/acme"),
    ("azure-devops", "https://tfs.example.com/Main", "x", "https://tfs.example.com/Main"),
]


@pytest.mark.parametrize(("provider", "url", "source", "address"), ADDRESSES)
def test_where_the_api_is(provider: Any, url: str | None, source: str, address: str) -> None:
    spec = ForgeSpec(provider=provider, repository="p/r", token=SECRET, url=url)

    assert api_address(spec, source) == address


UNUSABLE = [
    ("github", "a/b/c", "`a/b/c` is no repository of GitHub", "Write `owner/name`."),
    ("github", "a/%2e%2e", "`a/%2e%2e` is no repository of GitHub", "Write `owner/name`."),
    ("azure-devops", "p/q/r", "`p/q/r` is no repository of Azure DevOps", "project/repository"),
    ("azure-devops", "p/r", "which organisation of Azure DevOps is not known", "dev.azure.com/ORG"),
]


@pytest.mark.parametrize(("provider", "repository", "message", "hint"), UNUSABLE)
async def test_a_forge_that_cannot_be_used_is_refused_with_its_remedy(
    provider: Any, repository: str, message: str, hint: str, session: ClientSession
) -> None:
    spec = ForgeSpec(provider=provider, repository=repository, token=SECRET)

    with pytest.raises(InvalidInput) as caught:
        open_forge(spec, TOKEN, "https://example.com/agents", session)

    assert message in str(caught.value)
    assert hint in caught.value.hint

"""The whole way of a delivery, without sockets: every answer, what it counts, logs and triggers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from structlog.testing import capture_logs

from reconciler.service.config_spec import Secret, WebhookSpec
from reconciler.service.store.opening import open_store
from reconciler.service.webhooks.answers import MAX_BYTES, Result

from . import deliveries
from .world import GONE, NOW, SECRETS, STALL, URLS, Answer, Hooks, hexed, signed

EVENT_HEADERS = {
    "github": {"X-GitHub-Event": "push", "X-GitHub-Delivery": "g-1"},
    "gitlab": {"X-Gitlab-Event": "Push Hook", "Idempotency-Key": "l-1"},
    "gitlab-signed": {"X-Gitlab-Event": "Push Hook"},
    "bitbucket": {"X-Event-Key": "repo:push", "X-Request-UUID": "b-1"},
    "bitbucket-server": {"X-Event-Key": "repo:refs_changed", "X-Request-Id": "s-1"},
    # Gitea and Forgejo also speak as Gogs and GitHub.
    "gitea": {
        "X-Gitea-Event": "push",
        "X-Gogs-Event": "push",
        "X-GitHub-Event": "push",
        "X-Gitea-Delivery": "t-1",
    },
    "forgejo": {"X-Forgejo-Event": "push", "X-Gitea-Event": "push", "X-Forgejo-Delivery": "f-1"},
    "gogs": {"X-Gogs-Event": "push", "X-Gogs-Delivery": "o-1"},
}
BODIES: dict[str, Callable[[], Any]] = {
    "github": deliveries.github,
    "gitlab": deliveries.gitlab,
    "gitlab-signed": deliveries.gitlab,
    "azure-devops": deliveries.azure_devops,
    "azure-devops-header": deliveries.azure_devops,
    "bitbucket": deliveries.bitbucket,
    "bitbucket-server": deliveries.bitbucket_server,
    "gitea": deliveries.github,
    "forgejo": deliveries.github,
    "gogs": deliveries.github,
    "generic": lambda: {"deployed": 1},
}


async def push(hooks: Hooks, name: str = "github", body: Any = None, **headers: str) -> Answer:
    """Send a push that the source believes."""
    content = json.dumps(BODIES[name]() if body is None else body).encode()
    own = {key.replace("_", "-"): value for key, value in headers.items()}
    known = {**signed(name, content, at=hooks.now), **EVENT_HEADERS.get(name, {})}
    return await hooks.post(name, content, {**known, **own})


@pytest.mark.rule("V5")
@pytest.mark.parametrize("name", SECRETS)
async def test_a_push_triggers_its_source_and_no_other(name: str) -> None:
    hooks = Hooks()

    answer = await push(hooks, name)

    assert (answer.status, answer.result) == (202, "accepted")
    assert hooks.engine.triggers == [(f"source/{name}", "webhook")]
    assert hooks.counted(name, "accepted") == 1


@pytest.mark.parametrize("name", SECRETS)
async def test_a_push_without_the_secret_triggers_nothing(name: str) -> None:
    hooks = Hooks()
    body = json.dumps(BODIES[name]()).encode()

    with capture_logs() as lines:
        answer = await hooks.post(name, body, EVENT_HEADERS.get(name))

    assert (answer.status, answer.result) == (401, "unauthorized")
    assert "webhook.secret" in answer.detail
    assert SECRETS[name] not in answer.detail
    assert hooks.engine.tries == 0
    assert not hooks.store.rows
    assert lines == [
        {
            "event": "webhook_refused",
            "log_level": "warning",
            "source": name,
            "result": "unauthorized",
            "reason": "no-signature",
        }
    ]


@pytest.mark.parametrize(
    ("name", "headers", "words"),
    [
        ("github", {}, "There is no X-Hub-Signature-256."),
        ("github", {"X-Hub-Signature": "sha1=" + "0" * 40}, "SHA-1, which is not safe. Sign with SHA-256."),
        ("github", {"X-Hub-Signature-256": "x"}, "has not the form that this provider sends"),
        ("github", {"X-Hub-Signature-256": "sha256=" + "0" * 64}, "X-Hub-Signature-256 does not match."),
        ("azure-devops", {}, "There is no Authorization. Set"),
        ("azure-devops-header", {"X-Hook-Key": "x"}, "X-Hook-Key does not match."),
        (
            "gitlab-signed",
            signed("gitlab-signed", b"{}", at=NOW - 400),
            "The signed time is more than five minutes off. Check the clocks",
        ),
    ],
)
async def test_a_refusal_says_where_the_cause_is(name: str, headers: dict[str, str], words: str) -> None:
    answer = await Hooks().post(name, b"{}", headers)

    assert answer.status == 401
    assert words in answer.detail


async def test_a_source_that_is_unknown_looks_like_one_without_webhook() -> None:
    hooks = Hooks()
    body = json.dumps(deliveries.github()).encode()

    answers = [
        await hooks.post(name, body, signed("github", body)) for name in ("nobody", "quiet", "x" * 9_000)
    ]

    assert {answer.status for answer in answers} == {404}
    assert len({answer.content for answer in answers}) == 1
    assert "sources[].name" in answers[0].detail
    assert hooks.counted("unknown", "not-found") == 3
    assert hooks.counted("quiet", "not-found") == 0
    assert hooks.engine.tries == 0


async def test_a_source_whose_secret_is_not_there_is_not_open_to_all() -> None:
    hooks = Hooks()
    empty = Secret(env="EMPTY")
    webhook = WebhookSpec(provider="github", secret=empty)
    hooks.sources["github"] = hooks.sources["github"].model_copy(update={"webhook": webhook})
    body = b"{}"
    headers = {"X-Hub-Signature-256": f"sha256={hexed('', body)}"}

    assert (await hooks.post("github", body, headers)).status == 404
    hooks.deps.configured.current.secrets[empty] = ""  # type: ignore[index]
    assert (await hooks.post("github", body, headers)).status == 404


async def test_a_reloaded_configuration_holds_for_the_next_delivery() -> None:
    hooks = Hooks()
    assert (await push(hooks)).status == 202

    del hooks.sources["github"]
    assert (await push(hooks)).status == 404


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
async def test_only_post_is_taken(method: str) -> None:
    hooks = Hooks()
    route = hooks.app.routes[0]

    assert method not in (getattr(route, "methods", None) or ())


# What was decided


async def test_a_ping_is_answered_and_does_nothing() -> None:
    hooks = Hooks()

    answer = await push(hooks, body={"zen": "Keep it small."}, X_GitHub_Event="ping")

    assert (answer.status, answer.result) == (200, "ping")
    assert hooks.engine.tries == 0
    assert not hooks.store.rows


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (deliveries.github(after=deliveries.ZEROS), "no ref that this source follows has moved"),
        (deliveries.github("refs/tags/v1"), "no ref that this source follows has moved"),
        (
            deliveries.github("refs/tags/v1", after=deliveries.ZEROS),
            "no ref that this source follows has moved",
        ),
        (deliveries.github(repo="acme/other"), "the event is of another repository"),
    ],
)
async def test_what_does_not_matter_is_ignored_and_said(body: Any, words: str) -> None:
    hooks = Hooks()

    answer = await push(hooks, body=body)

    assert (answer.status, answer.result) == (200, "ignored")
    assert words in answer.detail
    assert hooks.engine.tries == 0
    assert hooks.counted("github", "ignored") == 1


async def test_what_cannot_be_read_is_refused_only_after_its_signature() -> None:
    hooks = Hooks()

    signed_answer = await hooks.post("github", b"{", signed("github", b"{"))
    unsigned = await hooks.post("github", b"{")

    assert (signed_answer.status, signed_answer.result) == (400, "unreadable")
    assert "application/json" in signed_answer.detail
    assert unsigned.status == 401


async def test_a_form_of_github_is_read() -> None:
    hooks = Hooks()
    hooks.follow("github", "main")
    form = {"Content-Type": "application/x-www-form-urlencoded", **EVENT_HEADERS["github"]}
    main = urlencode({"payload": json.dumps(deliveries.github())}).encode()
    other = urlencode({"payload": json.dumps(deliveries.github("refs/heads/dev"))}).encode()

    assert (await hooks.post("github", main, {**form, **signed("github", main)})).result == "accepted"
    assert (await hooks.post("github", other, {**form, **signed("github", other)})).result == "ignored"


async def test_only_githubs_signature_covers_a_form() -> None:
    """Gitea signs the field inside, which nobody should have to dig out before he believes it."""
    hooks = Hooks()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    inside = json.dumps(deliveries.github()).encode()
    body = urlencode({"payload": inside}).encode()

    gitea = await hooks.post("gitea", body, {**form, **signed("gitea", inside)})
    gitlab = await hooks.post("gitlab", b'{"object_kind":"issue"}', {**form, **signed("gitlab", b"")})

    assert gitea.status == 401
    assert "content type to application/json" in gitea.detail
    assert gitlab.result == "ignored"


async def test_a_generic_sender_may_send_anything() -> None:
    hooks = Hooks()

    for body in (b"", b"\x00\xff", b"not json"):
        assert (await hooks.post("generic", body, signed("generic", body))).status == 202
    assert len(hooks.engine.triggers) == 3


# Replays


@pytest.mark.parametrize("name", SECRETS)
async def test_a_delivery_counts_once(name: str) -> None:
    hooks = Hooks()

    first, again = await push(hooks, name), await push(hooks, name)

    assert (first.status, first.result) == (202, "accepted")
    assert (again.status, again.result) == (200, "replayed")
    assert len(hooks.engine.triggers) == 1


async def test_a_delivery_with_an_id_is_known_for_a_day_and_one_without_for_a_minute() -> None:
    hooks = Hooks()
    for name in ("github", "generic"):
        await push(hooks, name)

    hooks.now += 61
    assert (await push(hooks, "github")).result == "replayed"
    assert (await push(hooks, "generic")).result == "accepted"
    hooks.now += 24 * 3600
    assert (await push(hooks, "github")).result == "accepted"


async def test_another_id_or_another_body_is_another_delivery() -> None:
    """GitLab gives one id to the events of both branches of a push."""
    hooks = Hooks()
    id = {"X_Gitlab_Event_UUID": "one", "Idempotency_Key": ""}
    answers = [
        await push(hooks, "gitlab", deliveries.gitlab("refs/heads/a"), **id),
        await push(hooks, "gitlab", deliveries.gitlab("refs/heads/b"), **id),
        await push(hooks, "github"),
        await push(hooks, "github", X_GitHub_Delivery="g-2"),
    ]

    assert [answer.result for answer in answers] == ["accepted"] * 4


async def test_sources_know_nothing_of_each_others_deliveries() -> None:
    hooks = Hooks()
    secrets = {"gitea": SECRETS["gitea"], "gogs": SECRETS["gogs"]}
    assert secrets["gitea"] != secrets["gogs"]

    assert [(await push(hooks, name, X_Gogs_Delivery="same")).result for name in secrets] == ["accepted"] * 2


async def test_replicas_take_a_delivery_once(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/store.db")
    await store.open()
    replicas = [Hooks(shared=store), Hooks(shared=store)]

    answers = await asyncio.gather(*(push(hooks, name) for hooks in replicas for name in SECRETS))

    results = [answer.result for answer in answers]
    assert results.count("accepted") == results.count("replayed") == len(SECRETS)
    await store.close()
    assert (await push(replicas[0], X_GitHub_Delivery="after")).result == "accepted"


# Limits


async def test_a_source_takes_so_many_a_minute() -> None:
    hooks = Hooks(per_minute=3)

    answers = [await push(hooks, X_GitHub_Delivery=str(number)) for number in range(5)]

    assert [answer.status for answer in answers] == [202, 202, 202, 429, 429]
    assert answers[-1].headers["retry-after"] == "20"
    assert "limits.webhooks_per_minute" in answers[-1].detail
    assert (await push(hooks, "gitlab")).status == 202
    assert (await hooks.post("github", [STALL])).status == 429, "it was read all the same"
    hooks.now += 20
    assert (await push(hooks, X_GitHub_Delivery="later")).status == 202


async def test_strangers_do_not_use_up_the_calls_of_a_source() -> None:
    hooks = Hooks(per_minute=3)

    strangers = [await hooks.post("github", b"{}", peer="10.9.9.9") for _ in range(5)]

    assert [answer.status for answer in strangers] == [401, 401, 401, 429, 429]
    assert (await push(hooks)).status == 202


async def test_who_is_believed_is_no_stranger() -> None:
    """One server may host all sources: its address must not be what limits them."""
    hooks = Hooks(per_minute=3)

    answers = [await push(hooks, name) for name in SECRETS]

    assert {answer.status for answer in answers} == {202}


@pytest.mark.parametrize("declared", [str(MAX_BYTES + 1), "9" * 15])
async def test_a_body_declared_too_large_is_never_read(declared: str) -> None:
    hooks = Hooks()

    answer = await hooks.post("github", [STALL], {"Content-Length": declared})

    assert (answer.status, answer.result) == (413, "too-large")
    assert "3 MiB" in answer.detail
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("declared", ["10", "-1", "x", "\xb2", "9" * 5_000, ""])
async def test_a_body_that_is_larger_than_it_says_is_not_read_to_its_end(declared: str) -> None:
    hooks = Hooks()
    read = 0

    def endless() -> Any:
        nonlocal read
        while True:
            read += 1
            yield b"x" * 65_536

    answer = await hooks.post("github", endless(), {"Content-Length": declared} if declared else {})

    assert answer.status == 413
    assert read <= MAX_BYTES // 65_536 + 1


async def test_the_largest_body_is_read() -> None:
    hooks = Hooks()
    body = json.dumps(deliveries.github()).encode()
    body += b" " * (MAX_BYTES - len(body))
    pieces = [body[at : at + 65_536] for at in range(0, len(body), 65_536)]

    answer = await hooks.post("github", pieces, {**signed("github", body), "X-GitHub-Event": "push"})

    assert answer.status == 202


async def test_bodies_of_all_requests_together_have_an_end_in_size_and_time() -> None:
    """Forty peers send 3 MiB each and then wait: 16 bodies fit, and the room comes back with their end."""
    hooks, started = Hooks(), time.monotonic()
    chunks = [b"x" * 65_536] * (MAX_BYTES // 65_536)
    senders = [
        asyncio.ensure_future(hooks.post("github", [*chunks, STALL], peer=f"10.0.1.{number}"))
        for number in range(40)
    ]
    await asyncio.sleep(0.3)
    assert sum(not sender.done() for sender in senders) == 16
    assert {sender.result().status for sender in senders if sender.done()} == {429}

    answers = await asyncio.gather(*senders)
    assert 4 < time.monotonic() - started < 7
    assert sorted(answer.status for answer in answers) == [408] * 16 + [429] * 24
    slow = next(answer for answer in answers if answer.status == 408)
    assert slow.result == "too-slow"
    assert "within 5 seconds" in slow.detail
    assert (await hooks.post("github", chunks, peer="10.0.2.1")).status == 401


async def test_a_sender_that_leaves_is_counted_and_harms_nothing() -> None:
    hooks = Hooks()

    answer = await hooks.post("github", [b"{", GONE])

    assert answer.status == 400
    assert hooks.counted("github", "disconnected") == 1
    assert hooks.engine.tries == 0


# When the store or the engine does not answer


@pytest.mark.parametrize(
    ("store", "engine"),
    [(mode, mode) for mode in ("works", "down", "broken", "stuck", "deaf")]
    + [("works", "stuck"), ("stuck", "works"), ("down", "works"), ("deaf", "down")],
)
async def test_an_answer_comes_within_a_second_and_no_hint_is_lost(store: str, engine: str) -> None:
    hooks = Hooks()
    hooks.store.mode, hooks.engine.mode = store, engine
    started = time.monotonic()

    answer = await push(hooks)

    assert time.monotonic() - started < 1
    assert answer.status == 202
    assert answer.result == ("accepted" if engine == "works" else "remembered")
    assert hooks.engine.tries == 1


async def test_a_hint_is_written_once_the_database_is_back() -> None:
    hooks = Hooks()
    hooks.store.mode = hooks.engine.mode = "down"
    assert (await push(hooks)).result == "remembered"
    assert hooks.counted("github", "remembered") == 1

    hooks.store.mode = hooks.engine.mode = "works"
    await asyncio.sleep(1.3)

    assert hooks.engine.triggers == [("source/github", "webhook")]


@pytest.mark.parametrize("mode", ["works", "stuck"])
async def test_two_hundred_at_once_are_answered_within_a_second(mode: str) -> None:
    hooks = Hooks()
    hooks.store.mode = hooks.engine.mode = mode

    async def one(number: int) -> tuple[Answer, float]:
        started = time.monotonic()
        answer = await push(hooks, X_GitHub_Delivery=str(number))
        return answer, time.monotonic() - started

    answers = await asyncio.gather(*(one(number) for number in range(200)))

    assert {answer.status for answer, _ in answers} == {202}
    assert max(took_s for _, took_s in answers) < 1.0
    assert hooks.engine.tries <= 2


async def test_a_stuck_store_is_not_asked_without_end() -> None:
    hooks = Hooks()
    hooks.store.mode = "deaf"
    await asyncio.gather(*(push(hooks, X_GitHub_Delivery=str(number)) for number in range(40)))

    started = time.monotonic()
    assert (await push(hooks, X_GitHub_Delivery="later")).status == 202
    assert time.monotonic() - started < 0.2


# What is logged and counted


async def test_a_line_names_the_event_and_nothing_else_of_the_payload() -> None:
    hooks = Hooks()
    body = deliveries.github() | {"secret word": "rumpelstiltskin"}

    with capture_logs() as lines:
        await push(hooks, body=body)

    assert lines == [
        {
            "event": "webhook",
            "log_level": "info",
            "source": "github",
            "result": "accepted",
            "event_name": "push",
            "delivery": "g-1",
        }
    ]


async def test_headers_cannot_write_lines_of_their_own() -> None:
    hooks = Hooks()
    nasty = "push\x1b[31m\x85\x9b fake line é" + "x" * 500

    with capture_logs() as lines:
        await push(hooks, X_GitHub_Event=nasty, X_GitHub_Delivery=nasty)
        await push(hooks, body=deliveries.github(), X_GitHub_Delivery="a\u00a0b\x7f")

    for line in lines:
        for value in line.values():
            assert value.isascii()
            assert value.isprintable()
            assert len(value) <= 100


async def test_strangers_do_not_fill_the_log() -> None:
    hooks = Hooks()

    with capture_logs() as lines:
        for number in range(100):
            await hooks.post("github", b"{}", peer=f"10.0.{number}.1")

    assert len(lines) == 10
    assert hooks.counted("github", "unauthorized") == 100


async def test_labels_of_the_metric_are_sources_and_results_that_we_know() -> None:
    hooks = Hooks()
    for name in ("github", "nobody", "../x", "é", "quiet"):
        await hooks.post(name.encode().decode("latin-1"), b"")

    labels = {
        (sample.labels["source"], sample.labels["result"])
        for metric in hooks.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "reconciler_webhook_requests_total"
    }
    assert {source for source, _ in labels} <= {*hooks.sources, "unknown"}
    assert {result for _, result in labels} <= {result.value for result in Result}


async def test_no_address_in_a_payload_is_ever_opened() -> None:
    """An address of our own listens: nobody comes."""
    hooks = Hooks()
    visits = 0

    async def visited(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1
        writer.close()

    server = await asyncio.start_server(visited, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    text = json.dumps(deliveries.github()).replace("github.com", f"127.0.0.1:{port}")
    hooks.follow("github", None, URLS["github"])
    answer = await push(hooks, body=json.loads(text))
    await asyncio.sleep(0.1)
    server.close()
    await server.wait_closed()

    assert answer.status == 202
    assert visits == 0
    assert hooks.engine.triggers == [("source/github", "webhook")]

"""Events as CloudEvents: read as the specification says, signed, in order, at least once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service.notify.cloudevents import cloud_event, signature, signing_key
from reconciler.service.records import EventRecord
from reconciler.service.store import Store
from tests.service.notify.world import NOW, event, office, receiving

HOOK = "https://reconciler.example.com"
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
# RFC 3339, section 5.6.
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def checked(value: Any) -> Mapping[str, Any]:
    """The attributes, if they are what CloudEvents 1.0.2 (sections 3.1 and 3.2) asks for."""
    for name in ("id", "source", "specversion", "type"):
        assert isinstance(value[name], str)
        assert value[name], f"REQUIRED attribute {name} is empty"
    assert value["specversion"] == "1.0"
    assert value["type"].startswith("dev.reconciler."), "SHOULD be prefixed with a reverse-DNS name"
    urlsplit(value["source"])
    assert re.fullmatch(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", value["source"]), "a URI-reference"
    assert value.get("subject") != "", "MUST be non-empty where present"
    assert value["datacontenttype"] == "application/json"
    assert _TIME.fullmatch(value["time"])
    datetime.fromisoformat(value["time"])
    for name in value:
        assert re.fullmatch(r"[a-z0-9]{1,20}", name), "lower-case letters and digits"
    return value


texts = st.text(max_size=30)
records = st.builds(
    EventRecord,
    at=st.floats(0, 4_000_000_000),
    type=st.sampled_from(["drift", "failure", "source-stale", "pin-expired"]),
    severity=st.sampled_from(["info", "warning", "error"]),
    project=texts,
    message=texts,
    resource=texts,
    source=texts,
    run=texts,
    commit=texts,
    hint=texts,
    id=st.integers(1, 2**62),
)


@given(records, st.sampled_from(["", HOOK, HOOK + "/base/"]))
def test_every_event_is_a_valid_cloud_event(record: EventRecord, link: str) -> None:
    value = checked(cloud_event(record, link))

    assert value["data"].get("message", "") == record.message
    assert json.loads(json.dumps(value)) == value


@given(st.lists(records, unique_by=lambda record: record.id, max_size=5))
def test_source_and_id_name_an_event(events: list[EventRecord]) -> None:
    named = {(value["source"], value["id"]) for value in (cloud_event(one, HOOK) for one in events)}

    assert len(named) == len(events)


async def test_an_event_is_delivered_in_structured_mode(store: Store) -> None:
    async with receiving() as hook:
        more = {"cloud_events": {"url": f"{hook.url}/in"}, "public_url": HOOK}
        async with office(store, {}, **more) as here:
            await here.happen(event("drift", commit="1f7ec5eb", run="r1", source="agents"))
            assert await here.flush() is None

        ((headers, raw),) = hook.got
        assert headers["Content-Type"] == "application/cloudevents+json; charset=utf-8"
        assert "webhook-signature" not in headers
        assert json.loads(raw) == {
            "specversion": "1.0",
            "id": "1-1700000000",
            "source": "https://reconciler.example.com/projects/prod",
            "type": "dev.reconciler.drift",
            "subject": "Agent/triage",
            "time": "2023-11-14T22:13:20.000Z",
            "datacontenttype": "application/json",
            "data": {
                "type": "drift",
                "severity": "warning",
                "project": "prod",
                "resource": "Agent/triage",
                "message": "Agent/triage says drift",
                "source": "agents",
                "run": "r1",
                "commit": "1f7ec5eb",
            },
        }


async def test_a_delivery_is_signed_as_standard_webhooks_asks(store: Store) -> None:
    async with receiving() as hook:
        more = {"cloud_events": {"url": hook.url, "secret": {"env": "KEY"}}}
        async with office(store, {"KEY": SECRET}, **more) as here:
            await here.happen(event("drift"))
            await here.flush(later_s=3)

        ((headers, raw),) = hook.got
    id, at = headers["webhook-id"], headers["webhook-timestamp"]
    signed = hmac.new(b"k" * 32, f"{id}.{at}.{raw.decode()}".encode(), "sha256").digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
    assert (id, at) == (json.loads(raw)["id"], str(int(NOW) + 3))


def test_a_signature_is_that_of_the_published_vector() -> None:
    """Source: the example of the Standard Webhooks libraries."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_secret_without_prefix_is_the_key_itself() -> None:
    assert signing_key("plain-secret") == b"plain-secret"
    assert signing_key("whsec_not base64!") == b"whsec_not base64!"
    assert hashlib.sha256(signing_key(SECRET)).digest() == hashlib.sha256(b"k" * 32).digest()


async def test_all_events_come_in_order_through_failures(store: Store) -> None:
    async with receiving() as hook:
        hook.answers = [204, 503, 500, 429, 204, 302, 404]
        async with office(store, {}, cloud_events={"url": hook.url}) as here:
            await here.happen(*(event("drift", project=f"p{n}") for n in range(6)))
            for _ in range(8):
                if await here.flush(later_s=400) is None:
                    break
            assert (here.sent("cloudevents", "sent"), here.sent("cloudevents", "failed")) == (6, 5)

        ids = [json.loads(raw)["id"].partition("-")[0] for _, raw in hook.got]
        assert ids == ["1", "2", "2", "2", "2", "3", "3", "3", "4", "5", "6"]


async def test_a_restart_goes_on_where_it_was(store: Store) -> None:
    async with receiving() as hook:
        for n in range(3):
            async with office(store, {}, cloud_events={"url": hook.url}) as here:
                await here.happen(event("drift", project=f"p{n}"))
                await here.flush()

        assert [json.loads(raw)["data"]["project"] for _, raw in hook.got] == ["p0", "p1", "p2"]


async def test_an_event_that_is_refused_for_good_does_not_stop_the_rest(store: Store) -> None:
    async with receiving() as hook:
        hook.answers = [413]
        with structlog.testing.capture_logs() as logs:
            async with office(store, {}, cloud_events={"url": hook.url}) as here:
                await here.happen(event("drift"), event("failure"))
                assert await here.flush() is None
                assert here.sent("cloudevents", "sent") == 1

        assert len(hook.got) == 2
        assert [(line["event"], line["status"]) for line in logs] == [("cloud_event_refused", 413)]


async def test_retry_after_is_obeyed(store: Store) -> None:
    async with receiving() as hook:
        hook.answers, hook.headers = [429], {"Retry-After": "120"}
        async with office(store, {}, cloud_events={"url": hook.url}) as here:
            await here.happen(event("drift"))

            assert (await here.flush()).after_s == 120
            assert (await here.flush(later_s=100)).after_s == 20
            assert await here.flush(later_s=21) is None

        assert len(hook.got) == 2


async def test_what_nobody_took_for_a_day_is_given_up(store: Store) -> None:
    async with receiving() as hook:
        with structlog.testing.capture_logs() as logs:
            async with office(store, {}, cloud_events={"url": hook.url}) as here:
                await here.happen(event("drift", at=NOW - 90_000), event("failure"))
                await here.flush()

        assert [json.loads(raw)["type"] for _, raw in hook.got] == ["dev.reconciler.failure"]
        assert logs[0]["event"] == "cloud_event_given_up"


async def test_a_token_in_the_address_is_never_logged(store: Store) -> None:
    with structlog.testing.capture_logs() as logs:
        url = "http://127.0.0.1:9/in?code=token-4711"
        async with office(store, {}, cloud_events={"url": url}) as here:
            await here.happen(event("drift"))
            again = await here.flush()

    assert again is not None
    assert "4711" not in str(logs)
    assert logs[0]["error"] == "the webhook does not answer: ClientConnectorError"
    assert "cloud_events.url" in logs[0]["hint"]


async def test_a_dead_webhook_holds_up_no_notification(store: Store) -> None:
    async with receiving() as hook, receiving() as ops:
        hook.silence = asyncio.Event()
        address = ops.url.replace("http://", "json://")
        more: dict[str, Any] = {"cloud_events": {"url": hook.url}}
        more["notify"] = [{"name": "ops", "url": {"env": "OPS"}}]
        async with office(store, {"OPS": address}, **more) as here:
            await here.happen(event("failure"))
            flushing = asyncio.create_task(here.flush())
            while not (ops.got or flushing.done()):
                await asyncio.sleep(0.01)
            assert not flushing.done()
            hook.silence.set()
            assert await flushing is None


@pytest.mark.parametrize("channels", [{}, {"notify": []}])
async def test_without_a_way_out_nothing_is_done(store: Store, channels: dict[str, Any]) -> None:
    async with office(store, {}, **channels) as here:
        await here.happen(event("failure"))
        assert await here.flush() is None

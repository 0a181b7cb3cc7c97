"""Notifications through apprise to a receiver on this machine, end to end through the outbox."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

import pytest
import structlog

from reconciler.errors import InvalidInput
from reconciler.service.config_spec import NotifySpec, Secret
from reconciler.service.notify import notices
from reconciler.service.notify.notices import Notices
from reconciler.service.store import Store
from tests.service.notify.world import NOW, Receiver, event, office, receiving

OPS = {"name": "ops", "url": {"env": "OPS"}, "on": ["drift", "failure", "recovery", "release"]}


def address(receiver: Receiver) -> str:
    return receiver.url.replace("http://", "json://") + "/hook-5e1f?cto=2&rto=2"


def heard(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(raw) for _, raw in receiver.got]


async def test_an_event_becomes_a_message_with_a_link(store: Store) -> None:
    async with receiving() as ops:
        secrets = {"OPS": address(ops)}
        async with office(store, secrets, notify=[OPS], public_url="https://reconciler.example.com") as here:
            await here.happen(event("failure", hint="Check the role."))
            assert await here.flush() is None

        (message,) = heard(ops)
        assert message["title"] == "reconciler: Failure: prod"
        assert message["message"] == (
            "Agent/triage says failure\nWhat to do: Check the role.\n"
            "https://reconciler.example.com/projects/prod"
        )
        assert message["type"] == "failure"
        assert here.sent("notify/ops", "sent") == 1


async def test_what_nobody_wants_to_hear_is_not_counted_as_sent(store: Store) -> None:
    async with receiving() as ops, office(store, {"OPS": address(ops)}, notify=[OPS]) as here:
        await here.happen(event("suspended"))
        await here.flush()
        await here.happen(event("failure", project="prod"), event("failure", project="stage"))
        await here.flush()

        assert here.sent("notify/ops", "sent") == len(ops.got) == 2


async def test_nothing_is_told_twice_over_restarts(store: Store) -> None:
    async with receiving() as ops:
        for _ in range(3):
            async with office(store, {"OPS": address(ops)}, notify=[OPS]) as here:
                await here.happen(event("drift"))
                await here.flush()
                await here.flush()

        assert len(heard(ops)) == 1


async def test_what_a_dead_address_missed_comes_when_it_is_back(store: Store) -> None:
    async with receiving() as ops:
        ops.answers = [500]
        async with office(store, {"OPS": address(ops)}, notify=[OPS]) as here:
            await here.happen(event("failure"))
            again = await here.flush()
            assert again is not None
            assert 1 <= again.after_s <= 2
            assert (await here.flush()).after_s > 0
            assert len(ops.got) == 1

            assert await here.flush(later_s=5) is None

        assert [message["title"] for message in heard(ops)][1:] == ["reconciler: Failure: prod"]


async def test_a_failing_address_is_logged_without_its_url(
    store: Store, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    # The HTTP library below names the path of each request at this level.
    caplog.set_level(logging.DEBUG)
    async with receiving() as ops:
        ops.answers = [403]
        with structlog.testing.capture_logs() as logs:
            async with office(store, {"OPS": address(ops)}, notify=[OPS]) as here:
                await here.happen(event("failure"))
                await here.flush()

    (line,) = logs
    assert line["event"] == "report_not_sent"
    assert line["channel"] == "notify/ops"
    assert line["error"] == "`ops` did not take a message"
    out, err = capfd.readouterr()
    assert "hook-5e1f" not in f"{logs}{caplog.text}{out}{err}"


async def test_a_silent_address_holds_up_neither_the_others_nor_the_loop(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "TIMEOUT_S", 0.3)
    async with receiving() as silent, receiving() as ops:
        silent.silence = asyncio.Event()
        both = [OPS, {"name": "silent", "url": {"env": "SILENT"}}]
        secrets = {"OPS": address(ops), "SILENT": address(silent)}
        async with office(store, secrets, notify=both) as here:
            await here.happen(event("failure"))
            ticks = asyncio.create_task(count_ticks())
            again = await asyncio.wait_for(here.flush(), 1.5)
            ticks.cancel()

            assert again is not None
            assert len(heard(ops)) == 1
            assert here.sent("notify/silent", "failed") == 1
            # Its thread still waits: no second one is started.
            with structlog.testing.capture_logs() as logs:
                await here.flush(later_s=10)
            assert logs[0]["error"] == "`silent` still does not answer"


async def count_ticks() -> None:
    loop = asyncio.get_running_loop()
    last = loop.time()
    while True:
        await asyncio.sleep(0.01)
        assert loop.time() - last < 0.25, "the loop stood still"
        last = loop.time()


async def test_a_new_address_is_not_told_the_history(store: Store) -> None:
    async with receiving() as ops, office(store, {"OPS": address(ops)}, notify=[OPS]) as here:
        await here.happen(*(event("failure", project=f"p{n}", at=NOW - 7200) for n in range(700)))
        await here.happen(event("failure", project="now"))
        while await here.flush() is not None:
            pass

        assert [message["title"] for message in heard(ops)] == ["reconciler: Failure: now"]


def test_a_missing_extra_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(InvalidInput) as caught:
        Notices(NotifySpec(name="ops", url=Secret(env="OPS")), "json://127.0.0.1", store, "")

    assert str(caught.value) == "notifications need apprise, which is not installed"
    assert caught.value.hint == "Run `pip install 'foundry-reconciler[notify]'`."


def test_an_unknown_address_is_refused_without_showing_it(store: Store) -> None:
    spec = NotifySpec(name="ops", url=Secret(env="OPS"))

    with pytest.raises(InvalidInput) as caught:
        Notices(spec, "nonsense://token-77", store, "")

    assert str(caught.value) == "the address of notification `ops` is none that apprise knows"
    assert "https://appriseit.com/services/" in caught.value.hint


async def test_an_address_that_cannot_be_used_is_left_out_and_logged(store: Store) -> None:
    async with receiving() as ops:
        both = [{"name": "bad", "url": {"env": "BAD"}}, OPS]
        secrets = {"OPS": address(ops), "BAD": "nonsense://token-77"}
        with structlog.testing.capture_logs() as logs:
            async with office(store, secrets, notify=both) as here:
                await here.happen(event("failure"))
                await here.flush()

        assert len(heard(ops)) == 1
        assert [line["event"] for line in logs] == ["report_unusable"]
        assert "token-77" not in str(logs)

"""Messages to people: chats, mail and the like, by apprise. One slow address never holds up another."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import warnings
from collections.abc import AsyncIterator, Sequence
from threading import Thread
from typing import Any, Final

from reconciler.errors import InvalidInput
from reconciler.service.config_spec import NotifySpec
from reconciler.service.notify.channel import NotSent, Settled
from reconciler.service.notify.telling import Message, messages, things, wanted
from reconciler.service.records import EventRecord
from reconciler.service.store import Store

# apprise gives a connection 4 s and an answer 4 s unless its URL says otherwise.
TIMEOUT_S: Final = 15.0
_HINT: Final = "Check the address; `apprise -v -b test URL` tries it out."
_TYPES: Final = {"drift": "warning", "failure": "failure", "recovery": "success", "release": "info"}


class Notices:
    """One address.

    Raises:
        InvalidInput: apprise is not installed, or does not know the address.
    """

    def __init__(self, spec: NotifySpec, url: str, store: Store, link: str) -> None:
        self._spec = spec
        self._store = store
        self._link = link
        self._apprise = _opened(spec, url)
        self._sending: _Sending | None = None

    @property
    def name(self) -> str:
        return f"notify/{self._spec.name}"

    async def tell(self, events: Sequence[EventRecord], now: float) -> AsyncIterator[Settled]:
        """Send the news among these events, then yield the last one.

        What was told is remembered after each message: a crash in between tells one message again.
        """
        mine = [event for event in events if wanted(self._spec, event, now)]
        names = dict.fromkeys(name for event in mine for name in things(event))
        told = {name: await self._store.cursor(self._cursor(name)) for name in names}
        due = messages(self._spec, mine, told, now, self._link)
        for message in due:
            await self._send(message)
            for name, stamp in message.told.items():
                await self._store.move_cursor(self._cursor(name), stamp)
        yield Settled(events[-1].id, len(due))

    def _cursor(self, thing: str) -> str:
        return f"told/{self._spec.name}/{thing}"

    async def _send(self, message: Message) -> None:
        """Send one message; apprise does it in a thread, of which an address never has two."""
        if self._sending is not None and self._sending.thread.is_alive():
            raise NotSent(f"`{self._spec.name}` still does not answer", hint=_HINT)
        self._sending = sending = _Sending(self._apprise, message, asyncio.get_running_loop())
        try:
            await asyncio.wait_for(sending.over.wait(), TIMEOUT_S)
        except TimeoutError:
            raise NotSent(
                f"`{self._spec.name}` does not answer within {TIMEOUT_S:.0f} s", hint=_HINT
            ) from None
        if not sending.sent:
            raise NotSent(f"`{self._spec.name}` did not take a message", hint=_HINT)


class _Sending:
    """One message on its way, in a thread that does not hold up the end of the process."""

    def __init__(self, apprise: Any, message: Message, loop: asyncio.AbstractEventLoop) -> None:
        self.sent = False
        self.over = asyncio.Event()
        self._loop = loop
        self.thread = Thread(target=self._send, args=(apprise, message), name="notify", daemon=True)
        self.thread.start()

    def _send(self, apprise: Any, message: Message) -> None:
        # A hundred plug-ins raise what they like, with addresses inside.
        with contextlib.suppress(Exception):
            self.sent = bool(
                apprise.notify(
                    body=message.body,
                    title=f"reconciler: {message.title}",
                    notify_type=_TYPES[message.occasion],
                    body_format="text",
                )
            )
        # The loop may be gone by now: nobody waits any more.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.over.set)


def _opened(spec: NotifySpec, url: str) -> Any:
    try:
        import apprise
    except ImportError as error:
        raise InvalidInput(
            "notifications need apprise, which is not installed",
            hint="Run `pip install 'foundry-reconciler[notify]'`.",
        ) from error
    # Both log addresses, which hold secrets; what matters is in our own line.
    for name in ("apprise", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    opened = apprise.Apprise()
    # The first address loads all plug-ins, some of which import what Python has given up.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        known = opened.add(url)
    if not known:
        raise InvalidInput(
            f"the address of notification `{spec.name}` is none that apprise knows",
            hint="Write it as https://appriseit.com/services/ shows, for example `msteams://…`.",
        )
    return opened

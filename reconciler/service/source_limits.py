"""How long, and how much, one call to a Git server may take. Libgit2 cannot be stopped: it is left behind."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pygit2

from reconciler.errors import SourceError, SourceUnreachable
from reconciler.git_credentials import Callbacks, Login
from reconciler.location import GitUrl

T = TypeVar("T")

# Calls that were given up and still hang in the network; each is a thread.
_MOST_HANGING: Final = 3
_silence: dict[str, float] = {"longest": 0.0}


@dataclass(frozen=True)
class FetchLimits:
    """Limits of one source: silence and the whole of one call, bytes to receive, files in its folder."""

    silence_s: float
    whole_s: float
    most_bytes: int
    files: int


class Watched(Callbacks):
    """Callbacks that note when the server last said something, and stop a transfer that is too large.

    Args:
        most_objects: how many objects the server may send, None for any number.
    """

    def __init__(
        self, url: GitUrl, login: Login, limits: FetchLimits, most_objects: int | None = None
    ) -> None:
        super().__init__(url, login)
        self._where = url.url
        self._limits = limits
        self._most_objects = most_objects
        self.heard_at = time.monotonic()
        self.given_up = False
        self.too_many = False

    def sideband_progress(self, string: str) -> None:
        """What the server says while it packs."""
        self._heard()

    def transfer_progress(self, stats: Any) -> None:
        """Called for every few objects, and while they are indexed."""
        self._heard()
        if self._most_objects is not None and stats.total_objects > self._most_objects:
            self.too_many = True
            raise SourceError(f"{self._where} sends {stats.total_objects:,} objects")
        if stats.received_bytes > self._limits.most_bytes:
            raise SourceError(
                f"{self._where} sends more than {self._limits.most_bytes // 1024**2:,} MB",
                hint="Give the manifests their own repository, or raise `limits.megabytes` of the source.",
            )

    def _heard(self) -> None:
        self.heard_at = time.monotonic()
        if self.given_up:
            raise SourceUnreachable(f"the call to {self._where} was given up")


class Calls:
    """Calls to one Git server, each in a thread that is left behind when it exceeds its time."""

    def __init__(self, url: GitUrl, limits: FetchLimits) -> None:
        self._url = url
        self._limits = limits
        self._left: list[threading.Thread] = []
        self._under_way: set[Future[Any]] = set()
        self._abandoned = False
        # Process-wide in libgit2, in milliseconds; each source's own limit is watched here.
        _silence["longest"] = max(_silence["longest"], limits.silence_s)
        longest_ms = max(1, int(_silence["longest"] * 1000))
        pygit2.settings.server_timeout = pygit2.settings.server_connect_timeout = longest_ms

    def run(self, call: Callable[[], T], watched: Watched) -> T:
        """What the call returns or raises.

        Raises:
            SourceUnreachable: silence, or the whole call, exceeded its limit.
        """
        self._left = [thread for thread in self._left if thread.is_alive()]
        if len(self._left) >= _MOST_HANGING:
            raise SourceUnreachable(
                f"{len(self._left)} earlier calls to {self._url.url} still hang",
                hint="The server or a proxy answers a little and never ends; check both.",
            )
        done: Future[T] = Future()
        self._under_way.add(done)
        try:
            return self._answer(done, call, watched)
        finally:
            self._under_way.discard(done)

    def abandon(self) -> None:
        """Wait for no call any more: who does hears so at once, and later callers as well."""
        self._abandoned = True
        for done in tuple(self._under_way):
            _settle(done, error=self._over())

    def _answer(self, done: Future[T], call: Callable[[], T], watched: Watched) -> T:
        if self._abandoned:
            raise self._over()
        thread = threading.Thread(target=_into, args=(done, call), name="git", daemon=True)
        started = watched.heard_at = time.monotonic()
        thread.start()
        while True:
            until = min(watched.heard_at + self._limits.silence_s, started + self._limits.whole_s)
            try:
                done.exception(timeout=max(0.0, until - time.monotonic()))
                return done.result()
            except TimeoutError:
                if done.done():
                    continue
            now = time.monotonic()
            if now - started >= self._limits.whole_s or now - watched.heard_at >= self._limits.silence_s:
                watched.given_up = True
                self._left.append(thread)
                raise self._late(now - started >= self._limits.whole_s)

    def _over(self) -> SourceUnreachable:
        return SourceUnreachable(f"{self._url.url} is not asked any more", hint="The service stops.")

    def _late(self, whole: bool) -> SourceUnreachable:
        if whole:
            return SourceUnreachable(
                f"{self._url.url} took more than {self._limits.whole_s:g} s",
                hint="Keep the manifests in a smaller repository, or raise `limits.timeout` of the source.",
            )
        return SourceUnreachable(
            f"{self._url.url} said nothing for {self._limits.silence_s:g} s",
            hint="Check the server, the network and the proxy; `limits.timeout` of the source is that long.",
        )


def _into(done: Future[T], call: Callable[[], T]) -> None:
    try:
        result = call()
    except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, which raises it
        _settle(done, error=error)
    else:
        _settle(done, result)


def _settle(done: Future[T], result: T | None = None, *, error: BaseException | None = None) -> None:
    # Whoever comes second comes too late: the call ends while it is abandoned.
    with contextlib.suppress(InvalidStateError):
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]

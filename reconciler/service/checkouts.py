"""The newest checkout of each source in this process, and what changed in it for each Project."""

from __future__ import annotations

import asyncio
import contextvars
import math
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, TypeVar

from reconciler.desired import DesiredProject
from reconciler.errors import SourceError
from reconciler.loading import Loaded
from reconciler.resource import Key
from reconciler.service.config import Config
from reconciler.service.config_spec import SourceSpec
from reconciler.service.source import Checkout, SourceReader
from reconciler.settings import Settings

T = TypeVar("T")

# More than there are turns at once by default; each only waits for a server, or parses.
_MOST_THREADS: Final = 32


@dataclass
class _Held:
    """One source: who reads it, what was read last, and when its server was last asked."""

    reader: SourceReader
    identity: tuple[SourceSpec, tuple[str, ...]]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    newest: Checkout | None = None
    asked_at: float = -math.inf
    # By Project: keys that changed since its last run; None for everything.
    changed: dict[str, frozenset[Key] | None] = field(default_factory=dict)
    # The same since Projects were last told; `told` is the commit they were told of.
    untold: dict[str, frozenset[Key] | None] = field(default_factory=dict)
    told: str = ""


class Checkouts:
    """What this process knows of the configured sources. Reading happens in threads, one a source."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self.environ = environ
        self._held: dict[str, _Held] = {}
        # Also those that a reload replaced: one may still wait for its server.
        self._readers: weakref.WeakSet[SourceReader] = weakref.WeakSet()
        # Of its own: servers that hang would take the few threads that everything else shares.
        self._threads = ThreadPoolExecutor(_MOST_THREADS, "source")
        self._good: dict[str, tuple[Loaded, DesiredProject]] = {}

    def configure(self, config: Config) -> None:
        """Watch what this configuration names; readers of sources that stayed as they were are kept."""
        kept = {}
        for spec in config.spec.sources:
            old, identity = self._held.get(spec.name), (spec, _secrets(spec, config))
            if old is None or old.identity != identity:
                old = _Held(SourceReader(spec, config, self._settings, self.environ), identity)
                self._readers.add(old.reader)
            kept[spec.name] = old
        self._held = kept

    def close(self) -> None:
        """Wait for no server any more."""
        for reader in tuple(self._readers):
            reader.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def __contains__(self, source: str) -> bool:
        return source in self._held

    def _of(self, source: str) -> _Held:
        try:
            return self._held[source]
        except KeyError:
            hint = "The configuration in force does not name it; its Projects are left as they are."
            raise SourceError(f"source {source} is not watched any more", hint=hint) from None

    def reader(self, source: str) -> SourceReader:
        """Who reads the source; for use in a thread."""
        return self._of(source).reader

    async def head(self, source: str) -> str:
        """The newest commit of the source's ref, asked from its server now.

        Raises:
            SourceError: the server does not answer, or the ref is gone.
        """
        held = self._of(source)
        # What it said before counts no more while it is asked, and after it gave no answer.
        held.asked_at = -math.inf
        head = await self._in_thread(held.reader.head)
        held.asked_at = time.monotonic()
        return head

    def asked_s_ago(self, source: str) -> float:
        """How long ago the server last said what is newest, in seconds."""
        return time.monotonic() - self._of(source).asked_at

    async def read(self, source: str, commit: str = "") -> Checkout:
        """The checkout of that commit, or of the newest; remembers what changed for each Project.

        Raises:
            SourceError: it cannot be fetched, verified or read; what was read before stays.
        """
        held = self._of(source)
        async with held.lock:
            if held.newest is not None and commit and held.newest.commit == commit:
                return held.newest
            checkout = await self._in_thread(lambda: held.reader.checkout(commit))
            if held.newest is None or checkout.commit != held.newest.commit:
                held.newest = checkout
                for changes in (held.changed, held.untold):
                    for name, keys in checkout.changed.items():
                        changes[name] = _together(changes.get(name, frozenset()), keys)
            return checkout

    async def _in_thread(self, read: Callable[[], T]) -> T:
        context = contextvars.copy_context()
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: context.run(read))

    def newest(self, source: str) -> Checkout | None:
        """What was read last in this process."""
        return self._of(source).newest

    def changes(self, source: str, project: str) -> frozenset[Key] | None:
        """The keys whose desired value changed since they were last taken; None for all of them."""
        return self._of(source).changed.get(project)

    def take_changes(self, source: str, project: str) -> frozenset[Key] | None:
        """The same, and from now on they count as known; who takes them looks at all of them."""
        return self._of(source).changed.pop(project, frozenset())

    def untold(self, source: str) -> Mapping[str, frozenset[Key] | None]:
        """What changed, by Project, since the last commit that `tell` was called with.

        A turn of a Project may read a commit that another process saw first, and a process may end between
        seeing a commit and telling the Projects: then it is still to be told.
        """
        return dict(self._of(source).untold)

    def told(self, source: str) -> str:
        """The commit that Projects were last told of by this process, "" for none."""
        return self._of(source).told

    def tell(self, source: str, commit: str) -> None:
        """Every Project that the commit changes knows of it."""
        held = self._of(source)
        if held.newest is not None and held.newest.commit == commit:
            held.told = commit
            held.untold.clear()

    def keep_good(self, loaded: Loaded, project: DesiredProject) -> None:
        """Remember a Project without problems, to report drift against while a later one has some."""
        self._good[project.project.name] = (loaded, project)

    def last_good(self, project: str) -> tuple[Loaded, DesiredProject] | None:
        """The newest state of a Project that had no problems."""
        return self._good.get(project)


def _secrets(spec: SourceSpec, config: Config) -> tuple[str, ...]:
    """The secrets a reader signs in with: one that was rotated needs another reader."""
    given = spec.credentials
    named = (given.token, given.ssh_passphrase) if given else ()
    return tuple(config.secret(secret) for secret in named if secret is not None)


def _together(old: frozenset[Key] | None, new: frozenset[Key] | None) -> frozenset[Key] | None:
    return None if old is None or new is None else old | new


__all__ = ["Checkouts", "SourceError"]

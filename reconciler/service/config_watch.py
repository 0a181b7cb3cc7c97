"""Notice that the configuration changed, and take it over; a bad one changes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import signal
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from reconciler.errors import InvalidInput, ReconcilerError, explain
from reconciler.log import mask_with, set_up_service
from reconciler.masking import Masker
from reconciler.service.config import Config, Configured, load_config
from reconciler.service.config_fields import is_loopback, listen_at
from reconciler.service.config_secrets import path_of
from reconciler.service.config_spec import Secret, ServiceSpec
from reconciler.service.metrics import Metrics

log = structlog.get_logger("reconciler")

_LOOK_S: Final = 1.0
# What is wrong may be a file that the refused text names and that nobody watches: try again by itself.
_AGAIN_S: Final = 30.0
# What the process is built on; everything else holds at once.
_NEED_RESTART: Final = ("listen", "store", "limits.reconciles")

Changed = Callable[[Config], Awaitable[None]]
Reloaded = Callable[[], Awaitable[None]]
# A hash of the content by path, None for a file that cannot be read. The files are small, and read once a
# second: times and sizes lie where a mounted ConfigMap is swapped by a link.
_Seen = dict[Path, bytes | None]


async def watch(
    configured: Configured,
    environ: Mapping[str, str],
    changed: Changed,
    stop: asyncio.Event,
    metrics: Metrics | None = None,
    reloaded: Reloaded | None = None,
) -> None:
    """Take over what the configuration file and the files it names say, until the stop.

    A change counts when two looks in a row, a second apart, see the same; after SIGHUP at once.

    Args:
        configured: `current` is replaced by what was read, `rejected` filled when it cannot be used.
        changed: hears of a configuration that differs, after it is `current`. What it raises refuses it.
        reloaded: hears of every reload, refused or not, when `configured` says how it went.
    """
    watching = Watching(configured, environ, changed, metrics)
    with _hangups() as hangup:
        # The file may have changed since the process read it at its start.
        asked = True
        while not stop.is_set():
            before = (configured.rejected, configured.loaded_at)
            await watching.look(at_once=asked)
            if reloaded is not None and (configured.rejected, configured.loaded_at) != before:
                await reloaded()
            asked = await _pause(stop, hangup)


@dataclass
class Watching:
    """What was seen of the files so far. `look` once a second."""

    configured: Configured
    environ: Mapping[str, str]
    changed: Changed
    metrics: Metrics | None = None
    _seen: _Seen = field(default_factory=dict)
    _settling: _Seen | None = None
    _tried_at: float = 0.0

    async def look(self, *, at_once: bool = False) -> None:
        """Reload if the files changed and have settled, or in any case when asked to."""
        seen = await asyncio.to_thread(_look, self.configured.current)
        overdue = bool(self.configured.rejected) and time.monotonic() - self._tried_at > _AGAIN_S
        if at_once or overdue or (seen != self._seen and seen == self._settling):
            await self._reload(seen)
        elif seen != self._seen:
            # An editor may still be writing: wait until two looks see the same.
            self._settling = seen

    async def _reload(self, seen: _Seen) -> None:
        self._seen, self._settling, self._tried_at = seen, None, time.monotonic()
        old = self.configured.current
        try:
            new = await asyncio.to_thread(load_config, old.path, self.environ)
            await self._take(old, new)
        except InvalidInput as error:
            self.configured.current = old
            self._reject([*map(str, error.problems)] or [_told(error)])
        except ReconcilerError as error:
            self.configured.current = old
            self._reject([_told(error)])
        else:
            # Files that are named only now; what was seen before the reading stays, so that no change since
            # is missed.
            self._seen = {**await asyncio.to_thread(_look, self.configured.current), **seen}
            self._seen = {path: self._seen[path] for path in _files(self.configured.current)}

    async def _take(self, old: Config, read: Config) -> None:
        waiting = _needs_restart(old.spec, read.spec)
        if read.spec.auth is None and not is_loopback(listen_at(old.spec.listen)[0]):
            # The file is right for the address that it names, and we listen at another one until the restart.
            raise InvalidInput(
                f"`auth` was removed while the service listens at {old.spec.listen}",
                hint="Restart it to listen elsewhere; until then everybody there would be admin.",
            )
        new = Config(read.path, _as_started(read.spec, old.spec), read.secrets)
        differs = changes(old, new)
        if differs:
            # Until everybody has the new secrets, the old ones are secrets too.
            mask_with(Masker({*old.secrets.values(), *new.secrets.values()}).text)
            self.configured.current = new
            await self.changed(new)
        if new.spec.log != old.spec.log:
            set_up_service(new.spec.log, new.masker().text)
        recovered = bool(self.configured.rejected) and not waiting
        if waiting:
            self._reject([f"`{name}` was changed, which takes a restart" for name in waiting])
        else:
            self.configured.rejected = ()
        if differs or recovered:
            self.configured.loaded_at = time.time()
            log.info("config_reloaded", changed=list(differs))
            self._count("reloaded")

    def _reject(self, problems: list[str]) -> None:
        masker = self.configured.current.masker()
        told = tuple(masker.text(problem) for problem in problems)
        if told == self.configured.rejected:
            return
        self.configured.rejected, self.configured.rejected_at = told, time.time()
        log.error("config_rejected", file=str(self.configured.current.path), problems=list(told))
        self._count("rejected")

    def _count(self, result: str) -> None:
        if self.metrics is not None:
            self.metrics.reloads.labels(result).inc()


def changes(old: Config, new: Config) -> tuple[str, ...]:
    """What differs, by dotted names: `auth`, `sources.agents`, `limits`; `secrets` when one was rotated."""
    found = []
    for name in ServiceSpec.model_fields:
        before, after = getattr(old.spec, name), getattr(new.spec, name)
        if name in ("sources", "notify"):
            found += _named_changes(name, before, after)
        elif before != after:
            found.append(name)
    if any(new.secrets.get(secret) != text for secret, text in old.secrets.items() if secret in new.secrets):
        found.append("secrets")
    return tuple(found)


def _named_changes(name: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> list[str]:
    before, after = {item.name: item for item in old}, {item.name: item for item in new}
    return [f"{name}.{item}" for item in sorted({*before, *after}) if before.get(item) != after.get(item)]


def _needs_restart(old: ServiceSpec, new: ServiceSpec) -> list[str]:
    return [name for name in _NEED_RESTART if _setting(old, name) != _setting(new, name)]


def _setting(spec: ServiceSpec, name: str) -> Any:
    value: Any = spec
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _as_started(new: ServiceSpec, old: ServiceSpec) -> ServiceSpec:
    """The new settings, but for those that the process was built on."""
    limits = new.limits.model_copy(update={"reconciles": old.limits.reconciles})
    return new.model_copy(update={"listen": old.listen, "store": old.store, "limits": limits})


def _told(error: ReconcilerError) -> str:
    text = ": ".join(explain(error))
    return f"{text} ({error.hint})" if error.hint else text


def _files(config: Config) -> Iterator[Path]:
    """The configuration and every file that it names."""
    yield config.path
    spec = config.spec
    names = [secret.file for secret in config.secrets if isinstance(secret, Secret) and secret.file]
    for source in spec.sources:
        if source.credentials is not None and source.credentials.ssh_key is not None:
            names.append(source.credentials.ssh_key)
        if source.signatures is not None:
            names += [*source.signatures.ssh, *source.signatures.gpg]
    if spec.auth is not None and spec.auth.tokens is not None:
        names.append(spec.auth.tokens)
    yield from (path_of(name, config.path.parent) for name in names)


def _look(config: Config) -> _Seen:
    return {path: _hash(path) for path in _files(config)}


def _hash(path: Path) -> bytes | None:
    try:
        # Reading a pipe would wait for whoever writes it.
        return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else None
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _hangups() -> Iterator[asyncio.Event]:
    """Set on each SIGHUP; never where signals cannot be had, as in a thread."""
    hangup, loop = asyncio.Event(), asyncio.get_running_loop()
    try:
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
    except (NotImplementedError, RuntimeError, ValueError):
        yield hangup
        return
    try:
        yield hangup
    finally:
        loop.remove_signal_handler(signal.SIGHUP)


async def _pause(stop: asyncio.Event, hangup: asyncio.Event) -> bool:
    """Wait for the next look; whether somebody asked for it."""
    tasks = [asyncio.create_task(event.wait()) for event in (stop, hangup)]
    try:
        await asyncio.wait(tasks, timeout=_LOOK_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    asked = hangup.is_set()
    hangup.clear()
    return asked

"""Which source and which ports a run uses: the only place that chooses."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from reconciler.live import Ports
from reconciler.resource import Code
from reconciler.settings import Settings
from reconciler.source import Snapshot, open_source

if TYPE_CHECKING:
    from reconciler.foundry.pipeline import Pipe
    from reconciler.foundry.remembered import Remembered
    from reconciler.foundry.sending import Observer
    from reconciler.sandbox import Sandbox

_SANDBOX = "sandbox://"
_embedded: dict[str, Sandbox] = {}


def source(text: str, ref: str | None, settings: Settings, environ: Mapping[str, str]) -> Snapshot:
    """The manifests' source: a directory, a checkout or a Git URL."""
    return open_source(text, environ=environ, ref=ref, cache=settings.cache, timeout_s=settings.git_timeout_s)


def address(endpoint: str, settings: Settings) -> str:
    """The http(s) endpoint of a Project; `sandbox://NAME` starts the sandbox of this process.

    Raises:
        StateError: the sandbox cannot use its state file.
    """
    if not endpoint.startswith(_SANDBOX):
        return endpoint
    from reconciler.errors import StateError
    from reconciler.sandbox import Sandbox, SandboxError

    state = str(settings.sandbox_state)
    if state not in _embedded:
        try:
            settings.sandbox_state.parent.mkdir(parents=True, exist_ok=True)
            sandbox = Sandbox(settings.sandbox_state)
            sandbox.start()
        except OSError as error:
            raise StateError(f"cannot use the sandbox state {state}", hint="Check its folder.") from error
        except SandboxError as error:
            raise StateError(str(error), hint=error.hint) from error
        _embedded[state] = sandbox
    return _embedded[state].endpoint(endpoint.removeprefix(_SANDBOX))


@asynccontextmanager
async def connected(
    endpoint: str, settings: Settings, observer: Observer | None = None, longest_s: float = math.inf
) -> AsyncIterator[Pipe]:
    """The pipeline to one endpoint, open while the block runs; the observer hears of each request.

    With `longest_s` a request that is refused or fails is not tried for longer.

    Raises:
        InvalidInput: the endpoint's host must not get our token.
        StateError: the sandbox cannot use its state file.
    """
    from reconciler.foundry.pipeline import open_pipe
    from reconciler.foundry.trust import check_trusted

    check_trusted(endpoint, settings.trusted_hosts)
    where, most = address(endpoint, settings), settings.concurrency + 4
    async with open_pipe(where, connections=most, observer=observer, longest_s=longest_s) as pipe:
        yield pipe


def remembered() -> Remembered:
    """Room for what lists were read last, for a caller that reads the same projects again and again."""
    from reconciler.foundry.remembered import Remembered

    return Remembered()


def ports_over(
    pipe: Pipe, project: str, zipped: Callable[[Code], bytes], known: Remembered | None = None
) -> Ports:
    """The ports of one Project over a pipeline that is open; `known` is what earlier ones read."""
    from reconciler.foundry.agents import AgentPort

    return {"Agent": AgentPort(pipe, project, zipped, known)}


@asynccontextmanager
async def ports(
    project: str,
    endpoint: str,
    zipped: Callable[[Code], bytes],
    settings: Settings,
    observer: Observer | None = None,
) -> AsyncIterator[Ports]:
    """The ports of one Project, open while the block runs; the observer hears of each request."""
    async with connected(endpoint, settings, observer) as pipe:
        yield ports_over(pipe, project, zipped)


def import_sdk() -> None:
    """Import what writes need, ahead of the first one."""
    from reconciler.foundry.warm import import_sdk as warm

    warm()


def trace_calls() -> None:
    """Make a span of every call to the service; needs the extra `tracing`."""
    from reconciler.foundry.tracing import trace_calls as trace

    trace()


def close() -> None:
    """Stop the sandbox of this process, if one was started."""
    while _embedded:
        _embedded.popitem()[1].stop()

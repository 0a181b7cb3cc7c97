"""Forges that run, each with our client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from aiohttp import ClientSession

from reconciler.service.config_spec import ForgeSpec, Secret
from reconciler.service.notify.caller import Caller
from reconciler.service.notify.forges import Forge, open_forge
from tests.service.notify.forge_servers import (
    TOKEN,
    AzureServer,
    ForgeServer,
    GitHubServer,
    GitLabServer,
    served,
)

SECRET = Secret(env="TOKEN")
SERVERS: dict[str, tuple[type[ForgeServer], str, str]] = {
    "github": (GitHubServer, "acme/agents", "/"),
    "gitlab": (GitLabServer, "acme/platform/agents", "/api/v4"),
    "azure-devops": (AzureServer, "Team A/agents", "/acme"),
}


@dataclass
class Place:
    """A forge that runs, and our side of it."""

    provider: str
    server: Any
    forge: Forge
    open: Callable[[str], Forge]


@asynccontextmanager
async def opened(provider: str, session: ClientSession) -> AsyncIterator[Place]:
    """A forge that listens, and its client, which pauses without losing time."""
    kind, repository, path = SERVERS[provider]
    server = kind()
    async with served(server.handle) as url:
        spec = ForgeSpec.model_validate(
            {
                "provider": provider,
                "repository": repository,
                "token": SECRET,
                "url": f"{url}{path}".rstrip("/"),
            }
        )

        def opened(token: str) -> Forge:
            forge = open_forge(spec, token, "https://example.com/x", session)
            caller: Caller = forge._caller  # type: ignore[attr-defined]
            forge._caller = replace(caller, pause=no_pause)  # type: ignore[attr-defined]
            return forge

        yield Place(provider, server, opened(TOKEN), opened)


PAUSES: list[float] = []


async def no_pause(pause_s: float) -> None:
    PAUSES.append(pause_s)
    await asyncio.sleep(0)

"""The dashboard over a real store and, where a browser needs one, a real server; no turns run."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import uvicorn
from starlette.applications import Starlette

from reconciler.resource import Live
from reconciler.service.actions import Actions
from reconciler.service.auth.authenticator import Authenticator
from reconciler.service.auth.routes import middleware
from reconciler.service.auth.routes import routes as auth_routes
from reconciler.service.auth.tokens import hash_of
from reconciler.service.config import Configured, load_config
from reconciler.service.deps import Deps
from reconciler.service.metrics import Metrics
from reconciler.service.store import Store
from reconciler.service.store.opening import open_store
from reconciler.service.views import Views
from reconciler.service.web.pages import Dashboard, dashboard
from tests.service.api.world import TOKENS, Triggers
from tests.service.web.seed import NOW

# A viewer and an operator of `prod` and `stage` alone, an admin of everything.
ROLES: Final = [
    {"role": "viewer", "projects": ["prod", "stage"], "tokens": ["viewer"]},
    {"role": "operator", "projects": ["prod", "stage"], "tokens": ["operator"]},
    {"role": "admin", "tokens": ["root"]},
]
SIGN_IN: Final = {"tokens": "tokens.yaml", "roles": ROLES}


@dataclass
class Front:
    """A dashboard, its parts, and what it would see of live agents."""

    app: Starlette
    deps: Deps
    engine: Triggers
    pages: Dashboard
    clock: list[float]
    agents: dict[tuple[str, str], Live] = field(default_factory=dict)

    @property
    def store(self) -> Store:
        return self.deps.store

    def client(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        """A browser without scripts."""
        if token:
            headers["Authorization"] = f"Bearer {TOKENS[token]}"
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=("127.0.0.1", 50000))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8080", headers=headers)

    async def get(self, path: str, token: str = "", **headers: str) -> httpx.Response:
        async with self.client(token, **headers) as client:
            return await client.get(path)


@asynccontextmanager
async def front(folder: Path, auth: Mapping[str, Any] | None = None, **more: Any) -> AsyncIterator[Front]:
    """The dashboard over an empty store; without `auth` only this machine is served."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "store": f"sqlite:///{folder}/store.db",
        "sources": [{"name": "agents", "url": "https://git.example.com/agents.git"}],
        **({"auth": auth} if auth else {}),
        **more,
    }
    (folder / "service.yaml").write_text(json.dumps(spec))
    tokens = folder / "tokens.yaml"
    tokens.write_text("".join(f"{name}: {hash_of(token)}\n" for name, token in TOKENS.items()))
    tokens.chmod(0o600)
    config = load_config(folder / "service.yaml", {})
    store = open_store(config.spec.store)
    await store.open()
    clock, engine = [NOW], Triggers()
    deps = Deps(
        Configured(config, loaded_at=NOW - 90_000), store, engine, Metrics(), lambda: clock[0], "replica-1"
    )
    agents: dict[tuple[str, str], Live] = {}

    async def look(project: str, resource: str) -> Live | None:
        return agents.get((project, resource))

    views = Views(deps, look)
    auth_ = Authenticator(deps)
    pages = dashboard(deps, views, Actions(deps, views), auth_)
    app = Starlette(
        routes=[*auth_routes(auth_, pages.serving.sign_in), *pages.routes],
        middleware=middleware(auth_),
        exception_handlers=pages.serving.exception_handlers(),
    )
    try:
        yield Front(app, deps, engine, pages, clock, agents)
    finally:
        await pages.pulses.close()
        await store.close()


@asynccontextmanager
async def serving(front: Front) -> AsyncIterator[str]:
    """The dashboard over HTTP; its address."""
    server = uvicorn.Server(
        uvicorn.Config(
            front.app, port=0, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2
        )
    )
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        await front.pages.pulses.close()
        server.should_exit = True
        await task

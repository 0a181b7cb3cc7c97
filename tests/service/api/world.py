"""The web side of a service with a real store; no turns run, so the store holds what tests put there."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from reconciler.errors import ReconcilerError
from reconciler.resource import Live
from reconciler.service.actions import Actions
from reconciler.service.api import routes as api_routes
from reconciler.service.auth.authenticator import Authenticator
from reconciler.service.auth.routes import middleware
from reconciler.service.auth.routes import routes as auth_routes
from reconciler.service.auth.tokens import hash_of
from reconciler.service.config import Configured, load_config
from reconciler.service.deps import Deps
from reconciler.service.engine import Queue
from reconciler.service.metrics import Metrics
from reconciler.service.records import Health, ProjectRecord, ResourceRecord, SourceRecord
from reconciler.service.store.opening import open_store
from reconciler.service.views import Views

# Tokens of people with one role each: viewer and operator of `prod` and `stage`, admin of `prod` alone, and
# admin of everything. A token without a line in `roles` has none.
TOKENS: Final = {name: f"rct_{name}-0123456789" for name in ("viewer", "operator", "admin", "root", "nobody")}
ROLES: Final = [
    {"role": "viewer", "projects": ["prod", "stage"], "tokens": ["viewer"]},
    {"role": "operator", "projects": ["prod", "stage"], "tokens": ["operator"]},
    {"role": "admin", "projects": ["prod"], "tokens": ["admin"]},
    {"role": "viewer", "projects": ["stage"], "tokens": ["admin"]},
    {"role": "admin", "tokens": ["root"]},
]
NOW: Final = 1_800_000_000.0
SHA: Final = "c0ffee" * 6 + "c0de"


class Triggers:
    """An engine that gives no turns and remembers who asked for one."""

    ready = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def trigger(self, key: str, reason: str, *, after_s: float = 0.0) -> bool:
        self.asked.append((key, reason))
        return True

    async def queue(self) -> Queue:
        return Queue(1, 2, 3)


@dataclass
class Front:
    """The web side: its parts, and a clock that tests move."""

    app: Starlette
    deps: Deps
    engine: Triggers
    auth: Authenticator
    actions: Actions
    views: Views
    folder: Path
    clock: list[float]
    agents: dict[tuple[str, str], Live | ReconcilerError] = field(default_factory=dict)

    def client(
        self, token: str = "", *, peer: str = "127.0.0.1", base: str = "", **more: Any
    ) -> httpx.AsyncClient:
        """Somebody who asks: a script with a token, or a browser that keeps cookies."""
        headers = {"Authorization": f"Bearer {TOKENS.get(token, token)}"} if token else {}
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False, client=(peer, 50000))
        return httpx.AsyncClient(
            trust_env=False,
            transport=transport,
            base_url=base or "http://127.0.0.1:8080",
            headers={**headers, **more.pop("headers", {})},
            **more,
        )

    async def get(self, path: str, token: str = "", **params: Any) -> httpx.Response:
        async with self.client(token) as client:
            return await client.get(f"/api/v1{path}", params=params)

    async def post(self, path: str, token: str = "", **body: Any) -> httpx.Response:
        async with self.client(token) as client:
            return await client.post(f"/api/v1{path}", json=body)


@asynccontextmanager
async def front(folder: Path, auth: Mapping[str, Any] | None = None, **more: Any) -> AsyncIterator[Front]:
    """The web side over a fresh store; without `auth` only this machine is served."""
    spec = {
        "store": f"sqlite:///{folder}/store.db",
        "sources": [{"name": "agents", "url": "https://git.example.com/agents.git"}],
        **({"auth": auth} if auth else {}),
        **more,
    }
    path = folder / "service.yaml"
    path.write_text(json.dumps(spec))
    tokens = folder / "tokens.yaml"
    tokens.write_text("".join(f"{name}: {hash_of(token)}\n" for name, token in TOKENS.items()))
    tokens.chmod(0o600)
    config = load_config(path, {"CLIENT_SECRET": "shh-shh-shh-shh", "KEY": "k" * 40, "OTHER": "o" * 40})
    store = open_store(config.spec.store)
    await store.open()
    clock, engine = [NOW], Triggers()
    deps = Deps(Configured(config, loaded_at=NOW), store, engine, Metrics(), lambda: clock[0], "replica-1")
    agents: dict[tuple[str, str], Live | ReconcilerError] = {}

    async def look(project: str, resource: str) -> Live | None:
        found = agents.get((project, resource))
        if isinstance(found, ReconcilerError):
            raise found
        return found

    views = Views(deps, look)
    actions, authenticator = Actions(deps, views), Authenticator(deps)

    async def page(request: Request) -> PlainTextResponse:
        caller = await authenticator.caller(request)
        return PlainTextResponse(f"{caller.identity.name} {caller.csrf}")

    app = Starlette(
        routes=[
            *api_routes(deps, views, actions, authenticator),
            *auth_routes(authenticator),
            Route("/hooks/agents", lambda request: PlainTextResponse("hook"), methods=["POST"]),
            Route("/page", page),
        ],
        middleware=middleware(authenticator),
    )
    try:
        yield Front(app, deps, engine, authenticator, actions, views, folder, clock, agents)
    finally:
        await store.close()


async def fill(front: Front) -> None:
    """Three Projects of one source, and some resources."""
    store = front.deps.store
    await store.put_source(SourceRecord("agents", "https://git.example.com/agents.git", "main", SHA, SHA))
    for name, health in (("prod", Health.DRIFTED), ("stage", Health.IN_SYNC), ("dev", Health.UNKNOWN)):
        await store.put_project(
            ProjectRecord(
                name,
                "agents",
                endpoint="https://x.services.ai.azure.com/api/projects/x",
                owner=f"git.example.com/agents#{name}",
                health=health,
                revision=SHA,
                summary={"add": 0, "change": 1, "health:in-sync": 1},
                last_good_at=NOW - 60,
            )
        )
    rows = [
        ResourceRecord(
            "prod", "Agent/triage", Health.DRIFTED, serving="7", latest="8", references=("Model/gpt",)
        ),
        ResourceRecord("prod", "Agent/billing", Health.IN_SYNC, serving="2", latest="2"),
        ResourceRecord("prod", "Agent/stranger", Health.UNMANAGED, serving="1", latest="1"),
    ]
    await store.put_resources("prod", rows, ())
    await store.put_resources("stage", [ResourceRecord("stage", "Agent/triage", Health.IN_SYNC)], ())

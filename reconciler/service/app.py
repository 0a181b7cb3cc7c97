"""The web side of the service as one application: webhooks, API, pages, probes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from reconciler.service.deps import Deps
from reconciler.service.webhooks.routes import routes as webhooks


def make_app(deps: Deps) -> Starlette:
    """The application of one process."""
    routes: list[BaseRoute] = [
        *webhooks(deps, lambda: {spec.name: spec for spec in deps.configured.current.spec.sources}),
    ]
    return Starlette(routes=routes)

"""The web side of the service as one application: probes, webhooks, API, sign-in, pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from reconciler.service import api, health
from reconciler.service.actions import Actions
from reconciler.service.auth import routes as signing_in
from reconciler.service.auth.authenticator import Authenticator
from reconciler.service.deps import Deps
from reconciler.service.health import Watchdog
from reconciler.service.views import Views
from reconciler.service.views_versions import Look
from reconciler.service.web.pages import dashboard
from reconciler.service.webhooks.routes import routes as webhooks


@dataclass(frozen=True)
class Web:
    """The application of one process; `close` ends the streams that would keep its server waiting."""

    app: Starlette
    close: Callable[[], Awaitable[None]]


def make_web(deps: Deps, look: Look, watchdog: Watchdog) -> Web:
    """Everything that is answered over HTTP.

    Args:
        look: reads one live agent for the page and the answer that show its versions.
    """
    views = Views(deps, look)
    actions, auth = Actions(deps, views), Authenticator(deps)
    pages = dashboard(deps, views, actions, auth)
    routes: list[BaseRoute] = [
        *health.routes(deps, watchdog),
        *webhooks(deps, lambda: {spec.name: spec for spec in deps.configured.current.spec.sources}),
        *api.routes(deps, views, actions, auth),
        *signing_in.routes(auth, pages.serving.sign_in),
        *pages.routes,
    ]
    app = Starlette(
        routes=routes,
        middleware=signing_in.middleware(auth),
        exception_handlers=pages.serving.exception_handlers(),
    )
    return Web(app, pages.pulses.close)

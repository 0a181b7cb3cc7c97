"""Where webhooks are sent to: `POST /hooks/{source}`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from starlette.routing import Route

from reconciler.service.config_spec import SourceSpec
from reconciler.service.deps import Deps
from reconciler.service.webhooks.receive import Receiver


def routes(deps: Deps, sources: Callable[[], Mapping[str, SourceSpec]]) -> list[Route]:
    """The route that webhooks are sent to.

    Answers are JSON with `result` and `detail`: 202 for a push that is looked at, 200 for what needs
    nothing (`ping`, `ignored`, `replayed`), 4xx for the rest, never 5xx.

    Args:
        sources: those in force by name, asked anew for each delivery.
    """
    return [Route("/hooks/{source}", Receiver(deps, sources).receive, methods=["POST"])]

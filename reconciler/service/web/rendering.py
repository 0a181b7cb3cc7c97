"""From a template and values to an answer; everything that is put in is escaped and made visible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from reconciler import __version__
from reconciler.service.actions import ROLES
from reconciler.service.auth.authenticator import Caller
from reconciler.service.auth.identity import Scope
from reconciler.service.web import wording
from reconciler.service.web.statics import address

NO_PULSE: Final = -1
# What may stand in a path as it is (RFC 3986, 3.3).
_IN_PATHS: Final = "/~:@!$&'()*+,;="


@dataclass(frozen=True)
class Visit:
    """One request of somebody. `pulse` is where the store was before anything was read, for the stream."""

    request: Request
    caller: Caller
    now: float
    pulse: int = NO_PULSE

    @property
    def scope(self) -> Scope:
        """What they may look at."""
        return self.caller.identity.scope

    @property
    def query(self) -> Mapping[str, str]:
        """What the address asks for."""
        return self.request.query_params

    def param(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def may(self, action: str, project: str) -> bool:
        """Whether they may do this to a Project."""
        return self.caller.identity.may(ROLES[action], project)


class Rendering:
    """Makes pages. A request of htmx gets the living part alone, everybody else the whole page."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("reconciler.service.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            finalize=wording.printable,
        )
        self._templates.globals.update(
            look=wording.look,
            condition_title=wording.condition_title,
            path_to=wording.path_to,
            static=address,
            health_words=wording.HEALTH,
            health_options=_options(wording.HEALTH),
            result_options=_options(wording.RESULT),
            severity_options=[
                (value, wording.SEVERITY[value].word) for value in ("error", "warning", "info")
            ],
            type_options=list(wording.EVENT_TYPES.items()),
            counted_words=wording.COUNTED,
            program_version=__version__,
        )
        self._templates.filters.update(
            utc=wording.utc,
            iso=_iso,
            span=wording.span,
            prose=wording.prose,
            at_of=wording.at_of,
            branch=wording.branch,
            short=wording.short,
            counted=wording.counted,
            value_text=wording.value_text,
            web_link=wording.web_link,
            shares=wording.shares,
            event_type=wording.event_type,
            deed=wording.deed,
            identifier=wording.identifier,
        )

    def page(self, visit: Visit, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page for somebody."""
        request = visit.request
        path = quote(request.scope["path"], safe=_IN_PATHS)
        text = self._templates.get_template(template).render(
            layout="living.html" if is_inside(request) else "layout.html",
            visit=visit,
            path=path,
            here=path + (f"?{request.url.query}" if request.url.query else ""),
            ago=lambda at: wording.ago(at, visit.now),
            **values,
        )
        # The same address has two answers.
        return HTMLResponse(text, status, {"Vary": "HX-Request"})

    def part(self, visit: Visit, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A piece of a page, for a dialog."""
        text = self._templates.get_template(template).render(visit=visit, inside=True, **values)
        return HTMLResponse(text, status)

    def plain(self, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
        """A page for somebody who is not known: to sign in, or to read why not."""
        text = self._templates.get_template(template).render(layout="bare.html", **values)
        return HTMLResponse(text, status)


def is_inside(request: Request) -> bool:
    """Whether htmx asks, for a piece of a page that is there already."""
    return "hx-request" in request.headers


def _options(looks: Mapping[str, wording.Look]) -> list[tuple[str, str]]:
    return [(value, look.word) for value, look in looks.items()]


def _iso(at: datetime | None) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else ""

"""What each operation of the API does: views for looking, actions for doing. Knows no HTTP."""

from __future__ import annotations

from typing import Any

from reconciler.service.actions import Acted, Actions, Rollback, span_s
from reconciler.service.api_operations import Asked
from reconciler.service.views import Views
from reconciler.service.views_filters import (
    AuditFilter,
    EventFilter,
    ProjectFilter,
    ResourceFilter,
    RunFilter,
)


class Handlers:
    """One method for each operation, named as `handler` in the table."""

    def __init__(self, views: Views, actions: Actions) -> None:
        self._views = views
        self._actions = actions

    async def projects(self, asked: Asked) -> Any:
        return await self._views.projects(asked.who.scope, ProjectFilter(**asked.query), asked.page)

    async def project(self, asked: Asked) -> Any:
        return await self._views.project(asked.path["project"], asked.who.scope)

    async def resources(self, asked: Asked) -> Any:
        wanted = ResourceFilter(**asked.query)
        return await self._views.resources(asked.path["project"], asked.who.scope, wanted, asked.page)

    async def resource(self, asked: Asked) -> Any:
        return await self._views.resource(asked.path["project"], _resource(asked), asked.who.scope)

    async def graph(self, asked: Asked) -> Any:
        focus = asked.query.get("focus", "")
        return await self._views.graph(asked.path["project"], asked.who.scope, focus)

    async def runs(self, asked: Asked) -> Any:
        return await self._views.runs(asked.who.scope, RunFilter(**asked.query), asked.page)

    async def run(self, asked: Asked) -> Any:
        return await self._views.run(asked.path["id"], asked.who.scope)

    async def events(self, asked: Asked) -> Any:
        query = dict(asked.query)
        after = query.pop("after_id", None)
        wanted = EventFilter(after_id=None if after is None else int(after), **query)
        return await self._views.events(asked.who.scope, wanted, asked.page)

    async def audit(self, asked: Asked) -> Any:
        return await self._views.audit(asked.who.scope, AuditFilter(**asked.query), asked.page)

    async def service(self, asked: Asked) -> Any:
        return await self._views.service(asked.who.scope)

    async def sync(self, asked: Asked) -> Acted:
        return await self._actions.sync(asked.who, asked.path["project"], asked.body.why)

    async def suspend(self, asked: Asked) -> Acted:
        return await self._actions.suspend(asked.who, asked.path["project"], asked.body.why)

    async def resume(self, asked: Asked) -> Acted:
        return await self._actions.resume(asked.who, asked.path["project"], asked.body.why)

    async def approve(self, asked: Asked) -> Acted:
        body = asked.body
        return await self._actions.approve(asked.who, asked.path["project"], body.digest, body.why)

    async def rollback(self, asked: Asked) -> Acted:
        body = asked.body
        order = Rollback(_resource(asked), body.version, body.why, span_s(body.hold))
        return await self._actions.rollback(asked.who, asked.path["project"], order)

    async def unpin(self, asked: Asked) -> Acted:
        why = asked.query.get("why", "")
        return await self._actions.unpin(asked.who, asked.path["project"], _resource(asked), why)

    async def retry(self, asked: Asked) -> Acted:
        return await self._actions.retry(asked.who, asked.path["project"], _resource(asked), asked.body.why)


def _resource(asked: Asked) -> str:
    return f"{asked.path['kind']}/{asked.path['name']}"

"""Reads over the shared pipeline without building SDK models: five times cheaper (engine facts)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import orjson
from azure.core.rest import HttpRequest

from reconciler.errors import IncompleteList
from reconciler.foundry import routes
from reconciler.foundry.errors import from_response, no_json, translated
from reconciler.foundry.pipeline import Pipe
from reconciler.foundry.remembered import Page, Remembered
from reconciler.resource import JsonObject

T = TypeVar("T")

_MOST_CHARS: Final = 200


class Reader:
    """GETs of one project: whole lists, or single things that may be absent."""

    def __init__(self, pipe: Pipe) -> None:
        self.pipe = pipe

    async def get(self, what: str, url: str) -> JsonObject | None:
        """The JSON object at `url`, None for 404.

        Raises:
            ServiceError: refused, failed, not reachable, or not JSON.
        """
        response = await self._send(what, url)
        # A web page with 404 comes from something else than the service and says nothing about the thing.
        if response.status_code == 404 and "html" not in str(response.content_type):
            return None
        return self._object(what, response)

    async def pages(
        self, what: str, route: str, names: dict[str, str] | None = None
    ) -> AsyncIterator[list[Any]]:
        """Every page of a cursor list, complete or an error (rule I2). The next is fetched meanwhile.

        Like the SDK's pager it asks until a page has no `last_id`; `has_more` alone does not end a list.

        Raises:
            IncompleteList: more is promised without a cursor, or a cursor comes back.
        """
        async for page in self._each(what, route, names, None):
            yield page.items

    async def converted(
        self,
        what: str,
        route: str,
        convert: Callable[[Any], T],
        remembered: Remembered | None = None,
        project: str = "",
    ) -> AsyncIterator[list[T]]:
        """The same with each item converted; a page that is remembered for the project is not parsed again.

        The lists are kept from call to call where they are remembered: not to be changed.

        Raises:
            IncompleteList: see `pages`.
            ServiceError: what `convert` raises.
        """
        pages: list[Page] = []
        async for page in self._each(
            what, route, None, (remembered, project) if remembered is not None else None
        ):
            if not page.converted:
                page.items, page.converted = [convert(item) for item in page.items], True
            if remembered is not None:
                pages.append(page)
            yield page.items
        if remembered is not None:
            remembered.only(project, pages)

    async def _each(
        self, what: str, route: str, names: dict[str, str] | None, memory: tuple[Remembered, str] | None
    ) -> AsyncIterator[Page]:
        seen: set[str] = set()
        query: dict[str, str | int] = {"limit": routes.PAGE}
        pending = asyncio.ensure_future(self._page(what, route, names, query, memory))
        try:
            while True:
                page = await pending
                cursor = page.cursor
                if not cursor and page.promises_more:
                    raise self._incomplete(what, "it promises more without saying where")
                if not isinstance(cursor, str):
                    raise self._incomplete(what, "its cursor is no text")
                if cursor in seen:
                    raise self._incomplete(what, f"the cursor {cursor[:_MOST_CHARS]!r} came twice")
                if not cursor:
                    yield page
                    return
                seen.add(cursor)
                after = {**query, "after": cursor}
                pending = asyncio.ensure_future(self._page(what, route, names, after, memory))
                yield page
        finally:
            # Whoever stops early must not leave a request behind whose failure nobody hears.
            pending.cancel()
            await asyncio.gather(pending, return_exceptions=True)

    def _incomplete(self, what: str, why: str) -> IncompleteList:
        return IncompleteList(
            f"cannot {what} completely at {self.pipe.endpoint}: {why}",
            hint="Nothing was decided, since unseen agents look missing. Run again; if it stays, report it "
            "to the service with the time of the call.",
        )

    async def _page(
        self,
        what: str,
        route: str,
        names: dict[str, str] | None,
        query: dict[str, str | int],
        memory: tuple[Remembered, str] | None,
    ) -> Page:
        url = routes.url(self.pipe.endpoint, route, names, **query)
        response = await self._send(what, url)
        if memory is not None and response.status_code == 200:
            known = memory[0].get(memory[1], response.content)
            if known is not None:
                return known
        body = self._object(what, response)
        if not isinstance(body.get("data"), list):
            raise self._incomplete(what, "an answer has no list in `data`")
        page = Page(body.get("last_id") or "", bool(body.get("has_more")), body["data"])
        if memory is not None:
            memory[0].keep(memory[1], response.content, page)
        return page

    async def _send(self, what: str, url: str) -> Any:
        with translated(what, self.pipe.endpoint):
            request = HttpRequest("GET", url, headers={"Accept": "application/json"})
            answer = await self.pipe.pipeline.run(request, read_timeout=self.pipe.silence_s)
            return answer.http_response

    def _object(self, what: str, response: Any) -> JsonObject:
        if response.status_code != 200:
            raise from_response(what, self.pipe.endpoint, response)
        with translated(what, self.pipe.endpoint):
            value = orjson.loads(response.content)
        if not isinstance(value, dict):
            raise no_json(what, self.pipe.endpoint)
        return value

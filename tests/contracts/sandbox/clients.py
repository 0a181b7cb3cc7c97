"""Three ways to ask the same question. Each gives plain JSON, or `Refused` with status, body and headers."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
from azure.ai.projects import AIProjectClient
from azure.ai.projects.aio import AIProjectClient as AsyncAIProjectClient
from azure.core.async_paging import AsyncItemPaged
from azure.core.exceptions import HttpResponseError
from azure.core.paging import ItemPaged
from azure.core.pipeline.policies import SansIOHTTPPolicy

Json = dict[str, Any]

PREVIEWS = ("WorkflowAgents", "ExternalAgents", "DraftAgents", "VoiceAgents", "DigitalWorker", "Skills")
FEATURES = ",".join(f"{name}=V1Preview" for name in PREVIEWS)


class Refused(Exception):
    """The server said no."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"{status} {text}")
        self.status = status
        self.headers = headers
        self.error: Json = json.loads(text)["error"]


class Client(Protocol):
    """Asks for an operation by the SDK's name, with the SDK's arguments."""

    async def __call__(self, operation: str, *args: Any, **kwargs: Any) -> Any: ...
    async def close(self) -> None: ...


def _sdk_arguments(operation: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The SDK takes code as a stream with a name and the definition apart."""
    if operation == "create_version_from_code":
        stream = io.BytesIO(kwargs.pop("code"))
        stream.name = "code.zip"
        return kwargs | {"code": stream}
    return kwargs


class SdkSync:
    """`AIProjectClient` as scripts use it."""

    def __init__(self, endpoint: str) -> None:
        self._client = AIProjectClient(
            endpoint,
            credential=object(),
            authentication_policy=SansIOHTTPPolicy(),
            allow_preview=True,
            retry_total=0,
        )

    async def __call__(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        owner = self._client.beta.agents if operation == "create_from_prompt" else self._client.agents
        try:
            found = getattr(owner, operation)(*args, **_sdk_arguments(operation, kwargs))
            if isinstance(found, ItemPaged):
                return [item.as_dict() for item in found]
            if isinstance(found, Iterator):
                return b"".join(found)
            return found if found is None else found.as_dict()
        except HttpResponseError as e:
            raise Refused(e.response.status_code, e.response.text(), e.response.headers) from e

    async def close(self) -> None:
        self._client.close()


class SdkAsync:
    """`AIProjectClient` of the aio package, over aiohttp."""

    def __init__(self, endpoint: str) -> None:
        self._client = AsyncAIProjectClient(
            endpoint,
            credential=object(),
            authentication_policy=SansIOHTTPPolicy(),
            allow_preview=True,
            retry_total=0,
        )

    async def __call__(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        owner = self._client.beta.agents if operation == "create_from_prompt" else self._client.agents
        try:
            found = getattr(owner, operation)(*args, **_sdk_arguments(operation, kwargs))
            if isinstance(found, AsyncItemPaged):
                return [item.as_dict() async for item in found]
            if isinstance(found, Awaitable):
                found = await found
            if isinstance(found, AsyncIterator):
                return b"".join([chunk async for chunk in found])
            return found if found is None else found.as_dict()
        except HttpResponseError as e:
            raise Refused(e.response.status_code, e.response.text(), e.response.headers) from e

    async def close(self) -> None:
        await self._client.close()


class Raw:
    """Requests as curl would send them, written down from the operations' table."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._http = aiohttp.ClientSession()

    async def __call__(self, operation: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self, "_" + operation)(*args, **kwargs)

    async def close(self) -> None:
        await self._http.close()

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        data: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        """The answer of one request, whatever its status."""
        asked = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        url = f"{self._endpoint}{path}?{urlencode({'api-version': 'v1', **asked})}"
        async with self._http.request(
            method, url, json=body, data=data, headers={"Foundry-Features": FEATURES, **(headers or {})}
        ) as answer:
            return answer, await answer.read()

    async def json(self, method: str, path: str, ok: int = 200, **kwargs: Any) -> Any:
        """The JSON of an answer with the status `ok`; None without a body.

        Raises:
            Refused: the status is another.
        """
        answer, content = await self.send(method, path, **kwargs)
        if answer.status != ok:
            raise Refused(answer.status, content.decode(), answer.headers)
        return json.loads(content) if content else None

    async def _pages(self, where: str, /, *, key: str = "data", **query: Any) -> list[Json]:
        found: list[Json] = []
        while True:
            page = await self.json("GET", where, query=query)
            found += page[key]
            if not page.get("last_id"):
                return found
            query["after"] = page["last_id"]

    async def _list(self, **query: Any) -> list[Json]:
        return await self._pages("/agents", **query)

    async def _get(self, name: str) -> Json:
        return await self.json("GET", _agent(name))

    async def _create_version(self, name: str, body: Json) -> Json:
        return await self.json("POST", _agent(name) + "/versions", body=body)

    async def _create_version_from_code(
        self, name: str, *, definition: Json, code: bytes, code_zip_sha256: str | None = None, **fields: Any
    ) -> Json:
        form = aiohttp.FormData()
        form.add_field("metadata", json.dumps({"definition": definition, **fields}))
        form.add_field("code", code, filename="code.zip", content_type="application/zip")
        headers = {"x-ms-code-zip-sha256": code_zip_sha256} if code_zip_sha256 else {}
        return await self.json("POST", _agent(name) + "/versions", data=form, headers=headers)

    async def _create_version_from_manifest(self, name: str, body: Json) -> Json:
        return await self.json("POST", _agent(name) + "/versions:import", body=body)

    async def _get_version(self, name: str, version: str) -> Json:
        return await self.json("GET", f"{_agent(name)}/versions/{quote(version)}")

    async def _list_versions(self, name: str, **query: Any) -> list[Json]:
        return await self._pages(_agent(name) + "/versions", **query)

    async def _delete(self, name: str, *, force: bool | None = None) -> Json:
        return await self.json("DELETE", _agent(name), query={"force": force})

    async def _delete_version(self, name: str, version: str, *, force: bool | None = None) -> Json:
        return await self.json("DELETE", f"{_agent(name)}/versions/{version}", query={"force": force})

    async def _update_details(self, name: str, body: Json) -> Json:
        headers = {"Content-Type": "application/merge-patch+json"}
        return await self.json("PATCH", _agent(name), body=body, headers=headers)

    async def _enable(self, name: str) -> None:
        await self.json("POST", _agent(name) + ":enable", ok=204)

    async def _disable(self, name: str) -> None:
        await self.json("POST", _agent(name) + ":disable", ok=204)

    async def _download_code(self, name: str, *, agent_version: str | None = None) -> bytes:
        query = {"agent_version": agent_version}
        answer, content = await self.send("GET", _agent(name) + "/code:download", query=query)
        if answer.status != 200:
            raise Refused(answer.status, content.decode(), answer.headers)
        return content

    async def _create_session(self, name: str, body: Json) -> Json:
        return await self.json("POST", _agent(name) + "/endpoint/sessions", ok=201, body=body)

    async def _get_session(self, name: str, session: str) -> Json:
        return await self.json("GET", _session(name, session))

    async def _list_sessions(self, name: str, **query: Any) -> list[Json]:
        return await self._pages(_agent(name) + "/endpoint/sessions", **query)

    async def _stop_session(self, name: str, session: str) -> None:
        await self.json("POST", _session(name, session) + ":stop", ok=204)

    async def _delete_session(self, name: str, session: str) -> None:
        await self.json("DELETE", _session(name, session), ok=204)

    async def _get_session_log_stream(self, name: str, version: str, session: str) -> bytes:
        path = f"{_agent(name)}/versions/{version}/sessions/{session}:logstream"
        answer, content = await self.send("GET", path)
        if answer.status != 200:
            raise Refused(answer.status, content.decode(), answer.headers)
        return content

    async def _upload_session_file(self, name: str, session: str, content: bytes, *, path: str) -> Json:
        where = _session(name, session) + "/files/content"
        return await self.json("PUT", where, ok=201, query={"path": path}, data=content)

    async def _download_session_file(self, name: str, session: str, *, path: str) -> bytes:
        answer, content = await self.send(
            "GET", _session(name, session) + "/files/content", query={"path": path}
        )
        if answer.status != 200:
            raise Refused(answer.status, content.decode(), answer.headers)
        return content

    async def _list_session_files(self, name: str, session: str, **query: Any) -> list[Json]:
        return await self._pages(_session(name, session) + "/files", key="entries", **query)

    async def _delete_session_file(self, name: str, session: str, **query: Any) -> None:
        await self.json("DELETE", _session(name, session) + "/files", ok=204, query=query)

    async def _create_from_prompt(self, body: Json) -> Json:
        return await self.json("POST", "/agents:generate", body=body)


def _agent(name: str) -> str:
    return f"/agents/{quote(name, safe='')}"


def _session(name: str, session: str) -> str:
    return f"{_agent(name)}/endpoint/sessions/{session}"


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


CLIENTS: dict[str, Callable[[str], Client]] = {"sdk": SdkSync, "sdk-async": SdkAsync, "raw": Raw}

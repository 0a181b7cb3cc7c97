"""One sandbox for the session, a project for each test."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from reconciler.sandbox import Sandbox

from .clients import CLIENTS, Client, Raw


@dataclass(frozen=True)
class Control:
    """The sandbox's own routes, for one project."""

    url: str
    project: str

    def send(self, method: str, name: str, body: Any = None, **query: str) -> tuple[int, Any]:
        """Status and JSON of `/_sandbox/name`."""
        connection = HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        try:
            path = f"/_sandbox/{name}?{urlencode(query)}"
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            content = answer.read()
            return answer.status, json.loads(content) if content else None
        finally:
            connection.close()

    def ok(self, method: str, name: str, body: Any = None, **query: str) -> Any:
        """As `send`, of an answer that has to be 2xx."""
        status, content = self.send(method, name, body, **query)
        assert status < 300, content
        return content

    def set(self, **changes: Any) -> None:
        """Set switches of this project."""
        self.ok("PUT", "settings", changes, project=self.project)

    def faults(self, *rules: dict[str, Any]) -> None:
        """Replace this project's rules."""
        self.ok("PUT", "faults", list(rules), project=self.project)

    def seed(self, **wanted: Any) -> Any:
        """Seed this project."""
        return self.ok("POST", "seed", wanted, project=self.project)

    def requests(self) -> Any:
        """Counts and log of this project."""
        return self.ok("GET", "requests", project=self.project)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(":memory:") as running:
        yield running


@pytest.fixture
def project() -> str:
    return f"p-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def control(sandbox: Sandbox, project: str) -> Iterator[Control]:
    own = Control(sandbox.url, project)
    yield own
    own.ok("DELETE", "faults", project=project)


@pytest.fixture(params=sorted(CLIENTS))
async def client(request: pytest.FixtureRequest, sandbox: Sandbox, project: str) -> AsyncIterator[Client]:
    asking = CLIENTS[request.param](sandbox.endpoint(project))
    yield asking
    await asking.close()


@pytest.fixture
async def raw(sandbox: Sandbox, project: str) -> AsyncIterator[Raw]:
    asking = Raw(sandbox.endpoint(project))
    yield asking
    await asking.close()

"""A service that only takes webhooks: sources of every provider, a store and an engine that may be stuck."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from starlette.applications import Starlette

from reconciler.service.config import Config, Configured
from reconciler.service.config_spec import LimitsSpec, Provider, Secret, ServiceSpec, SourceSpec, WebhookSpec
from reconciler.service.deps import Deps
from reconciler.service.engine import Engine
from reconciler.service.metrics import Metrics
from reconciler.service.store import Store, StoreDown
from reconciler.service.webhooks.routes import routes

NOW: Final = 1_700_000_000.0
SIGNING_KEY: Final = b"a key of thirty-two bytes, right"
SIGNING_TOKEN: Final = "whsec_" + base64.b64encode(SIGNING_KEY).decode()

# One source for each way to sign: its name, provider, secret, configured header.
SOURCES: Final[tuple[tuple[str, Provider, str, str | None], ...]] = (
    ("github", "github", "octo cat", None),
    ("gitlab", "gitlab", "glsoat-plain", None),
    ("gitlab-signed", "gitlab", SIGNING_TOKEN, None),
    ("azure-devops", "azure-devops", "hook:pass:word", None),
    ("azure-devops-header", "azure-devops", "a shared one", "X-Hook-Key"),
    ("bitbucket", "bitbucket", "bit bucket", None),
    ("bitbucket-server", "bitbucket-server", "data center", None),
    ("gitea", "gitea", "cup of tea", None),
    ("forgejo", "forgejo", "iron and coal", None),
    ("gogs", "gogs", "go go gopher", None),
    ("generic", "generic", "anything", None),
)
SECRETS: Final = {name: secret for name, _, secret, _ in SOURCES}

Headers = Mapping[str, str]


class Seen:
    """The part of a store that webhooks use; `mode` is works, down, broken, stuck or deaf to being ended."""

    def __init__(self) -> None:
        self.mode = "works"
        self.rows: dict[tuple[str, str], float] = {}

    async def first_time(self, scope: str, key: str, *, now: float, within_s: float) -> bool:
        await _mood(self.mode)
        last = self.rows.get((scope, key))
        if last is not None and now - last < within_s:
            return False
        self.rows[scope, key] = now
        return True


class Asked:
    """The part of an engine that webhooks use, with the same modes."""

    def __init__(self) -> None:
        self.mode = "works"
        self.triggers: list[tuple[str, str]] = []
        self.tries = 0

    async def trigger(self, key: str, reason: str, *, after_s: float = 0.0) -> bool:
        self.tries += 1
        await _mood(self.mode)
        self.triggers.append((key, reason))
        return True


async def _mood(mode: str) -> None:
    if mode == "down":
        raise StoreDown("cannot reach the database")
    if mode == "broken":
        raise ZeroDivisionError("a bug")
    if mode == "stuck":
        await asyncio.sleep(60)
    if mode == "deaf":
        ends = asyncio.get_running_loop().time() + 1.2
        while (left := ends - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue


@dataclass(frozen=True)
class Answer:
    """What the sender got."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def result(self) -> str:
        return str(json.loads(self.content)["result"])

    @property
    def detail(self) -> str:
        return str(json.loads(self.content)["detail"])


@dataclass
class Hooks:
    """The service, with a clock that tests move; `shared` is the store of several."""

    per_minute: int = 1_000
    sources: dict[str, SourceSpec] = field(default_factory=dict)
    now: float = NOW
    shared: Store | None = None

    def __post_init__(self) -> None:
        secrets: dict[Secret, str] = {}
        for name, provider, value, header in SOURCES:
            secret = Secret(env=name.upper().replace("-", "_"))
            secrets[secret] = value
            webhook = WebhookSpec(provider=provider, secret=secret, header=header)
            self.sources[name] = SourceSpec(name=name, url=URLS.get(name, URLS[provider]), webhook=webhook)
        self.sources["quiet"] = SourceSpec(name="quiet", url="https://git.example/acme/quiet")
        spec = ServiceSpec(
            store="sqlite:///unused",
            sources=tuple(self.sources.values()),
            limits=LimitsSpec(webhooks_per_minute=self.per_minute),
        )
        self.store, self.engine, self.metrics = Seen(), Asked(), Metrics()
        self.deps = Deps(
            Configured(Config(Path("service.yaml"), spec, secrets)),
            self.shared or cast(Store, self.store),
            cast(Engine, self.engine),
            self.metrics,
            lambda: self.now,
            "one",
        )
        self.app = Starlette(routes=routes(self.deps, lambda: self.sources))

    def follow(self, name: str, ref: str | None, url: str | None = None) -> None:
        """Let a source watch something else."""
        update: dict[str, Any] = {"ref": ref} | ({"url": url} if url else {})
        self.sources[name] = self.sources[name].model_copy(update=update)

    async def post(
        self,
        name: str,
        body: bytes | Iterable[bytes],
        headers: Headers | None = None,
        *,
        peer: str = "10.0.0.1",
    ) -> Answer:
        """Send a delivery, in one piece or several, without a socket in between."""
        raw = [(key.lower().encode(), value.encode("latin-1")) for key, value in (headers or {}).items()]
        return await self.send(f"/hooks/{name}", raw, [body] if isinstance(body, bytes) else body, peer)

    async def send(
        self, path: str, headers: list[tuple[bytes, bytes]], chunks: Iterable[bytes], peer: str = "10.0.0.1"
    ) -> Answer:
        """As `post`, with headers as they are on the wire; an empty chunk is one that never comes."""
        waiting = iter(chunks)
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            chunk = next(waiting, None)
            if chunk is STALL:
                await asyncio.sleep(60)
            if chunk is GONE:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "server": ("hooks", 80),
            "client": (peer, 1234) if peer else None,
            "headers": headers,
        }
        await self.app(scope, receive, send)
        answer = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], answer, b"".join(part.get("body", b"") for part in sent[1:]))

    def counted(self, source: str, result: str) -> float:
        """How many deliveries of a source ended so."""
        return (
            self.metrics.registry.get_sample_value(
                "reconciler_webhook_requests_total", {"source": source, "result": result}
            )
            or 0.0
        )


# Chunks that mean something else than bytes; compared by identity.
STALL: Final = bytes(bytearray(b"stall"))
GONE: Final = bytes(bytearray(b"gone"))

URLS: Final[Mapping[str, str]] = {
    "github": "https://github.com/acme/agents.git",
    "gitlab": "git@gitlab.example:acme/platform/agents.git",
    "azure-devops": "https://dev.azure.com/acme/Shared%20Services/_git/agents",
    "bitbucket": "git@bitbucket.org:acme/agents.git",
    "bitbucket-server": "ssh://git@bitbucket.example:7999/ai/agents.git",
    "gitea": "http://gitea.git.svc:3000/acme/agents.git",
    "forgejo": "https://forgejo.example/acme/agents",
    "gogs": "https://gogs.example/acme/agents",
    "generic": "https://git.example/agents.git",
}


def hexed(secret: str, body: bytes, algorithm: str = "sha256") -> str:
    """The HMAC as most providers write it."""
    return hmac.new(secret.encode(), body, algorithm).hexdigest()


def standard(body: bytes, *, id: str = "msg_1", at: float = NOW, key: bytes = SIGNING_KEY) -> str:
    """The HMAC as GitLab's signing tokens make it."""
    text = f"{id}.{int(at)}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, text, "sha256").digest()).decode()


def signed(name: str, body: bytes, *, at: float = NOW) -> dict[str, str]:
    """The headers by which a source believes this body."""
    secret = SECRETS[name]
    match name:
        case "github":
            return {"X-Hub-Signature-256": f"sha256={hexed(secret, body)}"}
        case "gitlab":
            return {"X-Gitlab-Token": secret}
        case "gitlab-signed":
            stamp = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at))}
            return {**stamp, "webhook-signature": standard(body, at=at)}
        case "azure-devops":
            return {"Authorization": "Basic " + base64.b64encode(secret.encode()).decode()}
        case "azure-devops-header":
            return {"X-Hook-Key": secret}
        case "bitbucket" | "bitbucket-server":
            return {"X-Hub-Signature": f"sha256={hexed(secret, body)}"}
        case "generic":
            return {"X-Signature": f"sha256={hexed(secret, body)}"}
        case _:
            return {f"X-{name.capitalize()}-Signature": hexed(secret, body)}

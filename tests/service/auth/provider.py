"""A small OpenID provider over HTTP, written from the specification, that can be told to misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlencode

from aiohttp import web
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT: Final = "reconciler-client"
SECRET: Final = "shh-shh-shh-shh"


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _number(value: int) -> str:
    return b64(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


# Making one takes a tenth of a second.
KEY: Final = new_key()
OTHER_KEY: Final = new_key()


@dataclass
class Provider:
    """What the provider says: tests change `claims`, `header`, `metadata`, or how a token is made."""

    issuer: str = ""
    now: Callable[[], float] = time.time
    claims: dict[str, Any] = field(default_factory=lambda: {"preferred_username": "ann@example.com"})
    header: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    key: rsa.RSAPrivateKey = KEY
    kid: str = "k1"
    forge: Callable[[str], str | None] | None = None
    requests: list[str] = field(default_factory=list)
    failing: frozenset[str] = frozenset()
    extra_keys: list[dict[str, Any]] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncIterator[Provider]:
        provider = cls()
        app = web.Application(middlewares=[provider._counted])
        app.router.add_get("/.well-known/openid-configuration", provider._describe)
        app.router.add_get("/keys", provider._keys)
        app.router.add_get("/authorize", provider._authorize)
        app.router.add_post("/token", provider._token)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        provider.issuer = f"http://127.0.0.1:{port}"
        try:
            yield provider
        finally:
            await runner.cleanup()

    @web.middleware
    async def _counted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(request.path)
        if request.path in self.failing:
            return web.Response(status=503, text="down")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _describe(self, request: web.Request) -> web.Response:
        said = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "end_session_endpoint": f"{self.issuer}/logout",
        }
        return web.json_response(said | self.metadata)

    async def _keys(self, request: web.Request) -> web.Response:
        numbers = self.key.public_key().public_numbers()
        own = {"kty": "RSA", "kid": self.kid, "use": "sig", "n": _number(numbers.n), "e": _number(numbers.e)}
        return web.json_response({"keys": [*self.extra_keys, own]})

    async def _authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        assert query["response_type"] == "code"
        assert query["code_challenge_method"] == "S256"
        assert "openid" in query["scope"].split()
        code = f"code-{len(self._codes)}"
        self._codes[code] = query
        back = {"code": code, "state": query["state"]}
        return web.Response(status=302, headers={"Location": f"{query['redirect_uri']}?{urlencode(back)}"})

    async def _token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        asked = self._codes.pop(str(form.get("code")), None)
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("Authorization") != f"Basic {basic}":
            return web.json_response({"error": "invalid_client"}, status=401)
        verifier = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
        if (
            asked is None
            or form.get("redirect_uri") != asked["redirect_uri"]
            or b64(verifier) != asked["code_challenge"]
        ):
            return web.json_response({"error": "invalid_grant", "error_description": "<secret>"}, status=400)
        token: str | None = self.signed({"nonce": asked["nonce"]})
        if self.forge is not None and token is not None:
            token = self.forge(token)
        return web.json_response(
            {"access_token": "at", "token_type": "Bearer", "expires_in": 60, "id_token": token}
        )

    def signed(self, more: dict[str, Any], key: rsa.RSAPrivateKey | None = None) -> str:
        """An ID token; a claim of None is left out."""
        now = int(self.now())
        claims = {"iss": self.issuer, "aud": CLIENT, "sub": "subject-1", "iat": now, "exp": now + 300}
        claims |= more | self.claims
        header = {"alg": "RS256", "kid": self.kid, "typ": "JWT"} | self.header
        first = ".".join(
            b64(json.dumps({k: v for k, v in part.items() if v is not None}).encode())
            for part in (header, claims)
        )
        signature = (key or self.key).sign(first.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{first}.{b64(signature)}"

    def public_pem(self) -> bytes:
        return self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

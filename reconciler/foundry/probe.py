"""Single questions to the service for `doctor`: which identity signs in, and what one reading answers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from reconciler.foundry import routes
from reconciler.foundry.pipeline import SCOPE

# Previews that the SDK asks for when it writes an agent of that kind (foundry-api 1).
PREVIEWS: Final[Mapping[str, str]] = {
    "workflow": "WorkflowAgents=V1Preview",
    "external": "ExternalAgents=V1Preview",
    "voice": "VoiceAgents=V1Preview",
}
_MOST_BYTES: Final = 1024 * 1024


class NoSignIn(Exception):
    """No credential gave a token. `tried` holds one line for each that was asked."""

    def __init__(self, tried: tuple[str, ...]) -> None:
        super().__init__("no credential gave a token")
        self.tried = tried


class NoAnswer(Exception):
    """Nothing came back, or not in time; the text is the reason as the network library names it."""


@dataclass(frozen=True)
class SignIn:
    """A token's facts without the token. Times in Unix seconds; texts are "" where it does not tell."""

    credential: str
    expires_at: int
    audience: str = ""
    tenant: str = ""
    identity: str = ""


@dataclass(frozen=True)
class Answer:
    """One answer. `error` holds the service's own code and message, where its body is an error of it."""

    status: int
    took_s: float
    headers: Mapping[str, str]
    payload: Any = None
    error: Mapping[str, Any] = field(default_factory=dict)


async def sign_in(timeout_s: float) -> tuple[SignIn, str]:
    """The identity that runs would use, and its token for `ask`.

    Raises:
        NoSignIn: no credential of the default chain works here.
    """
    from azure.core.exceptions import AzureError
    from azure.identity.aio import DefaultAzureCredential

    async with DefaultAzureCredential() as credential:
        try:
            token = await asyncio.wait_for(credential.get_token(SCOPE), timeout_s)
        except TimeoutError:
            raise NoSignIn((f"no token within {timeout_s:g} s",)) from None
        except (AzureError, ValueError) as error:
            raise NoSignIn(_tried(str(error))) from error
        # The chain remembers who answered under a private name only.
        used = type(getattr(credential, "_successful_credential", None) or credential).__name__
    return facts_of(token.token, int(token.expires_on), used), token.token


def _tried(message: str) -> tuple[str, ...]:
    """The chain's message as one short line for each credential."""
    lines = [line.strip().split(". ", 1)[0] for line in message.splitlines() if line.startswith("\t")]
    return tuple(line[:160] for line in lines) or (message.strip().split("\n", 1)[0][:160],)


def facts_of(token: str, expires_at: int, credential: str) -> SignIn:
    """What a token says of itself; its signature is the service's business."""
    claims: Any = {}
    try:
        middle = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError, binascii.Error):
        pass
    claims = claims if isinstance(claims, dict) else {}
    who = claims.get("upn") or claims.get("appid") or claims.get("oid") or ""
    return SignIn(credential, expires_at, str(claims.get("aud", "")), str(claims.get("tid", "")), str(who))


async def ask(endpoint: str, *, token: str = "", features: str = "", timeout_s: float) -> Answer:
    """One page of one agent, sent once.

    Raises:
        NoAnswer: nothing came back in time.
    """
    import aiohttp

    headers = {"Accept": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if features:
        headers["Foundry-Features"] = features
    url = routes.url(endpoint, routes.LIST_AGENTS, limit=1)
    began = time.monotonic()
    try:
        async with (
            aiohttp.ClientSession(trust_env=True, timeout=aiohttp.ClientTimeout(timeout_s)) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = await response.content.read(_MOST_BYTES)
            took_s = time.monotonic() - began
            return _answer(response.status, took_s, dict(response.headers), body)
    except TimeoutError:
        raise NoAnswer(f"no answer within {timeout_s:g} s") from None
    except (aiohttp.ClientError, OSError) as error:
        raise NoAnswer(type(error).__name__) from error


def _answer(status: int, took_s: float, headers: dict[str, str], body: bytes) -> Answer:
    try:
        payload = json.loads(body)
    except ValueError:
        payload = None
    error = payload.get("error") if isinstance(payload, dict) else None
    lowered = {name.lower(): value for name, value in headers.items()}
    return Answer(status, took_s, lowered, payload, error if isinstance(error, dict) else {})

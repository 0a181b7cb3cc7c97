"""Sign-in by OpenID Connect Core 1.0, 3.1: authorization code flow with PKCE, state and nonce.

Imported by the service; authlib only once somebody signs in.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from urllib.parse import urlencode

from reconciler.errors import ReconcilerError
from reconciler.masking import visible
from reconciler.resource import Json
from reconciler.service.auth.sessions import Leaving, same
from reconciler.service.config_spec import OidcSpec
from reconciler.service.refusals import Forbidden

# Time to type a password and find the phone.
LEAVING_S: Final = 600
_TIMEOUT_S: Final = 10.0
_FRESH_S: Final = 3600.0
# A token signed with a key that we do not know makes us ask for keys, at most this often.
_KEYS_AT_MOST_EVERY_S: Final = 60.0
_SKEW_S: Final = 120
# Asymmetric ones only: with a symmetric one, or none, anybody could sign.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
_KEY_TYPES: Final = ("RSA", "EC")
_MOST_BYTES: Final = 1024 * 1024
_MOST_NAME: Final = 200


class ProviderDown(ReconcilerError):
    """The OpenID provider cannot be used now."""

    retryable = True


@dataclass(frozen=True)
class Signed:
    """Somebody as the provider tells: `name` is shown, `names` is how roles may call them.

    `groups` are their groups and application roles. `overage`: they have more groups than the token holds.
    """

    name: str
    names: tuple[str, ...]
    groups: frozenset[str]
    overage: bool


@dataclass(frozen=True)
class _Metadata:
    """What the provider says of itself (OpenID Connect Discovery 1.0, 3)."""

    authorization: str
    token: str
    keys: str
    end_session: str


class Provider:
    """One OpenID provider. What it says of itself and its keys are kept for an hour."""

    def __init__(self, spec: OidcSpec, secret: str, now: Callable[[], float]) -> None:
        self._spec = spec
        self._secret = secret
        self._now = now
        self._lock = asyncio.Lock()
        self._metadata: tuple[float, _Metadata] | None = None
        self._keys: tuple[float, Json] | None = None

    async def leave(self, redirect_uri: str, next_: str) -> tuple[str, Leaving]:
        """Where to send somebody who wants to sign in, and what must come back.

        Raises:
            ProviderDown: the provider does not answer, or says something else than the configuration.
        """
        metadata = await self._described()
        leaving = Leaving(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            next=next_,
            ends_at=self._now() + LEAVING_S,
        )
        async with self._client(redirect_uri) as client:
            url, _ = client.create_authorization_url(
                metadata.authorization,
                state=leaving.state,
                code_verifier=leaving.verifier,
                nonce=leaving.nonce,
            )
        return str(url), leaving

    async def come_back(self, query: Mapping[str, str], leaving: Leaving | None, redirect_uri: str) -> Signed:
        """Who came back from the provider.

        Raises:
            Forbidden: the answer is not to this sign-in, or the provider refused it.
            ProviderDown: the provider does not answer.
        """
        again = "Start the sign-in again."
        if leaving is None or not same(leaving.state, query.get("state", "")):
            raise Forbidden("this sign-in was not started here, or too long ago", hint=again)
        if "error" in query:
            said = visible(f"{query['error']}: {query.get('error_description', '')}")[:300].rstrip(": ")
            raise Forbidden(f"the provider refused the sign-in: {said}", hint=again)
        if not query.get("code"):
            raise Forbidden("the provider sent no code", hint=again)
        metadata = await self._described()
        token = await self._exchanged(metadata, query["code"], leaving, redirect_uri)
        claims = await self._claims(metadata, token, leaving.nonce)
        return signed(claims, self._spec.groups_claim)

    async def leave_for_good(self, back: str) -> str:
        """Where the provider ends its own session, "" where it has no such page."""
        try:
            metadata = await self._described()
        except ProviderDown:
            return ""
        query = urlencode({"client_id": self._spec.client_id, "post_logout_redirect_uri": back})
        return f"{metadata.end_session}?{query}" if metadata.end_session else ""

    def _client(self, redirect_uri: str = "") -> Any:
        try:
            from authlib.integrations.httpx_client import (  # type: ignore[import-untyped]
                AsyncOAuth2Client,
            )
        except ImportError as error:
            raise ProviderDown(
                "sign-in by OpenID Connect is not installed",
                hint="Run `pip install 'foundry-reconciler[oidc]'` where the service runs.",
            ) from error
        return AsyncOAuth2Client(
            self._spec.client_id,
            self._secret,
            scope="openid profile email",
            redirect_uri=redirect_uri,
            code_challenge_method="S256",
            timeout=_TIMEOUT_S,
            verify=_tls(),
        )

    # What the provider says

    async def _described(self) -> _Metadata:
        async with self._lock:
            known = self._metadata
            if known is not None and 0 <= self._now() - known[0] < _FRESH_S:
                return known[1]
            url = self._spec.issuer.rstrip("/") + "/.well-known/openid-configuration"
            try:
                found = self._checked(await self._json(url))
            except ProviderDown:
                if known is None:
                    raise
                return known[1]
            self._metadata = (self._now(), found)
            return found

    def _checked(self, said: Json) -> _Metadata:
        issuer = said.get("issuer") if isinstance(said, dict) else None
        if issuer != self._spec.issuer:
            hint = "Write `auth.oidc.issuer` exactly as the provider does"
            if isinstance(issuer, str) and "{tenantid}" in issuer:
                hint += ": with the id of your tenant, not `common` or `organizations`"
            raise ProviderDown(
                f"{self._spec.issuer} calls itself {visible(str(issuer))[:200]!r}", hint=f"{hint}."
            )
        found = {}
        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri", "end_session_endpoint"):
            url = said.get(name, "")
            safe = isinstance(url, str) and url.startswith(("https://", _plain(self._spec.issuer)))
            if not safe and name != "end_session_endpoint":
                raise ProviderDown(
                    f"{self._spec.issuer} names no usable {name}", hint="Check `auth.oidc.issuer`."
                )
            found[name] = url if safe else ""
        return _Metadata(*found.values())

    async def _key_set(self, metadata: _Metadata, *, anew: bool = False) -> Json:
        async with self._lock:
            if self._keys is not None:
                age_s = self._now() - self._keys[0]
                if age_s < (_KEYS_AT_MOST_EVERY_S if anew else _FRESH_S):
                    return self._keys[1]
            try:
                keys = await self._json(metadata.keys)
            except ProviderDown:
                if self._keys is None:
                    raise
                return self._keys[1]
            self._keys = (self._now(), keys)
            return keys

    async def _json(self, url: str) -> Json:
        async with self._client() as client:
            try:
                answer = await client.request("GET", url, withhold_token=True)
                if answer.status_code == 200 and len(answer.content) <= _MOST_BYTES:
                    return answer.json()
            except _network_errors() as error:
                raise _down(self._spec.issuer) from error
        raise ProviderDown(
            f"{url} answered {answer.status_code}", hint="Check `auth.oidc.issuer`, and the provider's state."
        )

    async def _exchanged(self, metadata: _Metadata, code: str, leaving: Leaving, redirect_uri: str) -> str:
        """The ID token for a code."""
        from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]

        async with self._client(redirect_uri) as client:
            try:
                answer = await client.fetch_token(
                    metadata.token,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=leaving.verifier,
                )
            except AuthlibBaseError as error:
                # Its text may repeat the code or the secret.
                raise Forbidden(
                    f"the provider did not take our code: {visible(str(error.error))[:100]}",
                    hint="Start the sign-in again. If it stays, check `client_id`, `client_secret` and the"
                    f" redirect address {redirect_uri} at the provider.",
                ) from None
            except _network_errors() as error:
                raise _down(self._spec.issuer) from error
        token = answer.get("id_token") if isinstance(answer, dict) else None
        if not isinstance(token, str):
            raise Forbidden("the provider sent no ID token", hint="Give the application the scope `openid`.")
        return token

    # What the token says

    async def _claims(self, metadata: _Metadata, token: str, nonce: str) -> Mapping[str, Json]:
        from joserfc.errors import JoseError

        try:
            try:
                decoded = _decoded(token, await self._key_set(metadata))
            except (JoseError, ValueError):
                # Perhaps the provider has new keys.
                decoded = _decoded(token, await self._key_set(metadata, anew=True))
            self._check_claims(decoded, nonce)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            reason = visible(str(error) or type(error).__name__)[:200]
            raise Forbidden(
                f"the provider's token is not valid: {reason}",
                hint="Start the sign-in again. If it stays, compare the clocks, and check `client_id`.",
            ) from None
        return decoded

    def _check_claims(self, claims: dict[str, Any], nonce: str) -> None:
        from joserfc.jwt import JWTClaimsRegistry

        registry = JWTClaimsRegistry(
            now=int(self._now()),
            leeway=_SKEW_S,
            iss={"essential": True, "value": self._spec.issuer},
            aud={"essential": True, "value": self._spec.client_id},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(claims)
        audience = claims["aud"]
        party = claims.get("azp")
        # A token for several must say that it was made for us (OpenID Connect Core 1.0, 3.1.3.7).
        if isinstance(audience, list) and len(audience) > 1 and party is None:
            raise ValueError("it is for several applications and names none")
        if party is not None and party != self._spec.client_id:
            raise ValueError("it was made for another application")


@cache
def _tls() -> ssl.SSLContext:
    """Trusts what this machine trusts; reading that takes a tenth of a second, so it is done once."""
    return ssl.create_default_context()


def _decoded(token: str, keys: Json) -> dict[str, Any]:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    # One key of a sort that we do not know must not keep everybody out.
    usable = [
        key
        for key in keys["keys"]
        if key.get("kty") in _KEY_TYPES and key.get("use", "sig") == "sig" and not key.get("d")
    ]
    key_set = KeySet.import_key_set({"keys": usable})
    return dict(jwt.decode(token, key_set, algorithms=list(_ALGORITHMS)).claims)


def signed(claims: Mapping[str, Json], groups_claim: str) -> Signed:
    """Who somebody is, by the claims of a valid ID token.

    An address counts only where the provider verified it: otherwise people write there what they like.
    """
    subject = str(claims["sub"])
    told = [claims.get("preferred_username"), claims.get("upn"), claims.get("oid"), subject]
    if claims.get("email_verified") is True:
        told.insert(0, claims.get("email"))
    names = tuple(dict.fromkeys(name for name in told if isinstance(name, str) and name))
    shown = visible(names[0]).strip()[:_MOST_NAME]
    if shown == "local" or shown.startswith("token:"):
        shown = f"user:{shown}"
    groups = frozenset((*_strings(claims.get(groups_claim)), *_strings(claims.get("roles"))))
    elsewhere = claims.get("_claim_names")
    # Entra ID leaves the list out beyond 200 groups, and says where it could be asked for.
    overage = (isinstance(elsewhere, dict) and groups_claim in elsewhere) or claims.get("hasgroups") is True
    return Signed(shown, tuple(name[:_MOST_NAME] for name in names), groups, overage)


def _strings(value: Json) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list) else ()


def _plain(issuer: str) -> str:
    """Where plain http is allowed: at a provider on this machine, which the configuration allows."""
    return "http://" if issuer.startswith("http://") else "https://"


def _network_errors() -> tuple[type[Exception], ...]:
    """What the HTTP client raises. Which client authlib speaks through depends on its release."""
    clients = (sys.modules.get(name) for name in ("httpx2", "httpx"))
    return (OSError, ValueError, *(client.HTTPError for client in clients if client is not None))


def _down(issuer: str) -> ProviderDown:
    return ProviderDown(
        f"the provider {issuer} does not answer", hint="Try again; else check the network from the service."
    )

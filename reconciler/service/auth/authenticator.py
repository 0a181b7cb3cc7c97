"""Who sends a request, and whether one of our own pages or scripts made it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

import structlog
from starlette.requests import HTTPConnection
from starlette.responses import Response

from reconciler.service.auth.identity import LOCAL, Identity
from reconciler.service.auth.oidc import Provider, Signed
from reconciler.service.auth.origin import SAFE_METHODS, from_browser, from_other_page, host_name, is_local
from reconciler.service.auth.roles import named_groups, of_token, of_user
from reconciler.service.auth.sessions import Seal, Session, new_csrf, same
from reconciler.service.auth.tokens import TokenFile
from reconciler.service.config_spec import AuthSpec, OidcSpec, seconds
from reconciler.service.deps import Deps
from reconciler.service.records import AuditRecord
from reconciler.service.refusals import Forbidden, Refusal, SignInNeeded, TooMany
from reconciler.service.webhooks.limits import Buckets, peer

log = structlog.get_logger("reconciler")

# Wrong tokens and passwords from one address.
FAILURES_PER_MINUTE: Final = 10
_NO_ROLE: Final = "Whoever keeps the service's configuration gives roles under `auth.roles`."


@dataclass(frozen=True)
class Caller:
    """Who sends a request. `via` is local, bearer or cookie; forms of our pages carry `csrf`."""

    identity: Identity
    via: Literal["local", "bearer", "cookie"]
    csrf: str = ""


@dataclass(frozen=True)
class Ways:
    """How people can sign in here."""

    token: bool
    oidc: bool


class Authenticator:
    """Decides who asks. What it knows of people is in their cookie, the token file and the configuration, so
    that every replica with the same `auth.session_key` decides the same."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._tokens = TokenFile()
        self._failures = Buckets()
        self._refused_by_provider = Buckets()
        self._own_key = secrets.token_urlsafe(32)
        self._local_csrf = new_csrf()
        self._providers: dict[OidcSpec, Provider] = {}

    @property
    def spec(self) -> AuthSpec | None:
        """The configuration's `auth` as it is now; None where only this machine is served."""
        return self._deps.configured.current.spec.auth

    @property
    def public_url(self) -> str | None:
        """Where people find our pages, where the configuration says so."""
        return self._deps.configured.current.spec.public_url

    def now(self) -> float:
        """The time by which sign-ins end."""
        return self._deps.now()

    def ways(self) -> Ways:
        """How people can sign in now."""
        spec = self.spec
        return Ways(bool(spec and spec.tokens), bool(spec and spec.oidc))

    # Deciding who asks

    async def caller(self, request: HTTPConnection, *, token: str = "") -> Caller:
        """Who sends this request.

        Args:
            token: what the form of one of our pages carries; a script of ours sends `X-CSRF-Token`.

        Raises:
            SignInNeeded: nobody knows who asks.
            Forbidden: it comes from somebody else's page, from another machine, or has no role at all.
            TooMany: too many sign-ins from this address failed.
        """
        if self.spec is None:
            return self._local(request, token)
        bearer = _bearer(request)
        if bearer is not None:
            return Caller(await self._by_token(self.spec, request, bearer), "bearer")
        session = self._session(self.spec, request)
        if session is None:
            raise SignInNeeded("nobody is signed in", hint="Sign in, or send `Authorization: Bearer TOKEN`.")
        if not _is_safe(request):
            self._check_form(request, session.csrf, token)
        return Caller(self._identity(self.spec, session), "cookie", session.csrf)

    def served(self, request: HTTPConnection) -> bool:
        """Whether this machine or name is served at all, whoever asks."""
        return self.spec is not None or is_local(_peer(request), request.headers)

    def _local(self, request: HTTPConnection, token: str) -> Caller:
        if not is_local(_peer(request), request.headers):
            raise Forbidden(
                "only this machine is served, since nobody can sign in here",
                hint="Open it as http://127.0.0.1:PORT, or add `auth` to the service's configuration.",
            )
        if not _is_safe(request) and from_browser(request.headers):
            self._check_form(request, self._local_csrf, token)
        return Caller(LOCAL, "local", self._local_csrf)

    def _check_form(self, request: HTTPConnection, expected: str, token: str) -> None:
        if from_other_page(request.headers, self.public_url):
            raise Forbidden(
                "another site's page sent this request",
                hint="Do it on the dashboard itself. Behind a proxy set `public_url` to its address.",
            )
        if not same(expected, token or request.headers.get("x-csrf-token", "")):
            raise Forbidden(
                "the form is not from this session", hint="Load the page again, and send the form once more."
            )

    # Tokens

    async def _by_token(self, spec: AuthSpec, request: HTTPConnection, token: str) -> Identity:
        name = await self.named(spec, request, token)
        return self._with_role(Identity(f"token:{name}", "token", of_token(spec.roles, name)))

    async def named(self, spec: AuthSpec, request: HTTPConnection, token: str) -> str:
        """The name of a token.

        Raises:
            SignInNeeded: no such token; this address may try some more times.
            TooMany: it tried too often. A right random token gets through even then.
        """
        who, now = peer(_peer(request)), self._deps.now()
        path = self._token_file(spec)
        if path is not None:
            name = self._tokens.by_hash(path, token)
            wait_s = self._failures.wait_s(who, FAILURES_PER_MINUTE, now)
            if not name and not wait_s:
                name = await self._tokens.by_passphrase(path, token)
            if name:
                return name
        self.failed(request)
        raise SignInNeeded(
            "this token is not known here",
            hint="Check that it is whole, and that its line is in the token file.",
        )

    def failed(self, request: HTTPConnection, *, at_provider: bool = False) -> None:
        """Count a sign-in that failed.

        Raises:
            TooMany: see `check_tries`.
        """
        self.check_tries(request, at_provider=at_provider)
        who = peer(_peer(request))
        self._tries(at_provider).take(who, FAILURES_PER_MINUTE, self._deps.now())
        log.warning("sign_in_refused", peer=who)

    def _tries(self, at_provider: bool) -> Buckets:
        # Behind a proxy everybody may have one address: who guesses tokens must not keep an organisation out.
        return self._refused_by_provider if at_provider else self._failures

    def check_tries(self, request: HTTPConnection, *, at_provider: bool = False) -> None:
        """Whether somebody may try to sign in, with a token or as the provider says.

        Raises:
            TooMany: too many sign-ins from this address failed in that way.
        """
        who, now = peer(_peer(request)), self._deps.now()
        wait_s = self._tries(at_provider).wait_s(who, FAILURES_PER_MINUTE, now)
        if wait_s:
            raise TooMany(
                "too many sign-ins from this address failed",
                retry_after_s=wait_s,
                hint=f"Try again in {wait_s} s.",
            )

    def _token_file(self, spec: AuthSpec) -> Path | None:
        return self._deps.configured.current.file(spec.tokens) if spec.tokens else None

    # Sessions

    def _session(self, spec: AuthSpec, request: HTTPConnection) -> Session | None:
        """The session of a request's cookie; None without one, after its end, or without its token."""
        text = request.cookies.get(self.cookie_name(request), "")
        session = self.seal("session").opened(Session, text, self._deps.now())
        if session is None:
            return None
        if session.kind == "oidc":
            return session if spec.oidc is not None else None
        path = self._token_file(spec)
        kept = self._tokens.hashes(path).get(session.name, "") if path else ""
        return session if same(kept, session.proof) else None

    def _identity(self, spec: AuthSpec, session: Session) -> Identity:
        if session.kind == "oidc":
            grants = of_user(spec.roles, session.names, session.groups)
            return self._with_role(Identity(session.name, "oidc", grants))
        return self._with_role(Identity(f"token:{session.name}", "token", of_token(spec.roles, session.name)))

    def _with_role(self, identity: Identity) -> Identity:
        if not identity.grants:
            raise Forbidden(f"there is no role here for {identity.name}", hint=_NO_ROLE)
        return identity

    async def session_of_token(self, request: HTTPConnection, token: str) -> Session:
        """A new session for whoever knows a token.

        Raises:
            SignInNeeded, TooMany: see `named`.
            Forbidden: the token has no role.
        """
        spec = self._needed()
        name = await self.named(spec, request, token)
        path = self._token_file(spec)
        proof = self._tokens.hashes(path).get(name, "") if path else ""
        session = Session("token", name, (name,), (), new_csrf(), self._end(spec), proof)
        await self._signed_in(self._identity(spec, session), request)
        return session

    async def session_of_user(self, request: HTTPConnection, signed: Signed) -> Session:
        """A new session for somebody whom the provider sent back.

        Raises:
            Forbidden: they have no role.
        """
        spec = self._needed()
        groups = tuple(sorted(named_groups(spec.roles) & signed.groups))
        session = Session("oidc", signed.name, signed.names, groups, new_csrf(), self._end(spec))
        try:
            identity = self._identity(spec, session)
        except Forbidden as error:
            if signed.overage:
                raise Forbidden(
                    f"there is no role here for {signed.name}, who is in more groups than the provider lists",
                    hint="Let the provider send application roles, or only the groups of the application.",
                ) from error
            raise
        await self._signed_in(identity, request)
        return session

    async def _signed_in(self, identity: Identity, request: HTTPConnection) -> None:
        record = AuditRecord(
            self._deps.now(), identity.name, "sign-in", detail={"kind": identity.kind, "from": _peer(request)}
        )
        await self._deps.store.add_audit(record)
        log.info("signed_in", who=identity.name, kind=identity.kind)

    def _needed(self) -> AuthSpec:
        spec = self.spec
        if spec is None:
            raise Refusal("nobody needs to sign in here", hint="This machine is served as it is.")
        return spec

    def _end(self, spec: AuthSpec) -> float:
        return self._deps.now() + seconds(spec.session)

    # Cookies

    def is_https(self, request: HTTPConnection) -> bool:
        """Whether browsers reach us by https."""
        return (self.public_url or request.scope.get("scheme", "http")).startswith("https")

    def own_url(self, request: HTTPConnection) -> str:
        """Where people find our pages, without a slash at the end."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = request.headers.get("host", "")
        return f"{request.scope.get('scheme', 'http')}://{host if host_name(host) else 'localhost'}"

    def cookie_name(self, request: HTTPConnection, kind: str = "session") -> str:
        """The name of a cookie; by its prefix browsers take it only from us, and never from a subdomain."""
        return f"__Host-reconciler-{kind}" if self.is_https(request) else f"reconciler-{kind}"

    def seal(self, purpose: str) -> Seal:
        """What makes and opens cookies for a purpose."""
        spec = self.spec
        config = self._deps.configured.current
        key = config.secret(spec.session_key) if spec and spec.session_key else self._own_key
        return _seal(key, purpose)

    def set_cookie(
        self,
        request: HTTPConnection,
        response: Response,
        value: str,
        *,
        kind: str = "session",
        max_age_s: int,
    ) -> None:
        """Put a cookie into an answer; an empty value removes it."""
        response.set_cookie(
            self.cookie_name(request, kind),
            value,
            max_age=max_age_s if value else 0,
            path="/",
            secure=self.is_https(request),
            httponly=True,
            # Not strict: a link in a mail or chat would find everybody signed out.
            samesite="lax",
        )

    # The provider

    def provider(self) -> Provider:
        """The OpenID provider of the configuration, with what was read of it so far.

        Raises:
            Refusal: none is configured.
        """
        spec = self.spec
        if spec is None or spec.oidc is None:
            raise Refusal("no provider is configured", hint="Sign in with a token.")
        if spec.oidc not in self._providers:
            self._providers.clear()
            secret = self._deps.configured.current.secret(spec.oidc.client_secret)
            self._providers[spec.oidc] = Provider(spec.oidc, secret, self._deps.now)
        return self._providers[spec.oidc]

    async def used_before(self, state: str, within_s: int) -> bool:
        """Whether somebody came back from the provider with this state before, at any replica."""
        return not await self._deps.store.first_time("oidc", state, now=self._deps.now(), within_s=within_s)


@lru_cache(maxsize=8)
def _seal(key: str, purpose: str) -> Seal:
    return Seal(key, purpose)


def _is_safe(request: HTTPConnection) -> bool:
    return request.scope.get("method", "GET") in SAFE_METHODS


def _peer(request: HTTPConnection) -> str:
    return request.client.host if request.client else ""


def _bearer(request: HTTPConnection) -> str | None:
    """The token in a request's header, None without the header.

    Raises:
        SignInNeeded: the header is of another kind.
    """
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise SignInNeeded("only bearer tokens are taken", hint="Send `Authorization: Bearer TOKEN`.")
    return token.strip()

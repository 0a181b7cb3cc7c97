"""What is wrong between the settings of a configuration whose single values are right. Reads files it names.

Each check yields findings with a path from the root of the file.
"""

from __future__ import annotations

import base64
import binascii
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from reconciler.errors import Finding, InvalidInput, ReconcilerError
from reconciler.globs import joined
from reconciler.location import origin_of, parse_location
from reconciler.service.config_fields import is_loopback, listen_at
from reconciler.service.config_keys import key_findings
from reconciler.service.config_overlap import can_overlap
from reconciler.service.config_secrets import Unreadable, check_private, path_of
from reconciler.service.config_spec import AuthSpec, Secret, ServiceSpec, SourceSpec, seconds
from reconciler.suggest import did_you_mean

# Shorter ones can be guessed by asking; providers suggest 20 and more.
_LEAST_SECRET_CHARS: Final = 8
_LEAST_KEY_CHARS: Final = 32
_PUBLIC_FORGES: Final[Mapping[str, tuple[str, ...]]] = {
    "github": ("github.com",),
    "gitlab": ("gitlab.com",),
    "azure-devops": ("dev.azure.com", "ssh.dev.azure.com", "visualstudio.com"),
}
_APIS: Final = {
    "github": "https://HOST/api/v3",
    "gitlab": "https://HOST/api/v4",
    "azure-devops": "https://HOST/COLLECTION",
}


@dataclass(frozen=True)
class Checked:
    """A configuration to check: its secrets so far, its folder, and the places of its sources in the file."""

    spec: ServiceSpec
    secrets: Mapping[Secret, str]
    folder: Path
    indexes: tuple[int, ...] | None = None

    def sources(self) -> Iterator[tuple[int, SourceSpec]]:
        """The sources with their places in the file."""
        places = self.indexes if self.indexes is not None else range(len(self.spec.sources))
        return zip(places, self.spec.sources, strict=True)


Check = Callable[[Checked], Iterator[Finding]]


def check(checked: Checked, refused: frozenset[str]) -> list[Finding]:
    """Everything wrong, leaving out checks about the parts of the file that are refused already."""
    return [
        finding for parts, each in _CHECKS if not refused.intersection(parts) for finding in each(checked)
    ]


def _names(checked: Checked) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, source in checked.sources():
        other = first.setdefault(source.name, index)
        if other != index:
            message = f"the name `{source.name}` is already that of source {other + 1}"
            yield Finding(("sources", index, "name"), message, "Give each source a name of its own.")


def _same_projects(checked: Checked) -> Iterator[Finding]:
    seen: list[SourceSpec] = []
    for index, source in checked.sources():
        for other in seen:
            if other.name != source.name and _same_files(source, other) and _overlap(source, other):
                message = f"the same Projects of the same repository as in source `{other.name}`"
                hint = "Watch it once, or give both `projects` that have nothing in common."
                yield Finding(("sources", index, "projects"), message, hint)
        seen.append(source)


def _same_files(one: SourceSpec, other: SourceSpec) -> bool:
    same = _repository(one.url) == _repository(other.url) and (one.ref or "") == (other.ref or "")
    return same and _inside(joined("", one.path) or "", joined("", other.path) or "")


def _repository(url: str) -> str:
    return origin_of(url) or url.removesuffix("/").removesuffix(".git")


def _inside(one: str, other: str) -> bool:
    """Whether one folder is the other or within it."""
    short, long = sorted((one, other), key=len)
    return short in ("", long) or long.startswith(f"{short}/")


def _overlap(one: SourceSpec, other: SourceSpec) -> bool:
    return any(can_overlap(glob, second) for glob in one.projects for second in other.projects)


def _sign_in_at_git(checked: Checked) -> Iterator[Finding]:
    for index, source in checked.sources():
        given, location = source.credentials, parse_location(source.url)
        if given is None or location is None:
            continue
        at = ("sources", index, "credentials")
        ssh = location.scheme == "ssh"
        if given.token is not None and ssh:
            yield Finding((*at, "token"), "SSH takes no token", "Name a key as `ssh_key`, or use https.")
        if given.token is not None and location.scheme == "http" and not is_loopback(location.host):
            message = f"the token would go to {location.url} without encryption"
            yield Finding((*at, "token"), message, "Use https.")
        if given.ssh_key is not None and not ssh:
            hint = "Name a `token`, or write the address as ssh://git@HOST/PATH.git."
            yield Finding((*at, "ssh_key"), f"{location.scheme} takes no SSH key", hint)
        if given.username is not None and given.token is None:
            hint = "Name its `token`, or remove the user; SSH has its user in the address."
            yield Finding((*at, "username"), "a user without a token", hint)
        if given.ssh_passphrase is not None and given.ssh_key is None:
            hint = "Name the key as `ssh_key`."
            yield Finding((*at, "ssh_passphrase"), "a passphrase without its key", hint)
        if given.ssh_key is not None:
            yield from _private_file(checked, given.ssh_key, (*at, "ssh_key"))


def _private_file(checked: Checked, name: str, at: tuple[str | int, ...]) -> Iterator[Finding]:
    path = path_of(name, checked.folder)
    try:
        check_private(path)
        with path.open("rb") as file:
            if not file.read(1):
                yield Finding(at, f"{path} is empty", "Name another file, or fill it.")
    except Unreadable as error:
        yield Finding(at, str(error), error.hint)
    except OSError as error:
        yield Finding(at, f"cannot read {path}: {error.strerror}", "Check its owner and mode.")


def _signature_keys(checked: Checked) -> Iterator[Finding]:
    for index, source in checked.sources():
        for finding in key_findings(source.signatures, checked.folder) if source.signatures else ():
            at = ("sources", index, "signatures", *finding.path)
            yield Finding(at, finding.message, finding.hint)


def _webhooks(checked: Checked) -> Iterator[Finding]:
    for index, source in checked.sources():
        hook = source.webhook
        if hook is None:
            continue
        at = ("sources", index, "webhook")
        if hook.header is not None and hook.provider not in ("azure-devops", "generic"):
            hint = "Remove `header`; only `azure-devops` and `generic` have a choice."
            yield Finding((*at, "header"), f"{hook.provider} has a header of its own", hint)
        secret = checked.secrets.get(hook.secret)
        problem = _webhook_secret(hook.provider, secret, bool(hook.header)) if secret is not None else None
        if problem is not None:
            yield Finding((*at, "secret"), *problem)


def _webhook_secret(provider: str, secret: str, has_header: bool) -> tuple[str, str] | None:
    """What is wrong with the form of a secret, and the remedy; None when nothing is."""
    if len(secret) < _LEAST_SECRET_CHARS:
        return (
            f"the secret has fewer than {_LEAST_SECRET_CHARS} characters",
            "Make one with `openssl rand -hex 32`, here and at the provider.",
        )
    user, colon, password = secret.partition(":")
    if provider == "azure-devops" and not has_header and colon and not (user and password):
        return (
            "the secret is no `user:password`",
            "Write both, or the password alone; or name the `header` that holds a shared token.",
        )
    if provider == "gitlab" and secret.startswith("whsec_"):
        try:
            decoded = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        if not decoded:
            return ("the signing token is cut short", "Copy it whole from GitLab, `whsec_` and all.")
    return None


def _forges(checked: Checked) -> Iterator[Finding]:
    for index, source in checked.sources():
        forge, location = source.forge, parse_location(source.url)
        if forge is None or forge.url is not None or location is None:
            continue
        known = _PUBLIC_FORGES[forge.provider]
        if not any(location.host == host or location.host.endswith(f".{host}") for host in known):
            message = f"`{location.host or 'this machine'}` is not {known[0]}, and its API is not named"
            hint = f"Add `url`: for example {_APIS[forge.provider]}."
            yield Finding(("sources", index, "forge"), message, hint)


def _store(checked: Checked) -> Iterator[Finding]:
    from reconciler.service.store.opening import open_store

    url = checked.spec.store
    if _has_password(url):
        hint = "Take it out, and set PGPASSWORD, or PGPASSFILE to a file with it, where the service starts."
        yield Finding(("store",), "the address holds a password", hint)
        return
    try:
        open_store(url)
    except ReconcilerError as error:
        yield Finding(("store",), str(error), error.hint)


def _has_password(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.password) or "password" in parse_qs(parts.query)
    except ValueError:
        return False


def _exposed(checked: Checked) -> Iterator[Finding]:
    host, _ = listen_at(checked.spec.listen)
    if checked.spec.auth is None and not is_loopback(host):
        message = f"listening at {checked.spec.listen} without sign-in, where everybody would be admin"
        hint = "Add `auth`, or listen at 127.0.0.1, which serves this machine only."
        yield Finding(("listen",), message, hint)


def _auth(checked: Checked) -> Iterator[Finding]:
    auth = checked.spec.auth
    if auth is None:
        return
    if auth.tokens is None and auth.oidc is None:
        hint = "Name a file of `tokens`, or an `oidc` issuer, or remove `auth`."
        yield Finding(("auth",), "nobody can sign in", hint)
    names: Mapping[str, str] | None = None
    if auth.tokens is not None:
        unreadable = list(_private_file(checked, auth.tokens, ("auth", "tokens")))
        yield from unreadable
        if not unreadable:
            names, problems = _tokens(path_of(auth.tokens, checked.folder))
            yield from problems
    if auth.oidc is not None:
        missing = [name for name in ("authlib", "httpx") if find_spec(name) is None]
        if missing:
            yield _extra(("auth", "oidc"), "sign-in by OpenID Connect", missing[0], "oidc")
    key = checked.secrets.get(auth.session_key) if auth.session_key else None
    if key is not None and len(key) < _LEAST_KEY_CHARS:
        message = f"the key has fewer than {_LEAST_KEY_CHARS} characters"
        yield Finding(("auth", "session_key"), message, "Make one with `openssl rand -hex 32`.")
    yield from _roles(auth, names)


def _tokens(path: Path) -> tuple[Mapping[str, str] | None, list[Finding]]:
    """The tokens of a file by name, None when it cannot be used; a problem for each of its wrong lines."""
    from reconciler.service.auth.tokens import read_tokens

    try:
        return read_tokens(path.read_bytes(), str(path)), []
    except OSError as error:
        return None, [Finding(("auth", "tokens"), f"cannot read {path}: {error.strerror}", "Check its mode.")]
    except InvalidInput as error:
        told = [f"{problem.place}: {problem.message}" for problem in error.problems]
        return None, [Finding(("auth", "tokens"), message, error.hint) for message in told]


def _roles(auth: AuthSpec, tokens: Mapping[str, str] | None) -> Iterator[Finding]:
    if not auth.roles:
        hint = "Add `roles: [{role: admin, users: [NAME]}]`."
        yield Finding(("auth",), "nobody has a role, so nobody could look at anything", hint)
    for index, role in enumerate(auth.roles):
        at = ("auth", "roles", index)
        if not (role.groups or role.users or role.tokens):
            yield Finding(at, "nobody can have this role", "Name `groups`, `users` or `tokens`.")
        if role.tokens and auth.tokens is None:
            yield Finding((*at, "tokens"), "no file of tokens is named", "Set `auth.tokens` to it.")
        for number, name in enumerate(role.tokens if tokens is not None else ()):
            if name not in (tokens or ()):
                hint = did_you_mean(name, tokens or (), "Add it: `reconciler token NAME` makes its line.")
                yield Finding((*at, "tokens", number), f"the file of tokens has no `{name}`", hint)
        if (role.groups or role.users) and auth.oidc is None:
            key = "groups" if role.groups else "users"
            hint = "Add `auth.oidc`, or name `tokens`."
            yield Finding((*at, key), f"`{key}` come from the sign-in, and none is set", hint)


def _notify(checked: Checked) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, notify in enumerate(checked.spec.notify):
        other = first.setdefault(notify.name, index)
        if other != index:
            message = f"the name `{notify.name}` is already that of notification {other + 1}"
            yield Finding(("notify", index, "name"), message, "Give each a name of its own.")
    if checked.spec.notify and find_spec("apprise") is None:
        yield _extra(("notify",), "sending messages", "apprise", "notify")
        return
    for index, notify in enumerate(checked.spec.notify):
        url = checked.secrets.get(notify.url)
        if url is not None and not _is_address(url):
            message = "the secret is no address that apprise knows"
            hint = "Write it as https://appriseit.com/services/ shows, for example `msteams://…`."
            yield Finding(("notify", index, "url"), message, hint)


def _is_address(url: str) -> bool:
    # Half a second to import; only a configuration that notifies pays for it. The first address loads all
    # plug-ins, some of which import what Python has given up.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from apprise import Apprise

        return Apprise.instantiate(url, suppress_exceptions=True) is not None


def _extra(at: tuple[str | int, ...], what: str, module: str, extra: str) -> Finding:
    hint = f"Run `pip install 'foundry-reconciler[{extra}]'`."
    return Finding(at, f"{what} needs {module}, which is not installed", hint)


def _pauses(checked: Checked) -> Iterator[Finding]:
    backoff = checked.spec.backoff
    if seconds(backoff.first) > seconds(backoff.longest):
        message = f"the first pause is longer than the longest, {backoff.longest}"
        yield Finding(("backoff", "first"), message, "Lower it, or raise `longest`.")


# By the parts of the file that a check is about.
_CHECKS: Final[tuple[tuple[tuple[str, ...], Check], ...]] = (
    ((), _names),
    ((), _same_projects),
    ((), _sign_in_at_git),
    ((), _signature_keys),
    ((), _webhooks),
    ((), _forges),
    (("store",), _store),
    (("listen", "auth"), _exposed),
    (("auth",), _auth),
    (("notify",), _notify),
    (("backoff",), _pauses),
)

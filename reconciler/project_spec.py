"""What a manifest may say under `spec` of a Project."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema, model_validator

from reconciler.globs import compiled
from reconciler.strict_model import Strict
from reconciler.values import NAME
from reconciler.windows import WindowSpec

# A mark has 512 characters for owner, name, fingerprint and commit (rule M1).
MOST_OWNER_CHARS: Final = 150
_INTERVAL: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h)")
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600}
# A reading of a large project takes seconds; more often would be a load of its own.
LEAST_INTERVAL_S: Final = 10
_PROJECT_PATH: Final = re.compile(r"/api/projects/[A-Za-z0-9][A-Za-z0-9._-]*")
_SANDBOX: Final = re.compile(r"sandbox://[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_ENDPOINTS: Final = (
    "Write https://ACCOUNT.services.ai.azure.com/api/projects/NAME, sandbox://NAME, "
    "or plain http on this machine."
)


def _endpoint(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip().rstrip("/")
    if text.startswith("sandbox://"):
        if not _SANDBOX.fullmatch(text):
            raise ValueError(f"a sandbox is named by letters, digits, `-`, `_` and `.` | {_ENDPOINTS}")
        return text
    try:
        parts = urlsplit(text)
        host, has_login = parts.hostname or "", bool(parts.username or parts.password)
    except ValueError as error:
        raise ValueError(f"this is no URL | {_ENDPOINTS}") from error
    if has_login or parts.query or parts.fragment:
        raise ValueError(f"an endpoint has no login, `?` or `#` | {_ENDPOINTS}")
    match parts.scheme:
        case "https" if host and _PROJECT_PATH.fullmatch(parts.path):
            return text
        case "https":
            raise ValueError(f"this is not the endpoint of a project | {_ENDPOINTS}")
        case "http" if _is_loopback(host):
            return text
        case "http":
            raise ValueError(f"plain http would send the token in the open | {_ENDPOINTS}")
    raise ValueError(f"this is no endpoint | {_ENDPOINTS}")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _owner(value: Any) -> Any:
    if isinstance(value, str):
        if not value.strip() or not value.isprintable():
            raise ValueError("an owner is a printable name | For example `github.com/acme/agents#prod`.")
        if len(value) > MOST_OWNER_CHARS:
            raise ValueError(
                f"{len(value)} characters, and an owner has at most {MOST_OWNER_CHARS} | Shorten it."
            )
    return value


def _glob(value: Any) -> Any:
    if isinstance(value, str):
        try:
            compiled(value.removeprefix("!"))
        except re.error as error:
            raise ValueError(f"`{value[:80]}` is no glob | Check its `[…]`.") from error
        if not value.strip("!/") or value.removeprefix("!").startswith("/"):
            raise ValueError(f"`{value[:80]}` is no glob | Write it relative to the Project's folder.")
    return value


def _named(value: Any) -> Any:
    for name in value if isinstance(value, dict) else ():
        if not NAME.fullmatch(name):
            raise ValueError(f"`{name[:63]}` is no name for a value | Use letters, digits and `_`.")
    return value


def _from_env(value: Any) -> Any:
    """A list of names is short for a mapping of each to itself."""
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        value = {name: name for name in value}
    return _named(value)


def _interval(value: Any) -> Any:
    if isinstance(value, str):
        match = _INTERVAL.fullmatch(value)
        if match is None or int(match[1]) * _UNITS_S[match[2]] < LEAST_INTERVAL_S:
            raise ValueError(f"`{value[:20]}` is no interval | Write `30s`, `5m` or `1h`; at least 10s.")
    return value


Endpoint = Annotated[StrictStr, BeforeValidator(_endpoint)]
Owner = Annotated[StrictStr, BeforeValidator(_owner)]
Glob = Annotated[StrictStr, BeforeValidator(_glob)]
Labels = dict[str, StrictStr]
_TEXTS: Final = {"type": "string"}
FromEnv = Annotated[
    dict[str, StrictStr],
    BeforeValidator(_from_env),
    WithJsonSchema(
        {"anyOf": [{"type": "array", "items": _TEXTS}, {"type": "object", "additionalProperties": _TEXTS}]}
    ),
]


class TargetSpec(Strict):
    """Which manifests a patch is for; all of them when it says nothing."""

    kind: StrictStr | None = None
    name: Glob | None = None
    labels: Labels = Field(default_factory=dict)


class PatchSpec(Strict):
    """A JSON Patch (RFC 6902) or a merge patch (RFC 7396) on the manifests that match."""

    target: TargetSpec = TargetSpec()
    patch: tuple[dict[str, Any], ...] | None = None
    merge: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> PatchSpec:
        if (self.patch is None) == (self.merge is None):
            raise ValueError("a patch has either `patch` or `merge` | Write one of the two.")
        return self


class LimitsSpec(Strict):
    """How much one run may delete or update (rule D2); per cent of the agents that are owned."""

    deletes: StrictInt = Field(default=5, ge=0)
    deletes_percent: StrictInt = Field(default=30, ge=0, le=100)
    updates_percent: StrictInt = Field(default=50, ge=0, le=100)


class SyncSpec(Strict):
    """How and how often the Project is kept in line."""

    mode: Literal["observe", "enforce"] = "enforce"
    interval: Annotated[StrictStr, BeforeValidator(_interval)] = "5m"
    prune: StrictBool = True
    limits: LimitsSpec = LimitsSpec()
    protect: tuple[Glob, ...] = ()
    forget: tuple[Glob, ...] = ()
    windows: tuple[WindowSpec, ...] = ()
    on_invalid: Literal["fail", "skip"] = "fail"

    @property
    def interval_s(self) -> int:
        """The interval in seconds."""
        return int(self.interval[:-1]) * _UNITS_S[self.interval[-1]]


class ProjectSpec(Strict):
    """The `spec` of a Project."""

    endpoint: Endpoint
    owner: Owner | None = None
    owner_aliases: tuple[Owner, ...] = ()
    resources: tuple[Glob, ...] = ("**/*.yaml", "**/*.yml")
    selector: Labels = Field(default_factory=dict)
    values: Annotated[dict[str, Any], BeforeValidator(_named)] = Field(default_factory=dict)
    values_from_env: FromEnv = Field(default_factory=dict)
    patches: tuple[PatchSpec, ...] = ()
    sync: SyncSpec = SyncSpec()
    policies: dict[str, Literal["off", "info", "warn", "refuse"]] = Field(default_factory=dict)
    checks: Literal["strict", "warn"] = Field(default="strict", alias="schema")

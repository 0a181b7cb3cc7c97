"""What the service's configuration file may say."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt, StrictStr, model_validator

from reconciler.globs import compiled
from reconciler.service.config_fields import (
    Filled,
    Folder,
    GitAddress,
    Glob,
    Header,
    Listen,
    Name,
    PageAddress,
    Ref,
    Repository,
    Span,
    Variable,
    WebAddress,
)
from reconciler.strict_model import Strict

_LONGEST_SILENCE_S: Final = 3600
_UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(span: str) -> int:
    """A span such as `30s`, `5m`, `2h` or `7d`, in seconds."""
    return int(span[:-1]) * _UNITS_S[span[-1]]


def _filled(value: Any) -> Any:
    # Not by `min_length`, which also speaks up when every item is wrong.
    if value == []:
        raise ValueError("the list is empty | Fill it in, or remove the line.")
    return value


_FILLED: Final = (BeforeValidator(_filled), Field(json_schema_extra={"minItems": 1}))
Globs = Annotated[tuple[Glob, ...], *_FILLED]


class Secret(Strict):
    """Where a secret is kept: an environment variable or a file. Never the secret itself."""

    env: Variable | None = None
    file: Filled | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_secret(cls, value: Any) -> Any:
        # The value itself is not shown: it is the secret more often than not.
        if not isinstance(value, dict | Secret):
            raise ValueError(
                "a secret is not written here | Write `{env: NAME}` or `{file: PATH}`, and replace the "
                "secret if this file was committed."
            )
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Secret:
        if (self.env is None) == (self.file is None):
            raise ValueError("a secret has either `env` or `file` | Write one of the two.")
        return self


Provider = Literal[
    "github", "gitlab", "azure-devops", "bitbucket", "bitbucket-server", "gitea", "forgejo", "gogs", "generic"
]


class WebhookSpec(Strict):
    """Who may tell us that the source moved: `secret` is the HMAC key, token, or `user:password`.

    `header` names the header of a shared token (`azure-devops`) or of the signature (`generic`).
    """

    provider: Provider
    secret: Secret
    header: Header | None = None


class CredentialsSpec(Strict):
    """How to sign in at the Git server; without it `RECONCILER_GIT_*` hold."""

    username: StrictStr | None = None
    token: Secret | None = None
    ssh_key: Filled | None = None
    ssh_passphrase: Secret | None = None


class SignaturesSpec(Strict):
    """Keys of which one must have signed the newest commit: `ssh` keys or files of them, `gpg` files."""

    ssh: tuple[Filled, ...] = ()
    gpg: tuple[Filled, ...] = ()

    @model_validator(mode="after")
    def _some(self) -> SignaturesSpec:
        if not self.ssh and not self.gpg:
            raise ValueError("no key is named | List keys under `ssh` or `gpg`, or remove `signatures`.")
        return self


def _silence(span: str) -> str:
    # libgit2 refuses more than 24 days, and would say so by a crash of the whole service.
    if seconds(span) > _LONGEST_SILENCE_S:
        raise ValueError(
            f"`{span}` is more than an hour | Lower it; a server that works says something sooner."
        )
    return span


class SourceLimitsSpec(Strict):
    """How much one repository may send, and how long its server may stay silent."""

    megabytes: StrictInt = Field(default=500, ge=1, le=10_000)
    files: StrictInt = Field(default=100_000, ge=1, le=100_000)
    timeout: Annotated[Span, AfterValidator(_silence)] = "60s"


class ForgeSpec(Strict):
    """Where commit statuses and plan comments go. `repository` is `owner/name`, on Azure DevOps
    `project/repository`; `url` is the API's address where it is not the public one."""

    provider: Literal["github", "gitlab", "azure-devops"]
    repository: Repository
    token: Secret
    url: WebAddress | None = None
    pull_requests: bool = True


class SourceSpec(Strict):
    """One repository that is watched."""

    name: Name
    url: GitAddress
    ref: Ref | None = None
    path: Folder = ""
    interval: Span = "1m"
    jitter_percent: StrictInt = Field(default=10, ge=0, le=100)
    webhook: WebhookSpec | None = None
    credentials: CredentialsSpec | None = None
    signatures: SignaturesSpec | None = None
    limits: SourceLimitsSpec = SourceLimitsSpec()
    projects: Globs = ("*",)
    forge: ForgeSpec | None = None

    def handles(self, project: str) -> bool:
        """Whether this service looks after a Project of this name."""
        return any(compiled(glob).fullmatch(project) for glob in self.projects)


class BackoffSpec(Strict):
    """Pauses after failures: doubled from `first` to `longest`, each shortened by up to half at random."""

    first: Span = "5s"
    longest: Span = "15m"


class LimitsSpec(Strict):
    """What one process takes on at once."""

    reconciles: StrictInt = Field(default=8, ge=1, le=100)
    webhooks_per_minute: StrictInt = Field(default=120, ge=1, le=100_000)


class RetentionSpec(Strict):
    """How long history is kept. The newest run of each Project always stays."""

    runs: StrictInt = Field(default=200, ge=1, le=100_000)
    days: StrictInt = Field(default=90, ge=1, le=3650)
    audit_days: StrictInt = Field(default=730, ge=1, le=3650)


Occasion = Literal["drift", "failure", "recovery", "release"]


class NotifySpec(Strict):
    """One address that hears of things: an apprise URL. The same thing is told once in `repeat_after`."""

    name: Name
    url: Secret
    on: Annotated[tuple[Occasion, ...], *_FILLED] = ("drift", "failure", "recovery")
    projects: Globs = ("*",)
    repeat_after: Span = "4h"


class CloudEventsSpec(Strict):
    """A webhook that gets every event as a CloudEvent, signed with `secret` where there is one."""

    url: WebAddress
    secret: Secret | None = None


class RoleSpec(Strict):
    """Who may do what: `groups`, `users` (from the sign-in) and `tokens` (names in the token file)."""

    role: Literal["viewer", "operator", "admin"]
    projects: Globs = ("*",)
    groups: tuple[Filled, ...] = ()
    users: tuple[Filled, ...] = ()
    tokens: tuple[Filled, ...] = ()


class OidcSpec(Strict):
    """Sign-in by OpenID Connect. For Entra ID: `https://login.microsoftonline.com/TENANT/v2.0`."""

    issuer: WebAddress
    client_id: Filled
    client_secret: Secret
    groups_claim: Filled = "groups"


class AuthSpec(Strict):
    """Who may look and act. Without it the service listens on loopback only, and everybody is admin.

    `session_key` keeps sign-ins valid over restarts and replicas; without it each process makes its own.
    """

    tokens: Filled | None = None
    oidc: OidcSpec | None = None
    roles: tuple[RoleSpec, ...] = ()
    session_key: Secret | None = None
    session: Span = "8h"


def _some(value: Any) -> Any:
    if value == []:
        raise ValueError("no source is named | List the repositories to watch.")
    return value


class ServiceSpec(Strict):
    """The whole file."""

    listen: Listen = "127.0.0.1:8080"
    public_url: PageAddress | None = None
    store: StrictStr
    sources: Annotated[
        tuple[SourceSpec, ...], BeforeValidator(_some), Field(json_schema_extra={"minItems": 1})
    ]
    limits: LimitsSpec = LimitsSpec()
    backoff: BackoffSpec = BackoffSpec()
    retention: RetentionSpec = RetentionSpec()
    notify: tuple[NotifySpec, ...] = ()
    cloud_events: CloudEventsSpec | None = None
    auth: AuthSpec | None = None
    log: Literal["debug", "info", "warning", "error"] = "info"

"""One row for each provider: how it signs, what it sends, which headers name the event and the delivery."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from reconciler.service.webhooks import payloads, signatures
from reconciler.service.webhooks.payloads import Reader
from reconciler.service.webhooks.signatures import Verifier, hmac_in


@dataclass(frozen=True)
class Provider:
    """What is particular to one provider.

    `signed_by` is for people: where the secret shows. `deliveries` are the headers with an id, the best
    first; ids of GitLab's signing tokens are signed, all others only tell repeated deliveries apart.
    `read` is None where the body says nothing. `form`: its HMAC is that of the body even as a form;
    Gitea and its kin sign the field inside.
    """

    verify: Verifier
    signed_by: str
    read: Reader | None = None
    event: str = ""
    deliveries: tuple[str, ...] = ()
    form: bool = False


_GITHUB: Final = ("x-hub-signature-256", "sha256=")
_GITEA: Final = ("x-gitea-signature", "")
_FORGEJO: Final = ("x-forgejo-signature", "")
_GOGS: Final = ("x-gogs-signature", "")
_BITBUCKET: Final = ("x-hub-signature", "sha256=")

PROVIDERS: Final[Mapping[str, Provider]] = {
    "github": Provider(
        hmac_in(_GITHUB),
        "X-Hub-Signature-256",
        payloads.github,
        "x-github-event",
        ("x-github-delivery",),
        form=True,
    ),
    "gitlab": Provider(
        signatures.gitlab,
        "X-Gitlab-Token or webhook-signature",
        payloads.gitlab,
        "x-gitlab-event",
        ("webhook-id", "idempotency-key", "x-gitlab-event-uuid"),
    ),
    "azure-devops": Provider(signatures.azure_devops, "Authorization", payloads.azure_devops),
    "bitbucket": Provider(
        hmac_in(_BITBUCKET), "X-Hub-Signature", payloads.bitbucket, "x-event-key", ("x-request-uuid",)
    ),
    "bitbucket-server": Provider(
        hmac_in(_BITBUCKET), "X-Hub-Signature", payloads.bitbucket_server, "x-event-key", ("x-request-id",)
    ),
    "gitea": Provider(
        hmac_in(_GITEA, _GITHUB),
        "X-Gitea-Signature",
        payloads.github,
        "x-gitea-event",
        ("x-gitea-delivery",),
    ),
    "forgejo": Provider(
        hmac_in(_FORGEJO, _GITEA, _GITHUB),
        "X-Forgejo-Signature",
        payloads.github,
        "x-forgejo-event",
        ("x-forgejo-delivery",),
    ),
    "gogs": Provider(
        hmac_in(_GOGS), "X-Gogs-Signature", payloads.github, "x-gogs-event", ("x-gogs-delivery",)
    ),
    "generic": Provider(signatures.generic, "X-Signature"),
}

"""Which hosts get the token of whoever runs this. Pure.

An endpoint comes from a manifest, and whoever may write that need not be who the token belongs to: with it
they could do all that it may do, in every project.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

from reconciler.errors import InvalidInput
from reconciler.globs import compiled

# Names below these are given out by Azure alone. Source: the endpoint that the portal shows for a project.
_AZURE: Final = tuple(f".services.ai.azure.{end}" for end in ("com", "us", "cn"))
_NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?")


def is_trusted(endpoint: str, more: Collection[str] = ()) -> bool:
    """Whether requests to this endpoint may carry the token; plain http never does, and needs no trust.

    Args:
        more: globs over whole names of hosts beside Azure's own.
    """
    parts = urlsplit(endpoint)
    if parts.scheme != "https":
        return True
    host = parts.hostname or ""
    if not _NAME.fullmatch(host):
        return False
    return host.endswith(_AZURE) or any(compiled(glob).fullmatch(host) for glob in more)


def check_trusted(endpoint: str, more: Collection[str] = ()) -> None:
    """Nothing, when `is_trusted`.

    Raises:
        InvalidInput: otherwise; nothing was sent.
    """
    if not is_trusted(endpoint, more):
        host = urlsplit(endpoint).hostname or endpoint
        raise InvalidInput(
            f"{host} does not get our token: it is no host of Azure AI Foundry",
            hint="Correct `endpoint`. If the host is yours, name it in RECONCILER_TRUSTED_HOSTS.",
        )

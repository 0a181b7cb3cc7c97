"""Whether a delivery comes from somebody who knows the source's secret. Pure; constant time; SHA-1 never."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from starlette.datastructures import Headers

# Standard Webhooks, which GitLab's signing tokens follow, asks for five minutes either way.
TOLERANCE_S: Final = 300
# Two keys are in use while one replaces the other; more is somebody making us work.
_MOST_SIGNATURES: Final = 8

_HEX: Final = {"sha256": re.compile(r"[0-9a-fA-F]{64}"), "sha512": re.compile(r"[0-9a-fA-F]{128}")}
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
SIGNING_TOKEN: Final = "whsec_"


class Refusal(StrEnum):
    """Why a delivery is not believed."""

    MISSING = "no-signature"
    REPEATED = "several-signatures"
    SHA1 = "sha1"
    MALFORMED = "malformed-signature"
    MISMATCH = "wrong-signature"
    STALE = "old-timestamp"
    SECRET = "unusable-secret"


@dataclass(frozen=True)
class Signed:
    """A delivery as it came, and what it is judged by. `header` is the one that the configuration names."""

    headers: Headers
    body: bytes
    secret: str
    now: float
    header: str = ""


# None: believed.
Verifier = Callable[[Signed], Refusal | None]


def hmac_in(*choices: tuple[str, str]) -> Verifier:
    """HMAC-SHA256 of the body in hex, in the first of these headers that is there.

    Args:
        choices: header and the prefix of its value, "" for bare hex.

    Source: GitHub, Gitea, Forgejo, Gogs and Bitbucket sign so.
    """

    def verify(signed: Signed) -> Refusal | None:
        for name, prefix in choices:
            values = signed.headers.getlist(name)
            if values:
                return _prefixed(values, {prefix: "sha256"}, signed)
        legacy = signed.headers.get("x-hub-signature", "")
        return Refusal.SHA1 if legacy.startswith("sha1=") else Refusal.MISSING

    return verify


def generic(signed: Signed) -> Refusal | None:
    """HMAC of the body in hex behind `sha256=` or `sha512=`, in `X-Signature` or the configured header."""
    values = _values(signed.headers, signed.header or "x-signature")
    return _prefixed(values, {"sha256=": "sha256", "sha512=": "sha512"}, signed)


def _prefixed(values: list[str], algorithms: dict[str, str], signed: Signed) -> Refusal | None:
    value = _only(values)
    if isinstance(value, Refusal):
        return value
    if value.startswith("sha1="):
        return Refusal.SHA1
    for prefix, algorithm in algorithms.items():
        digits = value.removeprefix(prefix)
        if value.startswith(prefix) and _HEX[algorithm].fullmatch(digits):
            made = hmac.digest(_bytes(signed.secret), signed.body, algorithm)
            return None if hmac.compare_digest(bytes.fromhex(digits), made) else Refusal.MISMATCH
    return Refusal.MALFORMED


def gitlab(signed: Signed) -> Refusal | None:
    """The secret itself in `X-Gitlab-Token`, or a signature where the secret is a signing token (`whsec_`).

    With a signing token the plain one is never enough: GitLab sends both when both are set.
    """
    if signed.secret.startswith(SIGNING_TOKEN):
        return _standard(signed)
    return _token(signed.headers.getlist("x-gitlab-token"), signed.secret)


def _standard(signed: Signed) -> Refusal | None:
    """HMAC-SHA256 of `id.timestamp.body`, in base64 behind `v1,`; one of several has to be right.

    Source: Standard Webhooks; GitLab, merge requests 230944 and 231325.
    """
    key = _decoded(signed.secret.removeprefix(SIGNING_TOKEN))
    if not key:
        return Refusal.SECRET
    parts = [_only(signed.headers.getlist(f"webhook-{name}")) for name in ("id", "timestamp", "signature")]
    for part in parts:
        if isinstance(part, Refusal):
            return part
    delivery, timestamp, signatures = map(str, parts)
    offered = signatures.split(" ")
    if not _TIMESTAMP.fullmatch(timestamp) or len(offered) > _MOST_SIGNATURES:
        return Refusal.MALFORMED
    mac = hmac.new(key, f"{delivery}.{timestamp}.".encode("latin-1"), hashlib.sha256)
    mac.update(signed.body)
    made = mac.digest()
    decoded = [_decoded(value[3:]) for value in offered if value.startswith("v1,")]
    if not any([hmac.compare_digest(value, made) for value in decoded if value]):  # noqa: C419 - each is compared
        return Refusal.MISMATCH if any(decoded) else Refusal.MALFORMED
    return Refusal.STALE if abs(signed.now - int(timestamp)) > TOLERANCE_S else None


def azure_devops(signed: Signed) -> Refusal | None:
    """HTTP Basic with `user:password` as the secret, or the secret itself in the configured header.

    A secret without a colon is the password, and any user will do: the service hook's user is optional.

    Source: service hooks of Azure DevOps have no signature.
    """
    if signed.header:
        return _token(_values(signed.headers, signed.header), signed.secret)
    value = _only(signed.headers.getlist("authorization"))
    if isinstance(value, Refusal):
        return value
    scheme, _, encoded = value.partition(" ")
    given = _decoded(encoded.strip()) if scheme.lower() == "basic" else None
    if given is None:
        return Refusal.MALFORMED
    if ":" not in signed.secret:
        given = given.partition(b":")[2]
    return None if _same(given, _bytes(signed.secret)) else Refusal.MISMATCH


def _token(values: list[str], secret: str) -> Refusal | None:
    value = _only(values)
    if isinstance(value, Refusal):
        return value
    return None if _same(value.encode("latin-1"), _bytes(secret)) else Refusal.MISMATCH


def _only(values: list[str]) -> str | Refusal:
    """The header's one value. Of two, a proxy and we might believe different ones."""
    if len(values) > 1:
        return Refusal.REPEATED
    return values[0] if values and values[0] else Refusal.MISSING


def _values(headers: Headers, name: str) -> list[str]:
    """The values of a header that the configuration names; none where nothing can have that name."""
    return headers.getlist(name) if name.isascii() else []


def _bytes(secret: str) -> bytes:
    """The secret as it was in the environment, which may hold bytes that are no UTF-8."""
    return secret.encode("utf-8", "surrogateescape")


def _same(given: bytes, secret: bytes) -> bool:
    """Compares digests, so that not even the length of the secret shows in the time."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(secret).digest())


def _decoded(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None

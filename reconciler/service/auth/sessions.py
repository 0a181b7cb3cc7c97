"""Who signed in, in a cookie that only this service can make or read, and that comes to an end."""

from __future__ import annotations

import base64
import hmac
import secrets
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeVar

import orjson
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

T = TypeVar("T")

# Browsers drop larger cookies without a word.
MAX_COOKIE_CHARS: Final = 3800


@dataclass(frozen=True)
class Session:
    """Somebody who signed in. `kind` is token or oidc.

    `names` is how roles may name them; of a token its name alone. `groups` are those that have a role.
    `proof` is the hash of the token in its file, so that removing the line ends the session.
    `csrf` is what forms of this session carry.
    """

    kind: str
    name: str
    names: tuple[str, ...]
    groups: tuple[str, ...]
    csrf: str
    ends_at: float
    proof: str = ""


@dataclass(frozen=True)
class Leaving:
    """Somebody on the way to the provider and back: what must come back with them."""

    state: str
    nonce: str
    verifier: str
    next: str
    ends_at: float


def new_csrf() -> str:
    """What a form carries to show that one of our pages made it."""
    return secrets.token_urlsafe(24)


def same(one: str, other: str) -> bool:
    """Whether two secrets are equal, in a time that tells nothing; an empty one equals none."""
    return bool(one) and hmac.compare_digest(one.encode(), other.encode())


class Seal:
    """Turns values into cookies and back.

    Args:
        key: a secret; whoever has it can sign in as anybody.
        purpose: values that were sealed for one purpose cannot be used for another.
    """

    def __init__(self, key: str, purpose: str) -> None:
        derived = HKDF(SHA256(), 32, salt=None, info=f"reconciler {purpose}".encode()).derive(key.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derived))

    def sealed(self, value: Session | Leaving) -> str:
        """The value as text for a cookie."""
        return self._fernet.encrypt(orjson.dumps(asdict(value))).decode()

    def opened(self, cls: type[T], text: str, now: float) -> T | None:
        """The value of a cookie; None when we did not make it, or its time is over."""
        if not text or len(text) > MAX_COOKIE_CHARS or not text.isascii():
            return None
        try:
            value: dict[str, Any] = orjson.loads(self._fernet.decrypt(text.encode()))
            if value["ends_at"] <= now:
                return None
            return cls(
                **{key: tuple(item) if isinstance(item, list) else item for key, item in value.items()}
            )
        except (InvalidToken, orjson.JSONDecodeError, TypeError, KeyError):
            return None

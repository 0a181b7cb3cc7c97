"""Keep secrets and control characters out of everything that is shown, stored or sent (rule P11). Pure."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Collection
from typing import Final
from urllib.parse import quote

from reconciler.resource import Json

MASK: Final = "***"
# A shorter one would mask parts of ordinary words: a value `on` would hide half of the report.
_SHORTEST: Final = 4

# The service puts the secret of a connection in only when the container starts: safe to show.
_PLACEHOLDER: Final = re.compile(r"\$\{\{[^{}]*\}\}")

_SECRET_WORDS: Final = frozenset(
    {"key", "apikey", "token", "secret", "password", "passwd", "pwd", "passphrase", "pat", "sas"}
    | {"credential", "credentials", "authorization", "cookie"}
)
_SECRET_ENDS: Final = (
    "connectionstring",
    "connstr",
    "connectionstr",
    "subscriptionkey",
    "accesskey",
    "apikey",
)
# A key of a table, of a cache, or one that everybody may know.
_HARMLESS_KEYS: Final = frozenset(
    {"public", "partition", "sort", "foreign", "cache", "routing", "row", "group"}
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# What a switch, a number or a name of a thing looks like, whatever the variable is called.
_HARMLESS_VALUE: Final = re.compile(r"(?i)\s*|true|false|yes|no|on|off|none|null|[-+]?[\d.]{1,12}")

# A word that a form cannot be without, in lower case; the form; what is shown instead of it. The words are
# looked for first: running every expression over every prompt takes twenty times as long.
_FORMS: Final = tuple(
    (word, re.compile(form), shown)
    for word, form, shown in (
        # After "bearer" and "basic" prose goes on with plain words, a credential with digits or mixed case.
        ("bearer", r"(?i:\b(bearer\s+))(?=\S*\d|\S+[A-Z]|\S{20})[A-Za-z0-9+/=._~-]{8,}", rf"\1{MASK}"),
        ("basic", r"(?i:\b(basic\s+))(?=\S*\d|\S+[A-Z]|\S{20})[A-Za-z0-9+/=._~-]{8,}", rf"\1{MASK}"),
        (
            "key",
            r"(?i:\b((?:account|shared\s?access|instrumentation|access)key\s*=\s*))[^;\s\"']{4,}",
            rf"\1{MASK}",
        ),
        ("password=", r"(?i:((?:^|[;?&\s\"'])password=))[^;&\s\"']{4,}", rf"\1{MASK}"),
        ("pwd=", r"(?i:((?:^|[;?&\s\"'])pwd=))[^;&\s\"']{4,}", rf"\1{MASK}"),
        ("sig=", r"(?i:((?:^|[;?&\s\"'])sig=))[^;&\s\"']{4,}", rf"\1{MASK}"),
        ("client_secret=", r"(?i:((?:^|[;?&\s\"'])client_secret=))[^;&\s\"']{4,}", rf"\1{MASK}"),
        # `git` is everybody's user at an SSH server, and USER stands in remedies.
        ("://", r"(?<=://)(?!(?:git|USER)@)[^\s/@\"'<>]+@", f"{MASK}@"),
        ("eyj", r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*", MASK),
        ("gh", r"\bgh[oprsu]_[A-Za-z0-9]{20,}", MASK),
        ("github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{20,}", MASK),
        ("glpat-", r"\bglpat-[A-Za-z0-9_-]{16,}", MASK),
        ("xox", r"\bxox[abeprs]-[A-Za-z0-9-]{10,}", MASK),
        # Bounded: `sk-sk-sk-…` would be read to its end from each of its places.
        ("sk-", r"\bsk-(?=\S{0,200}\d)[A-Za-z0-9_-]{16,}", MASK),
        ("akia", r"\bAKIA[A-Z0-9]{16}\b", MASK),
        ("asia", r"\bASIA[A-Z0-9]{16}\b", MASK),
        ("aiza", r"\bAIza[A-Za-z0-9_-]{30,}", MASK),
        (
            "private key-----",
            r"(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----|.*)",
            MASK,
        ),
    )
)

# C0 and C1 without tab and line feed, and the marks that turn text round on a screen.
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff]"
)

# Objects of names and values in a definition whose values may be secrets.
_NAMED_VALUES: Final = frozenset({"environment_variables", "headers", "http_headers", "credentials"})
_SECRET_FIELDS: Final = frozenset({"authorization"})


class Masker:
    """Masks what is known to be secret and what looks like it.

    Args:
        secrets: values to hide wherever they appear, also inside JSON and URLs; those shorter than four
            characters are left.
    """

    def __init__(self, secrets: Collection[str] = ()) -> None:
        forms: set[str] = set()
        for secret in secrets:
            for form in (secret, secret.strip(), *secret.splitlines()):
                if len(form) >= _SHORTEST:
                    forms |= {form, quote(form, safe=""), json.dumps(form)[1:-1], repr(form)[1:-1]}
        # The longest first: a secret that contains another one must not leave its rest.
        longest = sorted(forms, key=lambda form: (-len(form), form))
        self._known = re.compile("|".join(map(re.escape, longest))) if longest else None

    def text(self, text: str) -> str:
        """The text with secrets as `***` and control characters as `\\x1b`; tabs and line ends stay."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        lower = text.lower()
        for word, form, shown in _FORMS:
            if word in lower:
                text = form.sub(shown, text)
        return visible(text)

    def json(self, value: Json, pointer: str = "") -> Json:
        """A JSON value with its secrets masked.

        Args:
            pointer: where the value stands in its resource (JSON Pointer), so that one changed field is
                masked as it would be inside the whole.
        """
        parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
        named = len(parts) >= 2 and parts[-2] in _NAMED_VALUES
        field = parts[-1] if parts else ""
        if named or field in _SECRET_FIELDS:
            return self._named(field, value)
        return self._under(value, field)

    def _under(self, value: Json, field: str) -> Json:
        """A value below the key `field`."""
        if isinstance(value, dict):
            if field in _NAMED_VALUES:
                return {self.text(str(name)): self._named(str(name), item) for name, item in value.items()}
            return {
                self.text(str(name)): self._named(name, item)
                if name in _SECRET_FIELDS
                else self._under(item, str(name))
                for name, item in value.items()
            }
        if isinstance(value, list):
            if field in _NAMED_VALUES:
                return [self._pair(item) for item in value]
            return [self._under(item, "") for item in value]
        return self.text(value) if isinstance(value, str) else value

    def _pair(self, item: Json) -> Json:
        """A list item `{name, value}`, the shape of older definitions."""
        if isinstance(item, dict) and isinstance(item.get("name"), str) and "value" in item:
            return {**item, "value": self._named(item["name"], item["value"])}
        return self._under(item, "")

    def _named(self, name: str, value: Json) -> Json:
        """The value of an environment variable, a header or a credential."""
        if isinstance(value, dict | list):
            return self._under(value, "")
        if isinstance(value, str) and (name in _SECRET_FIELDS or looks_secret(name, value)):
            rest = _PLACEHOLDER.sub("", value).strip()
            return MASK if rest and not is_harmless(value) else self.text(value)
        return self.text(value) if isinstance(value, str) else value


def visible(text: str) -> str:
    """The text with control and direction characters written out, so that it cannot steer a terminal."""
    return _CONTROL.sub(lambda match: _escaped(ord(match[0])), text)


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def is_harmless(value: str) -> bool:
    """Whether a value is a switch, a short number, empty, or only a placeholder of the service."""
    return _HARMLESS_VALUE.fullmatch(_PLACEHOLDER.sub("", value)) is not None


def secret_name(name: str) -> bool:
    """Whether a variable or header of this name usually holds a secret: `OPENAI_API_KEY`, `x-token`."""
    words = [word.lower() for word in _WORD.findall(name)]
    if not words:
        return False
    if words[-1] == "key" and len(words) > 1 and words[-2] in _HARMLESS_KEYS:
        return False
    return words[-1] in _SECRET_WORDS or "".join(words).endswith(_SECRET_ENDS)


def secret_form(text: str) -> bool:
    """Whether the text holds something with the form of a token, a key or a connection string."""
    text = _PLACEHOLDER.sub("", text) if "${{" in text else text
    lower = text.lower()
    for word, form, _ in _FORMS:  # noqa: SIM110 - `any` makes a generator for each of thousands of texts
        if word in lower and form.search(text):
            return True
    return False


def looks_secret(name: str, value: str) -> bool:
    """Whether a named value looks like a secret, by its name, its form or its randomness."""
    if is_harmless(value):
        return False
    return secret_name(name) or secret_form(value) or _is_random(_PLACEHOLDER.sub("", value))


# Three kinds of characters and 4.2 bits for each: base64 of 18 bytes and more, no words, ids or digests.
_RANDOM: Final = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[A-Za-z0-9+=_-][A-Za-z0-9+/=_-]{23,}")
_RANDOM_BITS: Final = 4.2


def _is_random(text: str) -> bool:
    if not _RANDOM.fullmatch(text):
        return False
    counts = Counter(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    return bits >= _RANDOM_BITS

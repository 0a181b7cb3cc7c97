"""SSH signatures of commits: keys as OpenSSH writes them, verified without its programs.

Source: OpenSSH's PROTOCOL.sshsig and PROTOCOL.u2f, and the file formats of sshd(8) and ssh-keygen(1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from reconciler.errors import SourceError

_TYPE: Final = re.compile(r"(sk-)?(ssh|ecdsa)-[a-z0-9@.-]+")
# Options may hold spaces inside of quotes.
_WORD: Final = re.compile(r'(?:[^\s"]|"(?:\\.|[^"\\])*")+')
_OPTION: Final = re.compile(r'([A-Za-z-]+)(?:="((?:\\.|[^"\\])*)")?')
_NAMESPACE: Final = b"git"
_HASHES: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_LEAST_RSA_BITS: Final = 2048
_ARMOUR: Final = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\s+([A-Za-z0-9+/=\s]+)-----END SSH SIGNATURE-----\s*"
)
# Somebody touched the security key.
_TOUCHED: Final = 0x01


@dataclass(frozen=True)
class SshKey:
    """A trusted public key: its type, its wire form, and between which times it counts (Unix seconds)."""

    type: str
    blob: bytes
    comment: str = ""
    valid_after: float | None = None
    valid_before: float | None = None
    touch: bool = True

    def __str__(self) -> str:
        return f"{fingerprint(self.blob)} {self.comment}".strip()


def fingerprint(blob: bytes) -> str:
    """A key's fingerprint, as `ssh-keygen -l` prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def keys_in(entry: str, file: Callable[[str], Path]) -> list[SshKey]:
    """The keys of one entry of the configuration: a key itself, or a file of them.

    A file is in the form of `authorized_keys` or of `allowed_signers`; principals are not looked at.

    Raises:
        SourceError: it cannot be read, or a line of it is no key that can be used.
    """
    if _TYPE.fullmatch(entry.split(maxsplit=1)[0]):
        key = _key(entry, "a key of `signatures.ssh`")
        return [] if key is None else [key]
    path = file(entry)
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise SourceError(
            f"cannot read the SSH keys {path}", hint="Check the file that `signatures.ssh` names."
        ) from error
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.lstrip().startswith("#"):
            key = _key(line.strip(), f"{path}:{number}")
            found += [] if key is None else [key]
    if not found:
        raise SourceError(
            f"no key for signatures in {path}",
            hint="Put public keys into it, one a line: `ssh-ed25519 AAAA…`.",
        )
    return found


def _key(line: str, where: str) -> SshKey | None:
    """The key of a line; None for one that is trusted for other things than commits.

    Raises:
        SourceError: the line is no key, or a kind of trust that is not known here.
    """
    words = _WORD.findall(line)
    at = next((index for index, word in enumerate(words) if _TYPE.fullmatch(word)), None)
    try:
        if at is None or at + 1 >= len(words):
            raise ValueError("no type and key")
        blob = base64.b64decode(words[at + 1], validate=True)
        type_, _ = _text(blob)
        if type_.decode("ascii", "replace") != words[at]:
            raise ValueError("the key is of another type than the line says")
        # In `allowed_signers` the principals come first; in both files options are what is left.
        options = {name.lower(): value for name, value in _OPTION.findall(",".join(words[:at]))}
        if "cert-authority" in options:
            raise ValueError("certificate authorities are not known here; name the keys themselves")
        _verifier(words[at], blob)
        allowed = options.get("namespaces", "git").split(",")
        if not any(fnmatchcase(_NAMESPACE.decode(), pattern) for pattern in allowed):
            return None
        return SshKey(
            words[at],
            blob,
            " ".join(words[at + 2 :]),
            _time(options.get("valid-after")),
            _time(options.get("valid-before")),
            "no-touch-required" not in options,
        )
    except (ValueError, binascii.Error) as error:
        raise SourceError(
            f"{where} is no SSH key that can be trusted: {error}",
            hint="Write a line of a `.pub` file, such as `ssh-ed25519 AAAA… name`.",
        ) from None


def _time(text: str | None) -> float | None:
    """A time of `allowed_signers`: YYYYMMDD[HHMM[SS]], UTC with a `Z`, else local."""
    if text is None:
        return None
    digits = text.removesuffix("Z")
    formats = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
    if len(digits) not in formats or not digits.isdecimal():
        raise ValueError(f"`{text[:20]}` is no time")
    moment = datetime.strptime(digits, formats[len(digits)])  # noqa: DTZ007 - both zones are meant below
    return (moment.replace(tzinfo=UTC) if text.endswith("Z") else moment.astimezone()).timestamp()


@dataclass(frozen=True)
class SshSignature:
    """A signature taken apart. `key` is the signer's wire form, `algorithm` and `value` the signature."""

    key: bytes
    hash: bytes
    algorithm: bytes
    value: bytes
    rest: bytes

    def by(self, trusted: Sequence[SshKey], payload: bytes, made_at: int) -> str:
        """The fingerprint of the trusted key that signed the payload.

        Args:
            made_at: the committer's time, which decides whether a key that is limited in time counts.

        Raises:
            ValueError: what is wrong, as the end of a sentence about the commit.
        """
        name = fingerprint(self.key)
        key = next((key for key in trusted if key.blob == self.key), None)
        if key is None:
            raise ValueError(f"is signed by the SSH key {name}, which is not trusted")
        if key.valid_after is not None and made_at < key.valid_after:
            raise ValueError(f"is signed by the SSH key {name} before that key was valid")
        if key.valid_before is not None and made_at >= key.valid_before:
            raise ValueError(f"is signed by the SSH key {name} after that key was valid")
        message = b"SSHSIG" + b"".join(
            map(_packed, (_NAMESPACE, b"", self.hash, _HASHES[self.hash](payload).digest()))
        )
        if not _verifier(key.type, key.blob)(self, message, key.touch):
            raise ValueError(f"has a signature of the SSH key {name} that does not fit the commit")
        return name


def read_signature(armoured: bytes) -> SshSignature:
    """The parts of a signature that Git made.

    Raises:
        ValueError: what is wrong, as the end of a sentence about the commit.
    """
    try:
        match = _ARMOUR.fullmatch(armoured)
        raw = base64.b64decode(b"".join(match[1].split()), validate=True) if match else b""
        if raw[:10] != b"SSHSIG\0\0\0\1":
            raise ValueError("no version 1")
        key, raw = _text(raw[10:])
        namespace, raw = _text(raw)
        _, raw = _text(raw)
        hash_, raw = _text(raw)
        blob, raw = _text(raw)
        algorithm, blob = _text(blob)
        value, rest = _text(blob)
    except (ValueError, binascii.Error):
        raise ValueError("has an SSH signature that cannot be read") from None
    if namespace != _NAMESPACE:
        raise ValueError(
            f"has an SSH signature for `{namespace.decode('ascii', 'replace')[:40]}`, not for Git"
        )
    if hash_ not in _HASHES or raw:
        raise ValueError("has an SSH signature that cannot be read")
    return SshSignature(key, hash_, algorithm, value, rest)


def _text(raw: bytes) -> tuple[bytes, bytes]:
    """The string at the start of a wire form, and what follows."""
    end = 4 + int.from_bytes(raw[:4], "big")
    if len(raw) < end or len(raw) < 4:
        raise ValueError("cut off")
    return raw[4:end], raw[end:]


def _packed(value: bytes) -> bytes:
    return len(value).to_bytes(4, "big") + value


Verify = Callable[[SshSignature, bytes, bool], bool]


def _verifier(type_: str, blob: bytes) -> Verify:
    """How signatures of a key are verified.

    Raises:
        ValueError: a key that is too weak, damaged, or of a type that is not known here.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    if "-cert-" in type_:
        raise ValueError("certificates are not known here; name the key itself")
    hardware = type_.startswith("sk-")
    line, application = blob, b""
    if hardware:
        type_, line, application = _software(blob)
    try:
        key = load_ssh_public_key(type_.encode() + b" " + base64.b64encode(line))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the key is damaged, or of a type that is not known here") from None
    if isinstance(key, RSAPublicKey) and key.key_size < _LEAST_RSA_BITS:
        raise ValueError(f"an RSA key of less than {_LEAST_RSA_BITS} bits")

    def verify(signature: SshSignature, message: bytes, touch: bool) -> bool:
        if hardware:
            if len(signature.rest) != 5 or (touch and not signature.rest[0] & _TOUCHED):
                return False
            message = hashlib.sha256(application).digest() + signature.rest + hashlib.sha256(message).digest()
        elif signature.rest:
            return False
        return _holds(key, signature, message, hardware)

    return verify


def _software(blob: bytes) -> tuple[str, bytes, bytes]:
    """The key of a security key as an ordinary one, its type, and the application it was made for."""
    type_, rest = _text(blob)
    match type_:
        case b"sk-ssh-ed25519@openssh.com":
            point, rest = _text(rest)
            plain, line = "ssh-ed25519", _packed(b"ssh-ed25519") + _packed(point)
        case b"sk-ecdsa-sha2-nistp256@openssh.com":
            curve, rest = _text(rest)
            point, rest = _text(rest)
            plain = "ecdsa-sha2-nistp256"
            line = _packed(plain.encode()) + _packed(curve) + _packed(point)
        case _:
            raise ValueError("the key is of a type that is not known here")
    application, _ = _text(rest)
    return plain, line, application


def _holds(key: Any, signature: SshSignature, message: bytes, hardware: bool) -> bool:
    """Whether the signature is this key's, by an algorithm that still counts (never SHA-1)."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    expected = signature.algorithm.decode("ascii", "replace").removeprefix("sk-" if hardware else "")
    try:
        match key, expected.removesuffix("@openssh.com" if hardware else ""):
            case ed25519.Ed25519PublicKey(), "ssh-ed25519":
                key.verify(signature.value, message)
            case rsa.RSAPublicKey(), "rsa-sha2-256" | "rsa-sha2-512" as name:
                digest = hashes.SHA256() if name.endswith("256") else hashes.SHA512()
                key.verify(signature.value, message, padding.PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey(), name if name == f"ecdsa-sha2-{_CURVES[key.curve.name][0]}":
                r, rest = _text(signature.value)
                s, _ = _text(rest)
                number = encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(s, "big"))
                key.verify(number, message, ec.ECDSA(getattr(hashes, _CURVES[key.curve.name][1])()))
            case _:
                return False
    except (InvalidSignature, ValueError):
        return False
    return True


_CURVES: Final = {
    "secp256r1": ("nistp256", "SHA256"),
    "secp384r1": ("nistp384", "SHA384"),
    "secp521r1": ("nistp521", "SHA512"),
}

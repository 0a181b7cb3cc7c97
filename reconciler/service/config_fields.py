"""The single values of the configuration file, each checked by itself: names, spans, addresses, globs."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Annotated, Any, Final
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, WithJsonSchema

from reconciler.errors import SourceError
from reconciler.globs import compiled, joined
from reconciler.location import parse_location

SPAN: Final = re.compile(r"([1-9][0-9]{0,5})(s|m|h|d)")
# Names appear in URLs, labels of metrics and file names.
NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HEADER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,99}")
# Projects of Azure DevOps may have spaces in their names.
_REPOSITORY: Final = re.compile(r"[^/\s?#]+(?: [^/\s?#]+)*(?:/[^/\s?#]+(?: [^/\s?#]+)*)+")
_GIT_URLS: Final = "Write https://HOST/PATH.git, ssh://git@HOST/PATH.git, git@HOST:PATH.git or file:///PATH."
_LISTENS: Final = "Write HOST:PORT, for example 127.0.0.1:8080, 0.0.0.0:8080 or [::]:8080."
# Never on two sides of a name: git refuses the same (git-check-ref-format).
_NO_REF: Final = re.compile(r"[\x00-\x20\x7f~^:\\*?[]|\.\.|@\{|//|^[-/]|[/.]$|\.lock$")


def _text(check: Callable[[str], None]) -> BeforeValidator:
    """A check of text; what is no text is left to pydantic, which says so.

    A number that would be wrong as text too is told as that, so that nobody quotes it in vain.
    """

    def validate(value: Any) -> Any:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            check(str(value))
        return value

    return BeforeValidator(validate)


def _span(value: str) -> None:
    if not SPAN.fullmatch(value):
        raise ValueError(f"`{value[:20]}` is no span of time | Write `30s`, `5m`, `2h` or `7d`.")


def _name(value: str) -> None:
    if not NAME.fullmatch(value):
        raise ValueError(
            f"`{value[:63]}` is no name | Use lower-case letters, digits and `-` between them, at most 63."
        )


def _variable(value: str) -> None:
    # The value itself is not shown: people paste the secret where its variable belongs.
    if not VARIABLE.fullmatch(value):
        raise ValueError(
            "this is no name of an environment variable | Write its name, such as `GIT_TOKEN`; "
            "the secret itself is never in this file."
        )


def _filled(value: str) -> None:
    if not value.strip():
        raise ValueError("nothing is written here | Fill it in, or remove the line.")
    if _CONTROL.search(value):
        raise ValueError("a control character | Remove it.")


def _header(value: str) -> None:
    if not _HEADER.fullmatch(value):
        raise ValueError(
            f"`{value[:40]}` is no name of a header | Use letters, digits and `-`, such as `X-Token`."
        )


def _glob(value: str) -> None:
    hint = "A `*` stands for any part of a Project's name."
    try:
        compiled(value)
    except re.error as error:
        raise ValueError(f"`{value[:80]}` is no glob | Check its `[…]`.") from error
    if not value or "/" in value or value.startswith("!"):
        raise ValueError(f"`{value[:80]}` matches no name of a Project | {hint}")


def _ref(value: str) -> None:
    if not value or _NO_REF.search(value):
        raise ValueError(f"`{value[:80]}` is no ref of Git | Write a branch, a tag or a commit.")


def _folder(value: str) -> None:
    if joined("", value) is None:
        raise ValueError(
            f"`{value[:80]}` leaves the repository | Write a folder relative to the repository's root."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the host."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def listen_at(value: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT` or `[HOST]:PORT`.

    Raises:
        ValueError: it is neither.
    """
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):([0-9]{1,5})", value)
    if match is None or int(match[3]) > 65535:
        raise ValueError(f"`{value[:80]}` is nothing to listen at | {_LISTENS}")
    if match[1]:
        try:
            ip_address(match[1])
        except ValueError as error:
            raise ValueError(f"`{match[1][:80]}` is no address | {_LISTENS}") from error
    return match[1] or match[2], int(match[3])


def _git_url(value: str) -> None:
    if _CONTROL.search(value):
        raise ValueError("a control character | Remove it.")
    try:
        location = parse_location(value)
    except SourceError as error:
        raise ValueError(f"{error} | {error.hint or _GIT_URLS}") from error
    if location is None:
        raise ValueError(f"this is a path, not the address of a Git repository | {_GIT_URLS}")
    if location.folder:
        raise ValueError("the address names a folder | Write it as `path` of the source.")
    if location.ref:
        raise ValueError("the address names a ref | Write it as `ref` of the source.")
    if location.scheme == "file" and location.host not in ("", "localhost"):
        raise ValueError("`file://` reads no other machine | Write file:///PATH, with three slashes.")
    # `https://ORGANISATION@dev.azure.com/ORGANISATION/…` is what Azure DevOps gives to copy.
    harmless = location.scheme == "ssh" or f"{location.host}/{location.user}/" in location.url
    if location.password or (location.user and not harmless):
        raise ValueError(
            "the address holds a password or token | Take it out, keep it in a variable or file, and name "
            "that under `credentials: {token: {env: NAME}}`. Replace it if the file was committed."
        )


def _parts(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError as error:
        raise ValueError("this is no URL | Write https://HOST/PATH.") from error
    if parts.username is not None or parts.password is not None:
        raise ValueError("the address holds a login | Take it out.")
    if not parts.hostname or parts.scheme not in ("http", "https"):
        raise ValueError("this is no web address | Write https://HOST/PATH.")
    return parts


def _web_url(value: str) -> None:
    parts = _parts(value)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("plain http would send secrets in the open | Use https; http is for this machine.")


def _page_url(value: str) -> None:
    parts = _parts(value)
    if parts.query or parts.fragment:
        raise ValueError(
            "the address of the pages has no `?` and no `#` | Write https://HOST, or https://HOST/PATH."
        )


def _repository(value: str) -> None:
    if not _REPOSITORY.fullmatch(value) or ".." in value:
        raise ValueError(
            f"`{value[:80]}` is no repository | Write `owner/name`, on Azure DevOps `project/repository`."
        )


_SPAN_SCHEMA: Final = {"type": "string", "pattern": f"^{SPAN.pattern}$"}
_NAME_SCHEMA: Final = {"type": "string", "pattern": f"^{NAME.pattern}$"}

Span = Annotated[StrictStr, _text(_span), WithJsonSchema(_SPAN_SCHEMA)]
Name = Annotated[StrictStr, _text(_name), WithJsonSchema(_NAME_SCHEMA)]
Variable = Annotated[StrictStr, _text(_variable)]
Filled = Annotated[StrictStr, _text(_filled), Field(json_schema_extra={"minLength": 1})]
Header = Annotated[StrictStr, _text(_header)]
Glob = Annotated[StrictStr, _text(_glob)]
Ref = Annotated[StrictStr, _text(_ref)]
Folder = Annotated[StrictStr, _text(_folder), AfterValidator(lambda value: joined("", value) or "")]
Listen = Annotated[StrictStr, _text(lambda value: (listen_at(value), None)[1])]
GitAddress = Annotated[StrictStr, _text(_git_url)]
WebAddress = Annotated[StrictStr, _text(_web_url)]
PageAddress = Annotated[StrictStr, _text(_page_url)]
Repository = Annotated[StrictStr, _text(_repository)]

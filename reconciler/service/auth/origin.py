"""Where a request comes from: this machine, one of our pages, or somebody else's page. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})

# A name with a port, or an address in brackets: what a Host header may be (RFC 9110, 7.2).
_HOST: Final = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::[0-9]{1,5})?")
_PROXY_HEADERS: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_BAD_IN_PATHS: Final = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


def is_local(peer: str, headers: Mapping[str, str]) -> bool:
    """Whether somebody on this machine asks, and asks for this machine.

    The name counts too: a page from anywhere may have its own name point at 127.0.0.1 (DNS rebinding), and
    the browser would then give it our answers. A proxy's headers say that somebody else is behind it.
    """
    if any(name in headers for name in _PROXY_HEADERS):
        return False
    return _is_loopback(peer) and _is_loopback(host_name(headers.get("host", "")))


def host_name(host: str) -> str:
    """The name or address in a Host header, "" when it is none."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _is_loopback(host: str) -> bool:
    if host in ("localhost", "localhost."):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def from_other_page(headers: Mapping[str, str], public_url: str | None) -> bool:
    """Whether a browser says that a page of somebody else sent this.

    The newer header decides where there is one; else the page's host must be the one that was asked for.

    Args:
        public_url: where people find our pages, which a proxy may call us by another name than.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    said = headers.get("origin")
    if said is None:
        return False
    ours = {headers.get("host", "").lower(), urlsplit(public_url or "").netloc.lower()} - {""}
    return urlsplit(said.lower()).netloc not in ours


def from_browser(headers: Mapping[str, str]) -> bool:
    """Whether a browser sent this: every one of today says where its writes come from."""
    return "sec-fetch-site" in headers or "origin" in headers


def own_path(wanted: str) -> str:
    """A path of ours to go on to after the sign-in; `/` for everything that leads away."""
    if not wanted.startswith("/") or wanted.startswith("//") or _BAD_IN_PATHS.search(wanted):
        return "/"
    parts = urlsplit(wanted)
    if parts.scheme or parts.netloc or len(wanted) > 1000 or parts.path.startswith("/auth/"):
        return "/"
    return wanted

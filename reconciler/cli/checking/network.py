"""Checks of the way to an endpoint: name, connection, certificate. Nothing of the service is asked."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from reconciler.cli.checking.check import Check, failed, ok, skipped, warning
from reconciler.location import redact

_DAY_S: Final = 86_400
_LEAST_DAYS: Final = 14


@dataclass(frozen=True)
class Address:
    """Where connections of an endpoint go: its own host, or the proxy in front of it."""

    host: str
    port: int
    secure: bool
    proxy: str = ""


def address_of(endpoint: str) -> Address:
    """The address behind an endpoint, with the proxies of the environment."""
    parts = urlsplit(endpoint)
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    port = parts.port or (443 if secure else 80)
    proxy = "" if proxy_bypass(f"{host}:{port}") or proxy_bypass(host) else _proxy(parts.scheme)
    if proxy:
        via = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        return Address(via.hostname or "", via.port or 8080, secure, redact(proxy))
    return Address(host, port, secure)


def _proxy(scheme: str) -> str:
    found = getproxies()
    return found.get(scheme) or found.get("all") or ""


async def way(endpoint: str, timeout_s: float) -> list[Check]:
    """Name, connection and certificate, until one of them fails."""
    there = address_of(endpoint)
    of = f"{there.host}:{there.port}" + (" (the proxy)" if there.proxy else "")
    name = await _name(there, timeout_s)
    if name.status == "failed":
        return [name, skipped("connection", f"connect to {of}", "the name is not known")]
    connection = await _connection(there, of, timeout_s)
    if connection.status == "failed" or not there.secure:
        return [name, connection]
    return [name, connection, await _certificate(there, of, timeout_s)]


async def _name(there: Address, timeout_s: float) -> Check:
    tried = f"look up {there.host}"
    try:
        found = await asyncio.wait_for(
            asyncio.get_running_loop().getaddrinfo(there.host, there.port), timeout_s
        )
    except (OSError, UnicodeError):
        fix = "Check the account in `endpoint`, the DNS of this machine, and private endpoints (VPN)."
        return failed("name", tried, "no such name", fix)
    except TimeoutError:
        return failed("name", tried, f"no answer within {timeout_s:g} s", "Check the DNS of this machine.")
    return ok("name", tried, ", ".join(sorted({str(row[4][0]) for row in found})[:3]))


async def _connection(there: Address, of: str, timeout_s: float) -> Check:
    tried, began = f"connect to {of}", time.monotonic()
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(there.host, there.port), timeout_s)
    except TimeoutError:
        fix = "A firewall drops it, or the endpoint is private: check VPN, allowed networks and proxy."
        return failed("connection", tried, f"no answer within {timeout_s:g} s", fix)
    except OSError as error:
        why = (
            "refused: nothing listens there" if isinstance(error, ConnectionRefusedError) else "not reachable"
        )
        fix = "Check host and port of `endpoint`; start `reconciler sandbox` if it is one."
        return failed("connection", tried, why, fix)
    await _closed(writer)
    return ok("connection", tried, f"connected in {time.monotonic() - began:.2f} s")


async def _certificate(there: Address, of: str, timeout_s: float) -> Check:
    tried = f"TLS with {of}"
    if there.proxy:
        return skipped(
            "certificate", tried, f"goes through the proxy {there.proxy}; tested with the first call"
        )
    try:
        _, writer = await asyncio.wait_for(
            asyncio.open_connection(there.host, there.port, ssl=ssl.create_default_context()), timeout_s
        )
    except ssl.SSLCertVerificationError as error:
        fix = (
            "If a company proxy opens TLS here, add its certificate: SSL_CERT_FILE=FILE. Otherwise this is "
            "not the service."
        )
        return failed("certificate", tried, f"not trusted: {error.verify_message}", fix)
    except (OSError, TimeoutError) as error:
        fix = "Something else than TLS answers there; check port and proxy."
        return failed("certificate", tried, f"no TLS: {type(error).__name__}", fix)
    certificate = writer.get_extra_info("peercert") or {}
    await _closed(writer)
    return _until(tried, certificate)


def _until(tried: str, certificate: dict[str, Any]) -> Check:
    ends = ssl.cert_time_to_seconds(certificate["notAfter"]) if "notAfter" in certificate else 0
    days = int((ends - time.time()) / _DAY_S)
    if ends and days < _LEAST_DAYS:
        return warning("certificate", tried, f"trusted, ends in {days} days", "Have it renewed.")
    return ok("certificate", tried, f"trusted, {days} days left" if ends else "trusted")


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await asyncio.wait_for(writer.wait_closed(), 1)
    except (OSError, TimeoutError):
        return

"""What goes wrong between us and the service: what we tried, where, the service's words, and what to do."""

from __future__ import annotations

import asyncio
import gzip
import os
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ClientAuthenticationError

from reconciler.errors import (
    Conflict,
    ReconcilerError,
    ServiceBroken,
    ServiceError,
    ServiceUnreachable,
    Throttled,
    Unauthorized,
    explain,
)
from reconciler.foundry.agents import AgentPort
from reconciler.foundry.pipeline import Pipe, open_pipe
from reconciler.kinds.agent.calls import Enable
from reconciler.resource import Code, Key, Live
from tests.foundry.recorder import Told, always, recording

SECRET = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyZWNvbmNpbGVyIn0.c2lnbmF0dXJl"
KEY = Key("prod", "Agent", "triage")


def no_zip(code: Code) -> bytes:
    raise AssertionError("nothing is uploaded here")


async def failed(pipe: Pipe, *, write: bool = False) -> ServiceError:
    """The error of one listing, or of one write, over this pipe."""
    port = AgentPort(pipe, "prod", no_zip)
    asking = port.do(KEY, Enable()) if write else listed(port)
    with pytest.raises(ServiceError) as caught:
        await asking
    return caught.value


async def listed(port: AgentPort) -> list[Live]:
    return [live async for live in port.list()]


def told(error: ServiceError) -> str:
    """Everything that a person would see of it."""
    return "\n".join([*explain(error), error.hint])


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the machine that tests is left alone."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def envelope(code: str, message: str) -> dict[str, Any]:
    """The service's own form of an error."""
    extra = {"request_id": "0123456789abcdef0123456789abcdef"}
    return {"error": {"code": code, "message": message, "type": "error", "additionalInfo": extra}}


HTML = {"Content-Type": "text/html; charset=utf-8"}


@dataclass(frozen=True)
class Case:
    """An answer, the error it stands for, what the text says, and what the hint says."""

    answer: Told
    type: type[ServiceError]
    says: tuple[str, ...]
    hint: str
    id: str = field(default="", compare=False)


ANSWERS = [
    Case(
        Told(400, envelope("invalid_payload", "Tool type 'x' is not enabled.\n [Request ID: 1]")),
        ServiceError,
        ("HTTP 400, invalid_payload, Tool type 'x' is not enabled. [Request ID: 1]",),
        "Its message names the field",
        "400",
    ),
    Case(Told(401), Unauthorized, ("HTTP 401",), "az login", "401-empty"),
    Case(
        Told(403, envelope("preview_feature_required", "Workflow agents is in preview.")),
        Unauthorized,
        ("HTTP 403, preview_feature_required, Workflow agents is in preview.",),
        "preview",
        "403-preview",
    ),
    Case(
        Told(403, {"error": {"message": "no"}}),
        Unauthorized,
        ("HTTP 403, no",),
        "Foundry User",
        "403-no-code",
    ),
    Case(
        Told(404, envelope("not_found", "Project not found")),
        ServiceError,
        ("HTTP 404, not_found, Project not found",),
        "spec.endpoint",
        "404",
    ),
    Case(
        Told(404, b"<html><body>Not here</body></html>", HTML),
        ServiceError,
        ("a web page answers, not the service",),
        "Something else answers there",
        "404-page",
    ),
    Case(Told(407, b"<html>", HTML), Unauthorized, ("HTTP 407",), "HTTPS_PROXY", "407"),
    Case(Told(409, envelope("conflict", "Retry.")), Conflict, ("conflict",), "Run the command again", "409"),
    Case(
        Told(424, envelope("session_not_ready", "Wait.")),
        ServiceError,
        ("session_not_ready",),
        "still starting",
        "424",
    ),
    Case(Told(429, envelope("rate_limit_exceeded", "Slow.")), Throttled, ("HTTP 429",), "slower pace", "429"),
    Case(
        Told(500, envelope("server_error", "Oops.")),
        ServiceBroken,
        ("HTTP 500, server_error, Oops., request id 0123456789abcdef0123456789abcdef",),
        "request id",
        "500",
    ),
    Case(Told(502, b"<html>", HTML), ServiceBroken, ("HTTP 502",), "The service failed", "502-page"),
    Case(
        Told(503, b"", {"apim-request-id": "from-a-header"}),
        ServiceBroken,
        ("HTTP 503, request id from-a-header",),
        "The service failed",
        "503-empty",
    ),
    Case(
        Told(404, {"statusCode": 404, "message": "Resource not found"}),
        ServiceError,
        ("HTTP 404, Resource not found",),
        "spec.endpoint",
        "gateway-form",
    ),
    Case(Told(400, {"error": "bad"}), ServiceError, ("HTTP 400, bad",), "does not take", "error-is-text"),
    Case(Told(400, [1, 2]), ServiceError, ("HTTP 400",), "does not take", "error-is-a-list"),
    Case(Told(400, b"{"), ServiceError, ("HTTP 400",), "does not take", "truncated-error"),
    Case(
        Told(400, b"\xff\xfe", {"Content-Type": "application/json; charset=unheard-of"}),
        ServiceError,
        ("HTTP 400",),
        "does not take",
        "unknown-charset",
    ),
    Case(
        Told(400, gzip.compress(b'{"error": {"code": "UserError"}}'), {"Content-Encoding": "gzip"}),
        ServiceError,
        ("HTTP 400, UserError",),
        "1,000 versions",
        "gzip",
    ),
    Case(
        Told(302, b"", {"Location": f"https://login.example.com/authorize?token={SECRET}"}),
        ServiceError,
        ("it sends us to login.example.com", "HTTP 302"),
        "Something else answers there",
        "login-page",
    ),
    Case(
        Told(200, b"<html>Sign in</html>", HTML),
        ServiceUnreachable,
        ("is not the service's",),
        "Something else answers there",
        "200-page",
    ),
    Case(
        Told(200, b'{"data": ['), ServiceUnreachable, ("is not the service's",), "Something else", "cut-json"
    ),
    Case(Told(200, [1]), ServiceUnreachable, ("is not the service's",), "Something else", "a-list"),
    Case(
        Told(200, b"\x1f\x8b broken", {"Content-Encoding": "gzip"}),
        ServiceUnreachable,
        ("no answer",),
        "The connection was lost",
        "broken-gzip",
    ),
    Case(Told(200, b'{"da', cut=True), ServiceUnreachable, ("no answer",), "The connection was lost", "cut"),
    Case(Told(drop=True), ServiceUnreachable, ("no answer",), "The connection was lost", "dropped"),
]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in ANSWERS])
async def test_answers_to_a_read(case):
    async with recording(always(case.answer)) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        error = await failed(pipe)

        assert type(error) is case.type
        assert str(error).startswith("cannot list the agents")
        assert recorder.endpoint in str(error)
        assert all(words in told(error) for words in case.says), told(error)
        assert case.hint in error.hint
        assert SECRET not in told(error)


# A list that ends early is the reader's own business; a write with any answer of success is done.
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.id) for case in ANSWERS if case.answer.status >= 300]
)
async def test_answers_to_a_write(case):
    async with recording(always(case.answer)) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        error = await failed(pipe, write=True)

        assert type(error) is case.type
        assert str(error).startswith("cannot enable agent triage")
        assert all(words in told(error) for words in case.says), told(error)
        assert recorder.lines == ["POST /agents/triage:enable?api-version=v1"]


@pytest.mark.rule("P11")
async def test_the_services_words_are_masked_and_short():
    words = f"Bearer {SECRET} \x1b[31m AccountKey=c2hhcmVkLWtleQ;{'long ' * 500}"
    answer = Told(400, envelope(f"{SECRET}", words))
    async with recording(always(answer)) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        error = await failed(pipe)

        assert SECRET not in told(error)
        assert "c2hhcmVkLWtleQ" not in told(error)
        assert "\x1b" not in error.detail
        assert len(error.detail) <= 500


# Without an answer


async def _at(url: str, *, credential: Any = None, silence_s: float = 10) -> ServiceError:
    endpoint = f"{url}/api/projects/p"
    async with open_pipe(endpoint, repeats=0, silence_s=silence_s, credential=credential or Tokens()) as pipe:
        error = await failed(pipe)
        assert isinstance(error, ReconcilerError)
        assert SECRET not in told(error)
        assert url in str(error)
        return error


class Tokens:
    """A credential that works."""

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        return AccessToken(SECRET, 2**40)

    async def close(self) -> None:
        pass


class NoTokens(Tokens):
    """A credential that does not."""

    async def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        raise ClientAuthenticationError(f"nothing here gave a token\nwith {SECRET}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


async def test_no_credential_is_a_sign_in_that_is_missing():
    error = await _at("https://account.services.ai.azure.com", credential=NoTokens())

    assert type(error) is Unauthorized
    assert "no credential of this machine gives a token" in str(error)
    assert "az login" in error.hint
    assert "AZURE_CLIENT_ID" in error.hint


async def test_a_wrong_port_is_told():
    error = await _at(f"http://127.0.0.1:{free_port()}")

    assert (type(error), "nothing listens" in str(error)) == (ServiceUnreachable, True)
    assert "port" in error.hint


async def test_a_misspelt_host_is_told():
    error = await _at("https://account.invalid")

    assert (type(error), "no such host" in str(error)) == (ServiceUnreachable, True)
    assert "account name" in error.hint


async def test_a_port_without_tls_is_told():
    async with recording(always(Told())) as recorder:
        error = await _at(recorder.url.replace("http:", "https:"))

    assert (type(error), "no TLS" in str(error)) == (ServiceUnreachable, True)
    assert "scheme and port" in error.hint


async def test_a_certificate_of_somebody_else_is_told_and_gets_no_token(own_certificate: Path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)
    async with recording(always(Told()), tls=context) as recorder:
        error = await _at(recorder.url)

    assert (type(error), "no trusted certificate" in str(error)) == (ServiceUnreachable, True)
    assert "SSL_CERT_FILE" in error.hint
    assert recorder.asked == []


async def test_a_certificate_that_is_named_is_trusted_and_gets_the_token(own_certificate: Path):
    """In a process of its own, since the trusted ones are read when the program starts."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own_certificate)
    answer = always(Told(200, {"data": []}))
    async with recording(answer, tls=context) as recorder:
        program = f"""
import asyncio
from reconciler.foundry.agents import AgentPort
from tests.foundry.test_errors import Tokens, listed, no_zip, open_pipe

async def main():
    async with open_pipe({recorder.endpoint!r}, credential=Tokens()) as pipe:
        assert await listed(AgentPort(pipe, "prod", no_zip)) == []

asyncio.run(main())
"""
        environ = {**os.environ, "SSL_CERT_FILE": str(own_certificate)}
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=environ)

        assert await process.wait() == 0
        assert recorder.asked[0].headers["Authorization"] == f"Bearer {SECRET}"


async def test_a_proxy_that_is_gone_is_told(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:{SECRET}@127.0.0.1:{free_port()}")
    error = await _at("https://account.services.ai.azure.com")

    assert (type(error), "the proxy lets nothing through" in str(error)) == (ServiceUnreachable, True)
    assert "HTTPS_PROXY" in error.hint


async def test_a_proxy_that_refuses_is_told(monkeypatch):
    async with recording(always(Told(403))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = await _at("https://account.services.ai.azure.com")

    assert (type(error), "the proxy lets nothing through" in str(error)) == (ServiceUnreachable, True)


async def test_a_server_that_stays_silent_is_told():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = await _at(f"http://127.0.0.1:{silent.getsockname()[1]}", silence_s=0.05)

    assert (type(error), "no answer in time" in str(error)) == (ServiceUnreachable, True)
    assert "reconciler doctor" in error.hint


async def test_a_read_waits_half_a_minute_for_a_silent_server_and_a_write_longer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/api/projects/p"
        async with open_pipe(endpoint, repeats=0) as pipe:
            assert pipe.silence_s == 30
            error = await failed(replace(pipe, silence_s=0.05))
            assert "no answer in time" in str(error)


@pytest.fixture(scope="session")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate that nobody trusts, with its key, in one PEM file."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate, both = (folder / f"{name}.pem" for name in ("key", "certificate", "both"))
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


async def test_cookies_of_a_login_page_are_not_kept():
    answer = Told(200, {"data": []}, {"Set-Cookie": "session=theirs"})
    async with recording(always(answer)) as recorder, open_pipe(recorder.endpoint, repeats=0) as pipe:
        port = AgentPort(pipe, "prod", no_zip)
        assert await listed(port) == await listed(port) == []
        assert [asked.headers.get("Cookie") for asked in recorder.asked] == [None, None]

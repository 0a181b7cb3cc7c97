"""`doctor` names what is wrong, what it tried, and what to do; and never shows a secret."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from reconciler.cli.checking import machine, network, service
from reconciler.cli.checking.check import Check
from reconciler.foundry.probe import Answer, facts_of
from tests.world import World, hosted, prompt


@pytest.fixture
def ready(world: World) -> World:
    """A committed repository with one agent, in front of a project that works."""
    world.agent("triage")
    world.git("remote", "add", "origin", "https://git.example.com/team/agents.git")
    world.commit()
    return world


def doctor(world: World, *args: str) -> tuple[int, dict[str, dict[str, Any]], str]:
    """Exit code, checks by name, and the text that a person sees."""
    plain = world.run("doctor", str(world.repo), "--timeout", "1", *args)
    told = world.run("doctor", str(world.repo), "--timeout", "1", "--format", "json", *args)
    assert plain.exit_code == told.exit_code, plain.stdout + plain.stderr
    report = json.loads(told.stdout)
    assert report["format"] == "reconciler.doctor/v1"
    assert report["exit_code"] == told.exit_code
    return told.exit_code, {check["name"]: check for check in report["checks"]}, plain.stdout


def fault(world: World, **action: Any) -> None:
    world.own("PUT", "faults", [{"match": {"path": "/agents"}, "action": action}])


def test_everything_works(ready: World) -> None:
    ready.forget()

    code, checks, text = doctor(ready)

    assert (code, text.strip().splitlines()[-1]) == (0, "Everything works.")
    assert ready.writes() == []
    assert {name: check["status"] for name, check in checks.items()} == {
        "programs": "ok",
        "proxy": "ok",
        "source": "ok",
        "manifests": "ok",
        "owner": "ok",
        "mode": "ok",
        "endpoint": "ok",
        "name": "ok",
        "connection": "ok",
        "sign-in": "skipped",
        "reading": "ok",
        "clock": "ok",
        "api-version": "ok",
        "previews": "skipped",
        "writing": "skipped",
    }
    assert "53ca6127-db72-4b80-b1b0-d745d6d5456d" in checks["writing"]["found"]


@pytest.mark.parametrize(
    ("action", "found", "fix"),
    [
        pytest.param({"status": 401}, "HTTP 401", "Plain http carries no token", id="401"),
        pytest.param({"status": 403}, "HTTP 403", "az role assignment create --role 53ca6127", id="403"),
        pytest.param({"status": 404}, "HTTP 404", "/api/projects/NAME", id="404"),
        pytest.param({"status": 500}, "(request id ", "give the request id to the support", id="500"),
        pytest.param(
            {"status": 200, "headers": {"Content-Type": "text/html"}, "body": "hello"},
            "something else answers there",
            "proxies that put in a page",
            id="other-page",
        ),
        pytest.param({"drop": True}, "ServerDisconnectedError", "does not answer", id="dropped"),
        pytest.param({"delay_s": 10}, "no answer within 1 s", "does not answer", id="silent"),
        pytest.param(
            {"status": 302, "headers": {"Location": "https://login.example.com"}},
            "HTTP 302, but no list of agents",
            "Check the path",
            id="login-page",
        ),
    ],
)
def test_a_project_that_does_not_answer_well(
    ready: World, action: dict[str, Any], found: str, fix: str
) -> None:
    fault(ready, **action)

    code, checks, text = doctor(ready)

    assert code == 1
    assert checks["reading"]["status"] == "failed"
    assert found in checks["reading"]["found"]
    assert fix in checks["reading"]["fix"]
    assert f"tried: list agents at {ready.endpoint}" in text
    assert text.strip().splitlines()[-1] == "1 check failed."


def test_a_slower_pace_that_is_asked_for_is_a_warning(ready: World) -> None:
    fault(ready, status=429)

    code, checks, text = doctor(ready)

    assert (code, checks["reading"]["status"]) == (0, "warning")
    assert "slower pace" in checks["reading"]["fix"]
    assert text.strip().splitlines()[-1] == "Everything works; 1 warning."


def test_a_sandbox_that_wants_a_token(ready: World) -> None:
    ready.settings(auth="required")

    code, checks, _ = doctor(ready)

    assert code == 1
    assert "HTTP 401" in checks["reading"]["found"]
    assert "a sandbox with `auth: off`" in checks["reading"]["fix"]


@pytest.mark.parametrize(
    ("endpoint", "check", "found", "fix"),
    [
        pytest.param(
            "http://127.0.0.1:9/api/projects/x",
            "connection",
            "refused: nothing listens there",
            "start `reconciler sandbox`",
            id="nobody-listens",
        ),
        pytest.param(
            "http://localhost:{port}/wrong/path", "reading", "HTTP 404", "/api/projects/NAME", id="wrong-path"
        ),
        pytest.param(
            "https://no-such-account.invalid/api/projects/x",
            "name",
            "no such name",
            "Check the account in `endpoint`",
            id="no-such-name",
        ),
        pytest.param(
            "https://127.0.0.1:{port}/api/projects/x",
            "certificate",
            "no TLS",
            "Something else than TLS",
            id="no-tls",
        ),
    ],
)
def test_an_endpoint_that_leads_nowhere(
    ready: World, endpoint: str, check: str, found: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    port = ready.url.rpartition(":")[2]
    ready.project(endpoint=endpoint.format(port=port))

    code, checks, _ = doctor(ready)

    assert (code, checks[check]["status"]) == (1, "failed")
    assert found in checks[check]["found"]
    assert fix in checks[check]["fix"]


def test_a_port_that_swallows_everything(ready: World) -> None:
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen()
        ready.project(endpoint=f"http://127.0.0.1:{hole.getsockname()[1]}/api/projects/x")

        code, checks, _ = doctor(ready)

    assert code == 1
    assert checks["reading"]["found"] == "no answer within 1 s"
    assert "check the proxy" in checks["reading"]["fix"]


def test_nobody_is_signed_in(ready: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "EnvironmentCredential")
    monkeypatch.delenv("AZURE_CLIENT_ID", raising=False)
    ready.project(endpoint="https://127.0.0.1:9/api/projects/x")

    code, checks, _ = doctor(ready)

    assert (code, checks["sign-in"]["status"]) == (1, "failed")
    assert "EnvironmentCredential" in checks["sign-in"]["found"]
    assert "az login" in checks["sign-in"]["fix"]
    assert checks["reading"]["status"] == "skipped"


def jwt(**claims: Any) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJub25lIn0.{middle}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("claims", "left_s", "status", "fix"),
    [
        pytest.param({"aud": "https://ai.azure.com"}, 3600, "ok", "", id="good"),
        pytest.param({"aud": "https://ai.azure.com"}, 60, "warning", "It ends soon", id="ends-soon"),
        pytest.param(
            {"aud": "https://vault.azure.net"}, 3600, "failed", "for another service", id="wrong-audience"
        ),
        pytest.param({}, 3600, "ok", "", id="opaque"),
    ],
)
def test_a_token_is_judged_by_what_it_says_and_never_shown(
    claims: dict[str, str], left_s: int, status: str, fix: str
) -> None:
    token = jwt(**claims, tid="tenant-1", appid="app-1") if claims else "opaque-token-text"

    check = service.signed_in(facts_of(token, 1_000_000 + left_s, "AzureCliCredential"), 1_000_000)

    assert (str(check.status), fix in check.fix) == (status, True)
    assert f"AzureCliCredential, expires in {left_s // 60} min" in check.found
    assert token not in str(check)
    assert not claims or "tenant tenant-1, identity app-1" in check.found


@pytest.mark.parametrize(
    ("skew_s", "status", "found"),
    [
        pytest.param(0, "ok", "the same", id="equal"),
        pytest.param(200, "ok", "200 s ahead", id="a-little-ahead"),
        pytest.param(-200, "ok", "200 s behind", id="a-little-behind"),
        pytest.param(900, "failed", "900 s ahead", id="ahead"),
        pytest.param(-7200, "failed", "7,200 s behind", id="behind"),
    ],
)
def test_the_clock_is_compared(skew_s: int, status: str, found: str) -> None:
    at = 1_790_000_000
    check = service.clock(Answer(200, 0.1, {"date": formatdate(at, usegmt=True)}), at + skew_s)

    assert (str(check.status), found in check.found) == (status, True), check
    assert status == "ok" or "time synchronisation" in check.fix


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_date_tells_nothing_of_the_clock(date: str) -> None:
    assert service.clock(Answer(200, 0.1, {"date": date}), 0).status == "skipped"


def test_a_wrong_clock_fails(ready: World) -> None:
    date = formatdate(time.time() - 3600, usegmt=True)
    body = {"object": "list", "data": [], "has_more": False}
    fault(ready, status=200, headers={"Date": date}, body=body)

    code, checks, _ = doctor(ready)

    assert (code, checks["clock"]["status"], checks["reading"]["status"]) == (1, "failed", "ok")
    assert "ahead: it is 20" in checks["clock"]["found"]


def test_previews_that_manifests_need_are_tried(ready: World) -> None:
    ready.agent("flow", {"kind": "workflow", "workflow": "kind: workflow\n"})

    _, checks, _ = doctor(ready)

    assert checks["previews"]["found"] == "WorkflowAgents=V1Preview: accepted"


def test_a_preview_that_is_refused_fails(ready: World) -> None:
    ready.agent("flow", {"kind": "workflow", "workflow": "kind: workflow\n"})
    rule = {
        "match": {"path": "/agents", "skip": 1},
        "action": {"status": 403, "code": "preview_feature_required"},
    }
    ready.own("PUT", "faults", [rule])

    result = ready.run("doctor", str(ready.repo), "--format", "json")

    checks = {check["name"]: check for check in json.loads(result.stdout)["checks"]}
    assert result.exit_code == 1
    assert checks["previews"]["found"].startswith(
        "WorkflowAgents=V1Preview: HTTP 403 preview_feature_required"
    )
    assert "leave agents of these kinds out: workflow" in checks["previews"]["fix"]


def test_an_api_version_that_is_refused_fails() -> None:
    error = {"code": "UnsupportedApiVersion", "message": "The api-version v1 is not supported."}

    check = service.api_version(Answer(400, 0.1, {}, {"error": error}, error))

    assert (str(check.status), check.fix.startswith("Install a newer reconciler")) == ("failed", True)


# The certificate


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[int]:
    """The port of a TLS server that nobody trusts."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path / "cert.pem"
    private = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.1)
        done = threading.Event()

        def serve() -> None:
            while not done.is_set():
                try:
                    connection, _ = listening.accept()
                    connection.settimeout(1)
                    with context.wrap_socket(connection, server_side=True) as secure:
                        secure.recv(1)
                except OSError:
                    continue

        thread = threading.Thread(target=serve)
        thread.start()
        yield int(listening.getsockname()[1])
        done.set()
        thread.join()


async def test_a_certificate_that_is_not_trusted_fails(self_signed: int) -> None:
    *_, check = await network.way(f"https://localhost:{self_signed}/api/projects/x", 2)

    assert (check.name, str(check.status)) == ("certificate", "failed")
    assert "not trusted: self" in check.found
    assert "SSL_CERT_FILE" in check.fix


async def test_a_certificate_that_ends_soon_is_a_warning(
    self_signed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))

    *_, check = await network.way(f"https://localhost:{self_signed}/api/projects/x", 2)

    assert (str(check.status), "trusted, ends in 2 days" in check.found) == ("warning", True), check


# Proxies


def test_logins_of_proxies_are_not_shown() -> None:
    check = machine.proxies({"HTTPS_PROXY": "http://me:hunter22@proxy.example.com:3128"})

    assert check.found == "HTTPS_PROXY=http://proxy.example.com:3128"


def test_connections_go_to_the_proxy_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://me:hunter22@proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", "inside.example.com")

    there = network.address_of("https://acct.services.ai.azure.com/api/projects/x")

    assert (there.host, there.port, there.proxy) == (
        "proxy.example.com",
        3128,
        "http://proxy.example.com:3128",
    )
    assert network.address_of("https://inside.example.com/api/projects/x").proxy == ""


# The source


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    world = World("http://127.0.0.1:9", "x", tmp_path / "nowhere")

    code, checks, _ = doctor(world)

    assert (code, checks["source"]["status"]) == (1, "failed")
    assert "no folder" in checks["source"]["found"]


def test_a_folder_without_a_project(tmp_path: Path) -> None:
    world = World("http://127.0.0.1:9", "x", tmp_path)

    code, checks, _ = doctor(world)

    assert code == 1
    assert "no Project in" in checks["source"]["found"]
    assert "`reconciler init` does" in checks["source"]["fix"]


def test_a_broken_project_file_is_told_with_its_place(ready: World) -> None:
    ready.write("prod.yaml", "apiVersion: reconciler/v1\nkind: Project\nmetadata: {name: prod}\nspec: {}\n")

    code, checks, _ = doctor(ready)

    assert code == 1
    assert "prod.yaml:4" in checks["source"]["found"]


def test_manifests_with_problems_fail(ready: World) -> None:
    ready.agent("triage", {"kind": "prompt"})

    code, checks, _ = doctor(ready)

    assert (code, checks["manifests"]["status"]) == (1, "failed")
    assert "agents/triage.yaml:" in checks["manifests"]["found"]
    assert "reconciler validate" in checks["manifests"]["fix"]


def test_uncommitted_changes_are_a_warning(ready: World) -> None:
    ready.agent("triage", prompt("Other."))

    code, checks, _ = doctor(ready)

    assert (code, checks["source"]["status"]) == (0, "warning")
    assert checks["source"]["fix"].startswith("Commit first")


def test_a_cut_history_is_a_warning(ready: World) -> None:
    ready.commit("Again")
    shallow = ready.repo.parent / "shallow"
    ready.git("clone", "-q", "--depth", "1", f"file://{ready.repo}", str(shallow))
    ready.repo = shallow

    code, checks, _ = doctor(ready)

    assert (code, checks["source"]["status"]) == (0, "warning")
    assert "fetch-depth: 0" in checks["source"]["fix"]


def test_a_sandbox_state_that_cannot_be_written_fails(ready: World, tmp_path: Path) -> None:
    ready.project(endpoint="sandbox://x")
    (tmp_path / "file").write_text("")
    ready.environ["RECONCILER_SANDBOX_STATE"] = str(tmp_path / "file" / "state.db")

    code, checks, _ = doctor(ready)

    assert (code, checks["sandbox"]["status"]) == (1, "failed")
    assert "cannot use the sandbox state" in checks["sandbox"]["found"]
    assert checks["sandbox"]["fix"]


def test_each_project_has_its_own_checks(ready: World) -> None:
    ready.project("stage", endpoint="http://127.0.0.1:9/api/projects/x", resources=["stage/*.yaml"])

    result = ready.run("doctor", str(ready.repo), "--format", "json")

    reading = {check["project"]: check["status"] for check in json.loads(result.stdout)["checks"]}
    assert set(reading) == {"", "prod", "stage"}
    assert ready.run("doctor", str(ready.repo), "-p", "prod").exit_code == 0
    assert ready.run("doctor", str(ready.repo), "-p", "stage").exit_code == 1


def test_an_unknown_format_is_an_error(ready: World) -> None:
    done = ready.run("doctor", str(ready.repo), "--format", "xml")

    assert (done.exit_code, "doctor has no format 'xml'" in done.stderr) == (1, True)


def test_a_missing_package_fails() -> None:
    check: Check = machine.programs(["no-such-package"])

    assert (str(check.status), check.found) == ("failed", "no-such-package is not installed")
    # Not by our own name, which a public index may give to somebody else.
    assert check.fix == "Install reconciler again, from where you keep it; pip brings what it needs."


def test_hosted_needs_no_preview() -> None:
    known = {"workflow": "WorkflowAgents=V1Preview"}

    assert service.needed_previews([{"definition": hosted()}, {"definition": prompt()}], known) == {}

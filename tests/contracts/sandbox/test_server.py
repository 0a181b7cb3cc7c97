from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from reconciler.sandbox import Sandbox, SandboxError

from .builders import prompt
from .conftest import Control


def test_endpoints_are_below_the_url() -> None:
    with Sandbox(":memory:") as sandbox:
        assert sandbox.url.startswith("http://127.0.0.1:")
        assert sandbox.endpoint("my-project") == f"{sandbox.url}/api/projects/my-project"


def test_a_stopped_sandbox_can_start_again(tmp_path: Path) -> None:
    sandbox = Sandbox(tmp_path / "state.db")
    for _ in range(2):
        sandbox.start()
        sandbox.start()
        assert urllib.request.urlopen(f"{sandbox.url}/_sandbox/settings").status == 200
        sandbox.stop()
        sandbox.stop()
    with pytest.raises(SandboxError):
        _ = sandbox.url


def test_memory_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Sandbox(":memory:"):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_an_error_with_a_hint() -> None:
    with Sandbox(":memory:") as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(SandboxError, match="in use") as refused:
            Sandbox(":memory:", port=port).start()
    assert "port" in refused.value.hint


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "", "no such host", "::"])
def test_only_loopback_is_served(host: str) -> None:
    with pytest.raises(SandboxError) as refused:
        Sandbox(":memory:", host=host).start()
    assert refused.value.hint


@pytest.mark.parametrize("port", [-1, 65536])
def test_ports_have_a_range(port: int) -> None:
    with pytest.raises(SandboxError):
        Sandbox(":memory:", port=port).start()


def test_localhost_is_loopback() -> None:
    with Sandbox(":memory:", host="localhost") as sandbox:
        assert urllib.request.urlopen(f"{sandbox.url}/_sandbox/settings").status == 200


def test_stopping_does_not_wait_for_a_held_request(control: Control) -> None:
    with Sandbox(":memory:") as sandbox:
        own = Control(sandbox.url, "p")
        own.faults({"action": {"delay_s": 30}})
        host, port = sandbox.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as held:
            held.sendall(b"GET /api/projects/p/agents?api-version=v1 HTTP/1.1\r\nHost: x\r\n\r\n")
            while not own.requests()["log"]:
                time.sleep(0.01)
            began = time.monotonic()
            sandbox.stop()
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_runs_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    script = (
        "from reconciler.sandbox import serve\n"
        f"serve({str(tmp_path / 'state.db')!r}, '127.0.0.1', 0, lambda url: print(url, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert urllib.request.urlopen(f"{url}/_sandbox/settings").status == 200
        process.send_signal(number)
        assert process.wait(timeout=10) == 0


def test_importing_the_sandbox_does_not_import_its_server() -> None:
    script = "import reconciler.sandbox, sys; sys.exit('aiohttp' in sys.modules or 'azure' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_sandbox_imports_nothing_of_the_reconciler() -> None:
    folder = Path(sys.modules["reconciler.sandbox"].__file__ or "").parent
    for file in folder.glob("*.py"):
        for line in file.read_text().splitlines():
            if line.startswith(("from reconciler", "import reconciler")):
                assert line.startswith("from reconciler.sandbox"), f"{file.name}: {line}"


def test_a_thousand_agents_are_ten_pages(control: Control) -> None:
    control.seed(count=1000)
    after, names = "", []
    while True:
        url = f"{control.url}/api/projects/{control.project}/agents?api-version=v1&limit=100{after}"
        with urllib.request.urlopen(url) as answer:
            content = answer.read()
        if b'"data":[]' in content:
            break
        last = content.rpartition(b'"last_id":"')[2].partition(b'"')[0].decode()
        names.append(last)
        after = f"&after={last}"
    assert len(names) == 10
    assert control.requests()["counts"] == {"GET /agents": 11}
    assert prompt()

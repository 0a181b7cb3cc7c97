from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from reconciler.sandbox import Sandbox, SandboxError
from reconciler.sandbox.state import MIGRATIONS

from .builders import hosted, prompt


def ask(sandbox: Sandbox, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    connection = HTTPConnection(urlsplit(sandbox.url).netloc, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None
    finally:
        connection.close()


AGENT = "/api/projects/p/agents/a?api-version=v1"
VERSIONS = "/api/projects/p/agents/a/versions?api-version=v1"


def test_a_restart_keeps_everything_but_the_request_log(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with Sandbox(file) as first:
        made = ask(first, "POST", VERSIONS, prompt())[1]
        ask(first, "PUT", "/_sandbox/settings", {"drafts": "refused"})
        ask(first, "PUT", "/_sandbox/faults", [{"match": {"method": "PUT"}, "action": {"status": 500}}])
    with Sandbox(file) as second:
        assert ask(second, "GET", "/_sandbox/requests")[1]["counts"] == {}
        assert ask(second, "GET", AGENT)[1]["versions"]["latest"] == made
        assert ask(second, "POST", VERSIONS, prompt())[1]["version"] == "2"
        assert ask(second, "GET", "/_sandbox/settings")[1]["drafts"] == "refused"
        assert len(ask(second, "GET", "/_sandbox/faults")[1]["rules"]) == 1


def test_provisioning_goes_on_while_the_server_is_down(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with Sandbox(file) as first:
        ask(first, "PUT", "/_sandbox/settings", {"provisioning": {"delay_s": 0.2}})
        assert ask(first, "POST", VERSIONS, hosted())[1]["status"] == "creating"
    threading.Event().wait(0.2)
    with Sandbox(file) as second:
        assert ask(second, "GET", AGENT)[1]["versions"]["latest"]["status"] == "active"


def test_a_killed_server_has_kept_what_it_answered(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    script = (
        "from reconciler.sandbox import serve\n"
        f"serve({str(file)!r}, '127.0.0.1', 0, lambda url: print(url, flush=True))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        connection.request("POST", VERSIONS, json.dumps(prompt()))
        assert connection.getresponse().status == 200
        process.kill()
        connection.close()
    with Sandbox(file) as after:
        assert ask(after, "GET", AGENT)[0] == 200


@pytest.mark.rule("P10")
def test_a_newer_state_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with Sandbox(file):
        pass
    with closing(sqlite3.connect(file)) as db:
        db.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    before = file.read_bytes()
    with pytest.raises(SandboxError, match="version") as refused:
        Sandbox(file).start()
    assert refused.value.hint
    assert file.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["state.db"]


@pytest.mark.rule("P10")
def test_an_older_state_is_migrated_after_a_copy(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with Sandbox(file) as first:
        ask(first, "POST", VERSIONS, prompt())
    with closing(sqlite3.connect(file)) as db:
        for table in ("session_files", "sessions", "documents", "former_details"):
            db.execute(f"DROP TABLE {table}")
        for index in ("resource_tombstones", "version_tombstones"):
            db.execute(f"DROP INDEX {index}")
        db.execute("PRAGMA user_version = 1")
    with Sandbox(file) as second:
        assert ask(second, "GET", AGENT)[0] == 200
        session = f"{AGENT.partition('?')[0]}/endpoint/sessions?api-version=v1"
        assert ask(second, "POST", session, {})[0] == 201
    with closing(sqlite3.connect(tmp_path / "state.db.bak-v1")) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (1,)
        assert copy.execute("SELECT name FROM resources").fetchall() == [("a",)]


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda file: file.write_text("not a database" * 100), id="text"),
        pytest.param(lambda file: file.mkdir(), id="folder"),
        pytest.param(lambda file: shutil.rmtree(file.parent), id="no-folder"),
        pytest.param(
            lambda file: sqlite3.connect(file).execute("CREATE TABLE theirs (x)").connection.close(),
            id="another-programs",
        ),
    ],
)
def test_a_file_that_is_not_ours_is_refused(tmp_path: Path, spoil: Any) -> None:
    file = tmp_path / "sub" / "state.db"
    file.parent.mkdir()
    spoil(file)
    before = file.read_bytes() if file.is_file() else None
    with pytest.raises(SandboxError) as refused:
        Sandbox(file).start()
    assert refused.value.hint
    assert (file.read_bytes() if file.is_file() else None) == before


def test_two_servers_share_one_file(tmp_path: Path) -> None:
    """Writers of both take turns: no version number is given twice and none is lost."""
    file = tmp_path / "state.db"
    found: list[str] = []

    def write(sandbox: Sandbox) -> None:
        for number in range(25):
            status, version = ask(sandbox, "POST", VERSIONS, prompt(str(number)))
            assert status == 200
            found.append(version["version"])

    with Sandbox(file) as one, Sandbox(file) as two:
        threads = [threading.Thread(target=write, args=(each,)) for each in (one, two, one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(map(int, found)) == list(range(1, 101))
        assert ask(one, "GET", AGENT) == ask(two, "GET", AGENT)
        ask(one, "PUT", "/_sandbox/settings", {"drafts": "refused"})
        assert ask(two, "GET", "/_sandbox/settings")[1]["drafts"] == "refused"


def test_two_processes_may_make_the_file_together(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    script = (
        f"from reconciler.sandbox import Sandbox\nfor _ in range(5):\n    with Sandbox({str(file)!r}): pass"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(2)]
    assert [each.wait(timeout=60) for each in processes] == [0, 0]

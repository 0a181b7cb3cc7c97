"""`reconciler history`: what it shows of a service, and what it says when there is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from reconciler.resource import Failure, Health, Key, Live, Mark, Version
from reconciler.service.records import EventRecord, Pin, RunRecord, Suspension
from tests.cli.serving import Serving, run, serving
from tests.service.api.world import NOW, SHA


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("service")) as running:
        running.do(history(running))
        yield running


async def history(service: Serving) -> None:
    front, key = service.front, Key("prod", "Agent", "triage")
    store = front.deps.store
    run = RunRecord("r1", "prod", "agents", ("webhook", "manual by ann"), SHA, NOW)
    await store.start_run(run)
    await store.end_run(RunRecord("r1", "prod", "agents", run.reasons, SHA, NOW, NOW + 2.5, "applied"))
    await store.start_run(RunRecord("r2", "stage", "agents", ("poll",), SHA, NOW + 60))
    await store.add_events(
        [
            EventRecord(
                NOW,
                "drift",
                "warning",
                "prod",
                "somebody\x1b[2J\nwas here",
                resource="Agent/triage",
                hint="Ask them.",
            ),
            EventRecord(NOW, "source-stale", "error", "", "agents cannot be read"),
        ]
    )
    await store.put_pin(Pin("prod", "Agent/triage", "7", "ann", "nonsense", NOW, NOW + 3600))
    await store.suspend(Suspension("prod", "ann", "outage", NOW))
    mark = Mark("git.example.com/agents#prod", "Agent/triage", "1:a", "6", commit=SHA)
    front.agents["prod", "Agent/triage"] = Live(
        key,
        Version("9", {}, Health.FAILED, int(NOW), failure=Failure("x", "y")),
        selector=(("7", 100),),
        versions=(
            Version("8", {}, created_at=int(NOW), mark=mark),
            Version("7", {}, created_at=int(NOW), mark=mark),
        ),
        all_versions=True,
    )


def test_a_project_shows_its_state_runs_and_events(service: Serving) -> None:
    result = service.run("history", "prod")

    assert result.exit_code == 0, result.stderr
    assert (
        result.stdout
        == """\
prod  drifted
at commit  c0ffeec0ffee  good 2027-01-15 07:59Z
suspended by  ann  outage
Agent/triage rolled back to version 7 by ann until 2027-01-15 09:00Z: nonsense

RUN  STARTED            RESULT   TOOK   COMMIT        WHY
r1   2027-01-15 08:00Z  applied  2.5 s  c0ffeec0ffee  told by a webhook, asked for by ann

EVENT  AT                 TYPE   MESSAGE
1      2027-01-15 08:00Z  drift  somebody\\x1b[2J was here
                                 → Ask them.
"""
    )


def test_an_agent_shows_its_versions_and_who_made_them(service: Serving) -> None:
    result = service.run("history", "prod/Agent/triage")

    assert (
        result.stdout
        == """\
prod/Agent/triage  drifted
Agent/triage rolled back to version 7 by ann until 2027-01-15 09:00Z: nonsense

VERSION   STATE   TRAFFIC  MADE               BY              COMMIT
9 latest  failed  -        2027-01-15 08:00Z  unknown         -
8         active  -        2027-01-15 08:00Z  portal or copy  -
7 pinned  active  100 %    2027-01-15 08:00Z  us              c0ffeec0ffee

EVENT  AT                 TYPE   MESSAGE
1      2027-01-15 08:00Z  drift  somebody\\x1b[2J was here
                                 → Ask them.
"""
    )


def test_what_the_store_remembers_is_said_to_be_old(service: Serving) -> None:
    result = service.run("history", "prod/Agent/billing")

    assert "2 latest  unknown  100 %" in result.stdout
    assert "what the last change of this row left" in result.stdout


def test_everything_names_its_projects(service: Serving) -> None:
    result = service.run("history", "-n", "1")

    assert "r2 stage" in result.stdout
    assert "r1" not in result.stdout
    assert "source-stale  agents cannot be read" in result.stdout


@pytest.mark.parametrize("target", [[], ["prod"], ["prod/Agent/triage"]], ids=["all", "project", "agent"])
def test_the_same_as_json(service: Serving, target: list[str]) -> None:
    found = json.loads(service.run("history", *target, "--format", "json").stdout)

    assert found["format"] == "reconciler.history/v1"
    assert found["events"]
    if target == ["prod/Agent/triage"]:
        assert [version["by"] for version in found["resource"]["timeline"]["versions"]] == [
            "unknown",
            "portal",
            "us",
        ]


@pytest.mark.parametrize(
    ("args", "token", "said"),
    [
        pytest.param(["prd"], "root", ["there is no Project 'prd'", "Did you mean `prod`?"], id="project"),
        pytest.param(["prod/Agent/triag"], "root", ["Did you mean `Agent/triage`?"], id="agent"),
        pytest.param(["dev"], "viewer", ["there is no Project 'dev'"], id="hidden"),
        pytest.param([], "", ["nobody is signed in", "RECONCILER_TOKEN"], id="no-token"),
        pytest.param([], "wrong", ["not known here", "reconciler token NAME"], id="wrong-token"),
        pytest.param([], "nobody", ["no role here", "auth.roles"], id="no-role"),
        pytest.param(["prod/triage"], "root", ["Write prod/Agent/triage"], id="two-parts"),
        pytest.param(["prod//x"], "root", ["names no Project"], id="empty-part"),
        pytest.param(["prod", "--format", "xml"], "root", ["no format 'xml'", "text or json"], id="format"),
        pytest.param(["..", "--server", "ftp://x"], "root", ["not http://HOST"], id="scheme"),
        pytest.param(["prod", "--server", "http://[x"], "root", ["is no URL"], id="url"),
        pytest.param(
            ["prod", "--server", "http://reconciler.example.com"],
            "root",
            ["the token would go to reconciler.example.com without encryption", "Use https"],
            id="in-the-open",
        ),
    ],
)
def test_what_cannot_be_shown_is_explained(
    service: Serving, args: list[str], token: str, said: list[str]
) -> None:
    result = service.run("history", *args, token=token)

    assert result.exit_code == 1
    for words in said:
        assert words in result.stderr
    assert "rct_" not in result.stderr


@pytest.fixture
def stranger() -> Iterator[str]:
    """A server that is no service of ours: a page for everything, elsewhere for `/moved`."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302 if "moved" in self.path else 200)
            self.send_header("Location", "http://127.0.0.1:9/")
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.mark.parametrize("path", ["", "/moved"])
def test_another_server_is_told_apart(stranger: str, path: str) -> None:
    result = run("history", "--server", stranger + path, "--token", "secret-token")

    assert result.exit_code == 1
    assert "answers as no service of ours does" in result.stderr
    assert "secret-token" not in result.stderr


def test_a_service_that_does_not_run_is_explained(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    result = run("history", RECONCILER_SERVER=url)

    assert result.exit_code == 1
    assert f"cannot reach the service at {url}" in result.stderr
    assert "reconciler serve" in result.stderr

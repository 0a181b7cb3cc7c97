"""The image: its Dockerfile, what is installed into it, and its health check."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.rendering import ROOT

DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
_ENVIRONMENT: Final = {"python_version": "3.13", "sys_platform": "linux", "extra": ""}


def test_hadolint_has_nothing_to_say() -> None:
    tool = Path(sys.executable).parent / "hadolint"
    ended = subprocess.run([str(tool), "Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")


def test_every_stage_comes_from_one_pinned_image() -> None:
    froms = re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)

    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", froms[0])
    assert set(froms[1:]) == {"base"}


def test_nothing_is_for_one_platform_only() -> None:
    assert not re.search(r"amd64|x86_64|aarch64|--platform", DOCKERFILE.split("FROM", 1)[1])


def test_the_user_is_a_number_and_not_root() -> None:
    users = re.findall(r"^USER (\S+)", DOCKERFILE, flags=re.MULTILINE)

    assert users == ["10001:10001"]


def test_whatever_is_written_is_below_one_folder() -> None:
    written = dict(re.findall(r"\b(HOME|RECONCILER_[A-Z_]+)=(\S+)", DOCKERFILE))

    assert written.keys() == {"HOME", "RECONCILER_CACHE", "RECONCILER_SANDBOX_STATE"}
    assert all(path.startswith("/var/lib/reconciler") for path in written.values())


def test_what_is_copied_is_in_the_context() -> None:
    allowed = set(re.findall(r"^!(\S+)", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE))
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, flags=re.MULTILINE)

    assert {name for line in copied for name in line.split()} == allowed
    assert all((ROOT / name).exists() for name in allowed)


def locked(name: str) -> dict[str, str]:
    """Packages and versions of a lock, each with its hashes."""
    found = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / "locks" / name).read_text().partition("\n")[2].rstrip()):
        match = re.match(r"([a-z0-9.-]+)==([^ ;]+) \\\n(    --hash=sha256:[0-9a-f]{64}( \\)?\n?)+$", entry)
        assert match, f"locks/{name} has something without version or hash: {entry.splitlines()[0]}"
        found[match[1]] = match[2]
    return found


def test_the_lock_fits_the_package() -> None:
    """A dependency that was added or raised is missing in the image until script/lock ran."""
    versions = locked("image.txt")
    extras = PROJECT["optional-dependencies"]
    installed = [name for name in extras if name not in ("all", "dev", "bench")]
    for text in [*PROJECT["dependencies"], *(text for name in installed for text in extras[name])]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(_ENVIRONMENT):
            version = versions.get(canonicalize_name(requirement.name))
            assert version is not None, f"run script/lock: {requirement.name} is not in locks/image.txt"
            assert requirement.specifier.contains(version, prereleases=True), f"run script/lock: {text}"


def test_the_builder_is_locked_too() -> None:
    assert "hatchling" in locked("build.txt")


class _Health(BaseHTTPRequestHandler):
    """Answers the health check with the status of the class."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the exit code of the check is what counts."""


@pytest.fixture
def health() -> Iterator[tuple[type[_Health], int]]:
    """A service, and its port."""
    handler = type("Health", (_Health,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield handler, server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def check(port: int) -> int:
    """The exit code of the image's health check, asked of another port."""
    match = re.search(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE, flags=re.MULTILINE)
    assert match
    _, *arguments = json.loads(match[1])
    command = [sys.executable, *(argument.replace("8080", str(port)) for argument in arguments)]
    # A proxy that nobody listens at: the check never leaves the container.
    environ = {"http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(command, env=environ, capture_output=True, check=False).returncode


def test_the_health_check_says_whether_the_service_answers_well(health: tuple[type[_Health], int]) -> None:
    handler, port = health
    assert check(port) == 0

    handler.status = 503
    assert check(port) == 1


def test_the_health_check_fails_where_nobody_listens() -> None:
    assert check(1) == 1

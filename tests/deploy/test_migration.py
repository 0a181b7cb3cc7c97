"""The Job that runs before pods of a new version: what the chart gives it is enough, on a real PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.deploy.rendering import example, render
from tests.postgres import shared_server

pytestmark = pytest.mark.xdist_group("helm")


@pytest.fixture
def address() -> Iterator[str]:
    """An empty database."""
    with shared_server() as server, server.database() as url:
        yield url


def test_the_job_makes_the_schema_and_may_run_again(address: str, tmp_path: Path) -> None:
    values = example("everything")
    password = urlsplit(address).password or ""
    values["config"]["store"] = address.replace(f":{password}@", "@", 1)
    rendered = render(values)
    (container,) = rendered.one("Job", hook=True)["spec"]["template"]["spec"]["containers"]
    config = tmp_path / "service.yaml"
    config.write_text(rendered.one("ConfigMap", hook=True)["data"]["service.yaml"])
    arguments = [str(config) if "/" in argument else argument for argument in container["args"]]
    command = [str(Path(sys.executable).parent / "reconciler"), *arguments]

    environ = {**os.environ, "PGPASSWORD": password}
    for _ in range(2):
        ended = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        assert (ended.returncode, ended.stderr) == (0, "")
    with psycopg.connect(address) as connection:
        tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
    assert tables is not None
    assert tables[0] > 5


def test_a_migration_that_cannot_be_done_fails_the_job(tmp_path: Path) -> None:
    config = tmp_path / "service.yaml"
    config.write_text(
        "store: postgresql://nobody@127.0.0.1:1/nothing\nsources: [{name: a, url: https://example.com/a.git}]\n"
    )
    command = [str(Path(sys.executable).parent / "reconciler"), "serve", "--migrate", "--config", str(config)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert ended.returncode == 1
    assert ended.stderr.startswith("Error: ")
    assert "Traceback" not in ended.stderr

"""From an address to an engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.errors import InvalidInput
from reconciler.service.engine.embedded import Embedded
from reconciler.service.engine.opening import apply_schema, open_engine, pooler_problem
from reconciler.service.engine.replicas import Replicas


async def test_a_file_has_one_process_and_a_server_many(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/store.db", concurrency=2)
    assert isinstance(engine, Embedded)
    assert (tmp_path / "store.db.queue").exists()
    await engine.close()
    shared = open_engine("postgresql://someone@127.0.0.1/nothing", concurrency=2)
    assert isinstance(shared, Replicas)
    await shared.close()


async def test_a_file_needs_no_schema(tmp_path: Path) -> None:
    await apply_schema(f"sqlite:///{tmp_path}/store.db")
    assert not list(tmp_path.iterdir())


def test_an_address_that_cannot_be_read_is_refused_without_its_password() -> None:
    with pytest.raises(InvalidInput, match="no address that PostgreSQL knows") as refused:
        open_engine("postgresql://user:hunter2%zz@host/x", concurrency=1)
    assert "hunter2" not in f"{refused.value} {refused.value.hint} {refused.value.__cause__}"
    assert "PGPASSWORD" in refused.value.hint


def test_without_the_extra_it_says_what_to_install() -> None:
    program = """
import sys
sys.modules["procrastinate"] = None
from reconciler.errors import StateError
from reconciler.service.engine.opening import open_engine
try:
    open_engine("postgresql://nobody@127.0.0.1/x", concurrency=1)
except StateError as error:
    print(error, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'foundry-reconciler[replicas]'" in done.stdout


def test_one_process_needs_nothing_of_the_extra(tmp_path: Path) -> None:
    program = f"""
import sys
from reconciler.service.engine.opening import open_engine
open_engine("sqlite:///{tmp_path}/store.db", concurrency=1)
print(sorted(name for name in ("procrastinate", "psycopg") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        pytest.param("postgresql://u@db.example.com:6432/x", True, id="pooler"),
        pytest.param("postgresql://u@db.example.com:5432/x", False, id="server"),
        pytest.param("postgresql://u@db.example.com/x", False, id="no-port"),
        pytest.param("postgresql://u@a:6432,b:6432/x", False, id="several-hosts"),
        pytest.param("sqlite:///store.db", False, id="file"),
    ],
)
def test_an_address_of_a_pooler_is_a_problem_with_a_remedy(url: str, told: bool) -> None:
    problem = pooler_problem(url)
    assert bool(problem) == told
    assert not told or ("6432" in problem and "5432" in problem)

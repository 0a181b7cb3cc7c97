"""A short soak: pushes, faults and kills for some seconds; `script/soak MINUTES` is the long one."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from tests.soak.__main__ import Plan, soak

pytestmark = [pytest.mark.crash, pytest.mark.xdist_group("soak")]


def test_two_replicas_among_faults_and_kills_keep_every_rule(tmp_path: Path):
    said: list[str] = []
    started = time.monotonic()

    def say(line: str) -> None:
        said.append(f"{time.monotonic() - started:5.1f} s  {line}")

    assert soak(Plan(12, seed=3, shape=(2, 2, 6)), tmp_path, say), "\n".join(said)
    sys.stdout.write("\n".join(said))

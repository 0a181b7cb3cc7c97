"""`script/demo --serve` tells its story, checks it, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_story_of_the_service_is_true_and_leaves_nothing_behind(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "bench.service_demo"],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert [line[3:5] for line in done.stdout.splitlines() if line.startswith("━━")] == [
        f"{number}." for number in range(1, 7)
    ]
    assert "support-triage serves version 2" in done.stdout
    assert "version 2 starts, version 1 serves" in done.stdout
    assert "invoice-reader serves version 2" in done.stdout
    assert "knowledge-search was changed by somebody else" in done.stdout
    assert "No changes. Live agents match the manifests." in done.stdout
    assert "shows all 8 agents" in done.stdout
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []

"""What a process does for itself while it runs: idle connections closed, freed memory given back."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

from reconciler.service import connections
from reconciler.service.connections import Connections
from reconciler.service.tidying import tidy
from reconciler.settings import read

_FREE_MOST = """
import psutil
from reconciler.service.tidying import give_back

# Every hundredth stays, so that no end of the heap becomes free by itself.
held = [bytes(2000) for _ in range(50_000)][::100]
before = psutil.Process().memory_info().rss
give_back()
print(before - psutil.Process().memory_info().rss, len(held))
"""


async def test_each_process_closes_what_it_does_not_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "_IDLE_S", 0.05)
    settings = read({"RECONCILER_SANDBOX_STATE": str(tmp_path / "sandbox.db")})
    held, stop = Connections(settings), asyncio.Event()
    async with held.ports("prod", "http://127.0.0.1:9/api/projects/prod", lambda code: b""):
        tidying = asyncio.create_task(tidy(held, stop, every_s=0.02))
        await asyncio.sleep(0.2)
        assert held._open, "a run that is under way keeps its connections"
    async with asyncio.timeout(5):
        while held._open:
            await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(tidying, 5)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library cannot")
def test_freed_memory_goes_back_to_the_system() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _FREE_MOST], capture_output=True, text=True, check=True, timeout=60
    )
    given, held = map(int, done.stdout.split())
    assert held == 500
    assert given > 50_000_000

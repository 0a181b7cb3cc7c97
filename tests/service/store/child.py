"""A second process of the service, as far as the store goes: opens it when told, and does one thing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from reconciler.service.store.opening import open_store

KEYS = [str(number) for number in range(60)]


async def _main(url: str) -> None:
    store = open_store(url)
    print("ready", flush=True)  # noqa: T201 - said to the parent
    sys.stdin.readline()
    await store.open()
    first = [key for key in KEYS if await store.first_time("hook", key, now=5, within_s=10)]
    await store.close()
    print(json.dumps(first), flush=True)  # noqa: T201 - said to the parent


def first_of(url: str, processes: int) -> list[Sequence[str]]:
    """What each of some processes, which open the store at the same moment, was the first to ask for."""
    command = [sys.executable, "-m", __name__, url]
    root = Path(__file__).parents[3]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)
        for _ in range(processes)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    said = [child.communicate(timeout=30)[0] for child in children]
    assert [child.returncode for child in children] == [0] * processes
    return [json.loads(text) for text in said]


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))

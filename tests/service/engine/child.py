"""One replica as a process of its own, whose turns leave a record that does not depend on it.

    python -m tests.service.engine.child URL RECORD SHORTEST_S LONGEST_S

Each line of RECORD is one append: `ready` once, then `start` or `end` (`cut` where it was cancelled) of each
turn, on the machine's clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import sys
import time

from reconciler.service.engine import Again, Turn
from reconciler.service.engine.replicas import Replicas


async def main(url: str, record: str, shortest_s: float, longest_s: float) -> None:
    file = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    numbers = itertools.count(1)

    def write(line: dict[str, object]) -> None:
        os.write(file, json.dumps(line).encode() + b"\n")

    def note(what: str, number: int, turn: Turn) -> None:
        line = {
            "what": what,
            "turn": f"{os.getpid()}-{number}",
            "pid": os.getpid(),
            "key": turn.key,
            "reasons": turn.reasons,
            "at": time.monotonic(),
        }
        write(line)

    async def work(turn: Turn) -> Again | None:
        number = next(numbers)
        note("start", number, turn)
        what = "cut"
        try:
            await asyncio.sleep(random.uniform(shortest_s, longest_s))
            what = "end"
        finally:
            note(what, number, turn)
        return None

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = Replicas(url, concurrency=8, grace_s=5.0)
    serving = asyncio.create_task(engine.serve(work, stop))
    while not engine.ready:
        await asyncio.sleep(0.02)
    write({"what": "ready", "pid": os.getpid()})
    await serving
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])))

"""What replicas wrote of their turns, and what can be said of it without asking them."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]


@dataclass
class Span:
    """One turn: `end` is None while it runs, and `well` says that it came to its end by itself."""

    key: str
    pid: int
    reasons: tuple[str, ...]
    start: float
    end: float | None = None
    well: bool = False


@dataclass
class Replica:
    """A process that gives turns, and when it was seen to be dead."""

    process: asyncio.subprocess.Process

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


@dataclass
class Cast:
    """Replicas over one database, and the record of what they did."""

    url: str
    path: Path
    length_s: tuple[float, float] = (0.03, 0.3)
    alive: list[Replica] = field(default_factory=list)
    died: dict[int, float] = field(default_factory=dict)

    @property
    def _log(self) -> Path:
        return self.path.with_suffix(".log")

    async def enter(self) -> Replica:
        """Start a replica."""
        arguments = [self.url, str(self.path), *map(str, self.length_s)]
        program = (sys.executable, "-m", "tests.service.engine.child")
        with self._log.open("a") as log:
            process = await asyncio.create_subprocess_exec(
                *program, *arguments, cwd=ROOT, stdout=log, stderr=log
            )
        replica = Replica(process)
        self.alive.append(replica)
        return replica

    async def kill(self, replica: Replica) -> float:
        """End a replica as a power cut would; when it was dead."""
        replica.send(signal.SIGKILL)
        await replica.process.wait()
        self.alive.remove(replica)
        self.died[replica.pid] = time.monotonic()
        return self.died[replica.pid]

    async def leave(self) -> None:
        """Stop every replica in order."""
        for replica in self.alive:
            replica.send(signal.SIGCONT)
            replica.send(signal.SIGTERM)
        for replica in self.alive:
            try:
                await asyncio.wait_for(replica.process.wait(), 20.0)
            except TimeoutError:
                replica.process.kill()
                await replica.process.wait()
                raise AssertionError("a replica did not stop") from None

    async def ready(self, replica: Replica) -> None:
        """Wait until it gives turns."""
        await self.until(
            lambda: any(line["what"] == "ready" and line["pid"] == replica.pid for line in self._lines()),
            20.0,
        )

    def _lines(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.path.read_text().splitlines()] if self.path.exists() else []

    def spans(self) -> list[Span]:
        """All turns so far, by their start."""
        spans: dict[str, Span] = {}
        for line in self._lines():
            if line["what"] == "ready":
                continue
            if line["what"] == "start":
                spans[line["turn"]] = Span(line["key"], line["pid"], tuple(line["reasons"]), line["at"])
            else:
                spans[line["turn"]].end = line["at"]
                spans[line["turn"]].well = line["what"] == "end"
        for span in spans.values():
            if span.end is None:
                span.end = self.died.get(span.pid)
        return sorted(spans.values(), key=lambda span: span.start)

    def overlaps(self) -> int:
        """Turns of one key that began before the one before had ended."""
        by_key: dict[str, list[Span]] = defaultdict(list)
        for span in self.spans():
            by_key[span.key].append(span)
        return sum(
            before.end is None or after.start < before.end
            for spans in by_key.values()
            for before, after in pairwise(spans)
        )

    def answered(self) -> set[str]:
        """Reasons that a turn was told which came to its end."""
        return {reason for span in self.spans() if span.well for reason in span.reasons}

    async def until(self, holds: Callable[[], bool], within_s: float) -> None:
        """Wait until it holds, as long as every replica lives."""
        deadline = time.monotonic() + within_s
        while not holds():
            dead = [replica.pid for replica in self.alive if replica.process.returncode is not None]
            if dead or time.monotonic() > deadline:
                why = f"{dead} ended by themselves" if dead else f"not within {within_s} s"
                spans = self.spans()
                log = self._log.read_text()[-3000:]
                raise AssertionError(f"{why}; {len(spans)} turns: {spans[-5:]}; {log}")
            await asyncio.sleep(0.02)


@asynccontextmanager
async def cast(url: str, path: Path, replicas: int, length_s: tuple[float, float]) -> AsyncIterator[Cast]:
    """Some replicas that were all seen to give turns; stopped in order after the block."""
    company = Cast(url, path, length_s)
    try:
        for replica in [await company.enter() for _ in range(replicas)]:
            await company.ready(replica)
        yield company
        await company.leave()
    finally:
        for replica in company.alive:
            if replica.process.returncode is None:
                replica.send(signal.SIGKILL)
                await replica.process.wait()

"""Whole processes, as a person or a pipeline starts them: wall time and largest resident size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

_RECONCILER: Final = str(Path(sys.executable).with_name("reconciler"))
_LONGEST_S: Final = 240


@dataclass(frozen=True)
class Ran:
    """How one process went. `peak_bytes` is the largest resident size it ever had.

    `cpu_s` tells a slow program from a machine that is busy with others.
    """

    took_s: float
    cpu_s: float
    peak_bytes: int
    output: str


def reconciler(*args: str, code: int = 0) -> Ran:
    """Run the command line.

    Raises:
        RuntimeError: it ended with another code than `code`.
    """
    return _run([_RECONCILER, *args], code)


def probe(name: str, **given: Any) -> dict[str, Any]:
    """What a function of `bench.probes` finds in a process of its own, where nothing else is imported."""
    ran = _run([sys.executable, "-m", "bench.probes", name, json.dumps(given)], 0)
    found: dict[str, Any] = json.loads(ran.output)
    return found


def median_s(times: int, run: Callable[[], Ran]) -> float:
    """The median wall time of several runs, in seconds."""
    return median(run().took_s for _ in range(times))


def _run(command: Sequence[str], code: int) -> Ran:
    environ = {
        name: text for name, text in os.environ.items() if not name.startswith(("RECONCILER_", "GITHUB_"))
    }
    started = time.perf_counter()
    with subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        took_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != code:
        last = output.strip().rsplit("\n", 3)[-3:]
        raise RuntimeError(f"`{' '.join(command[:3])}` ended with {process.returncode}: {' '.join(last)}")
    # Linux counts kilobytes, macOS bytes.
    return Ran(
        took_s,
        usage.ru_utime + usage.ru_stime,
        usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        output,
    )

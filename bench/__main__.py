"""`python -m bench [--quick] [ROW…]`: measure, print one table. Exits 1 only where nothing was measured."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench.row import Row, table
from bench.rows import ROWS, Bench
from bench.service import running


def main() -> int:
    """Measure the rows that were asked for; 0 when each of them could be measured, met or not."""
    parser = argparse.ArgumentParser(
        prog="script/bench", description="Measures speed and size, on loopback only; about five minutes."
    )
    parser.add_argument("--quick", action="store_true", help="a tenth of the agents; says less")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of: {', '.join(ROWS)}; all by default")
    given = parser.parse_args()
    unknown = [name for name in given.rows if name not in ROWS]
    if unknown:
        parser.error(f"no row {unknown[0]!r}; there are {', '.join(ROWS)}")
    rows: list[Row] = []
    failed: list[str] = []
    started = time.monotonic()
    # Ends the sandbox and removes the folder too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with tempfile.TemporaryDirectory(prefix="reconciler-bench-") as folder, running(Path(folder)) as service:
        bench = Bench(service, Path(folder), given.quick)
        for name in given.rows or ROWS:
            _say(f"measuring: {name} …")
            try:
                rows += ROWS[name](bench)
            except Exception as error:  # noqa: BLE001 - one row that fails must not hide the others
                failed.append(f"cannot measure {name!r}: {type(error).__name__}: {error}")
    sys.stdout.write(table(rows) + "\n")
    for line in failed:
        _say(line)
    _say(f"took {time.monotonic() - started:.0f} s")
    return 1 if failed else 0


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())

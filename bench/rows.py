"""Every row of the table. Each measures ours and what it is compared with in the same run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Final

from bench import fleet, service_rows
from bench.processes import median_s, probe, reconciler
from bench.row import Row
from bench.service import Service

_NOTHING: Final = "No changes. Live agents match the manifests."
_LATENCY_S: Final = 0.05
_TERRAFORM: Final = """\
locals {
  agents = { for path in fileset(var.folder, "*.yaml") : path => yamldecode(file("${var.folder}/${path}")) }
}

variable "folder" {
  type    = string
  default = "FOLDER"
}

resource "terraform_data" "agent" {
  for_each = local.agents
  input    = each.value.spec
}
"""


@dataclass(frozen=True)
class Bench:
    """Where a run takes place. A `quick` one measures the same on fewer agents, so its figures say less."""

    service: Service
    folder: Path
    quick: bool

    def size(self, count: int) -> int:
        """The number of agents to measure with."""
        return count // 10 if self.quick else count

    def manifests(self, name: str, count: int) -> str:
        """A folder with `count` manifests of a project of that name."""
        folder = self.folder / name
        fleet.write_manifests(folder, self.service.endpoint(name), count)
        return str(folder)


def start(bench: Bench) -> Iterator[Row]:
    """How long the command line takes to say something."""
    times = 5 if bench.quick else 11
    took_s = median_s(times, lambda: reconciler("--help"))
    yield _at_most("`reconciler --help`, whole process", took_s, 0.3)
    folder = bench.manifests("validate", 10)
    took_s = median_s(times, lambda: reconciler("validate", folder))
    yield _at_most("`validate` of 10 manifests, whole process", took_s, 0.6)


def _at_most(what: str, took_s: float, limit_s: float) -> Row:
    return Row(what, f"≤ {limit_s:.2f} s", f"{took_s:.2f} s", met=took_s <= limit_s)


def requests(bench: Bench) -> Iterator[Row]:
    """What a plan with nothing to do asks of the service."""
    count, outside = bench.size(1_000), bench.size(250)
    for name, older in (("requests", 0), ("requests-older", outside)):
        folder = bench.manifests(name, count)
        bench.service.seed(name, fleet.in_sync(range(count), outside=older))
        bench.service.forget(name)
        _nothing_to_do(reconciler("plan", folder).output)
        limit, found = ceil(count / 100) + 1 + older, bench.service.requests(name)
        serving = f", {older} serve an older version" if older else ""
        what = f"requests of a no-op plan, {count:,} agents{serving}"
        yield Row(what, f"≤ {limit:,}", f"{found:,}", met=found <= limit)


def _nothing_to_do(output: str) -> None:
    if not output.rstrip().endswith(_NOTHING):
        raise RuntimeError(f"a plan had something to do: {output.strip()[-300:]}")


def warm(bench: Bench) -> Iterator[Row]:
    """Reading and deciding, against only reading."""
    count = bench.size(10_000)
    folder = bench.manifests("warm", count)
    bench.service.seed("warm", fleet.in_sync(range(count)))
    found = probe("warm", folder=folder, rounds=3 if bench.quick else 9)
    yield Row(
        f"no-op plan of {count:,} agents, warm process",
        "≤ 1.5 × wall",
        f"{found['ours_s']:.2f} s",
        f"aiohttp and json, same pages: {found['raw_s']:.2f} s",
        found["ratio"],
        found["ratio"] <= 1.5,
    )


def compare(bench: Bench) -> Iterator[Row]:
    """Finding out that two sides are equal."""
    found = probe("compare", count=bench.size(10_000), pairs=100)
    against = f"DeepDiff of an equal pair: {found['deepdiff_us']:,.0f} µs"
    for what, field in (("by its mark", "by_mark_us"), ("in full, without a mark", "in_full_us")):
        yield Row(
            f"one equal agent, {what}",
            "never DeepDiff",
            f"{found[field]:,.0f} µs",
            against,
            found["deepdiff_us"] / found[field],
            not found["imported"],
        )


def plan(bench: Bench) -> Iterator[Row]:
    """A whole `plan` process, against Terraform with the same files and no network at all."""
    count = bench.size(1_000)
    folder = bench.manifests("plan", count)
    bench.service.seed("plan", fleet.in_sync(range(count)))
    theirs = bench.folder / "terraform"
    theirs.mkdir()
    (theirs / "main.tf").write_text(_TERRAFORM.replace("FOLDER", f"{folder}/agents"))
    for command in ("init", "apply"):
        probe("terraform", folder=str(theirs), command=command)
    ours_s, theirs_s = [], []
    for _ in range(3):
        ran = reconciler("plan", folder)
        _nothing_to_do(ran.output)
        ours_s.append(ran.took_s)
        found = probe("terraform", folder=str(theirs), command="plan")
        if "No changes." not in found["output"]:
            raise RuntimeError("Terraform's plan had something to do")
        theirs_s.append(found["took_s"])
    ratio = median(theirs_s) / median(ours_s)
    yield Row(
        f"`plan` of {count:,} agents, nothing to do, whole process",
        "≥ 3 × faster, aim 5 ×",
        f"{median(ours_s):.2f} s ({ran.cpu_s:.1f} s of CPU)",
        f"terraform plan of the same files: {median(theirs_s):.2f} s",
        ratio,
        ratio >= 3,
    )


def apply(bench: Bench) -> Iterator[Row]:
    """Creating agents at a service that takes its time, against the SDK in a plain loop."""
    count, looped = bench.size(1_000), 20 if bench.quick else 50
    folder = bench.manifests("apply", count)
    bench.service.settings("apply", latency_s=_LATENCY_S)
    bench.service.settings("apply-loop", latency_s=_LATENCY_S)
    ran = reconciler("apply", folder, "--yes")
    ours_s = ran.took_s
    bench.service.settings("apply", latency_s=0)
    _nothing_to_do(reconciler("plan", folder).output)
    found = probe("sdk_loop", endpoint=bench.service.endpoint("apply-loop"), count=looped)
    theirs_s = found["took_s"] * count / looped
    yield Row(
        f"`apply` of {count:,} creates at 50 ms latency, whole process",
        "≥ 8 × faster, aim 20 ×",
        f"{ours_s:.2f} s ({ran.cpu_s:.1f} s of CPU)",
        f"SDK one by one: {theirs_s:.1f} s, scaled from {looped}",
        theirs_s / ours_s,
        theirs_s / ours_s >= 8,
    )


def memory(bench: Bench) -> Iterator[Row]:
    """The largest resident size of a whole `plan` process, beyond that of a plan of ten agents."""
    # With its Project that is the most files a source may have.
    count = bench.size(100_000) - 1
    peaks = []
    for name, agents in (("memory-base", 10), ("memory", count)):
        folder = bench.manifests(name, agents)
        for first in range(0, agents, 5_000):
            bench.service.seed(name, fleet.in_sync(range(first, min(first + 5_000, agents))))
        ran = reconciler("plan", folder)
        _nothing_to_do(ran.output)
        peaks.append(ran.peak_bytes)
    each_kb = (peaks[1] - peaks[0]) / count / 1000
    yield Row(
        f"memory per agent, no-op `plan` of {count:,}",
        "≤ 10 KB",
        f"{each_kb:.1f} KB",
        f"peak {peaks[1] / 1e6:,.0f} MB, with ten agents {peaks[0] / 1e6:,.0f} MB",
        met=each_kb <= 10,
    )


def push(bench: Bench) -> Iterator[Row]:
    """From a push to what is live, in a repository of many manifests."""
    return service_rows.push(
        bench.service, bench.folder / "push", bench.size(10_000), 3 if bench.quick else 7
    )


def idle(bench: Bench) -> Iterator[Row]:
    """What the long-running service takes while nothing happens."""
    return service_rows.idle(bench.service, bench.folder / "idle", 100, 15 if bench.quick else 60)


# In this order; what loads the machine most comes last.
ROWS: Final[dict[str, Callable[[Bench], Iterator[Row]]]] = {
    "start": start,
    "requests": requests,
    "compare": compare,
    "warm": warm,
    "plan": plan,
    "apply": apply,
    "push": push,
    "idle": idle,
    "memory": memory,
}

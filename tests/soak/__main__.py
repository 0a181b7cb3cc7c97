"""`python -m tests.soak MINUTES`: a run, its judgement, and its counts. Exits 0 only if everything held."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import linear_regression, median
from typing import Any, Final

from tests.soak.checker import Verdict, check
from tests.soak.driver import USUAL, Driver
from tests.soak.ending import Ending, judge, repair, rest
from tests.soak.evidence import Evidence, Span, read_state, writes_of
from tests.soak.scene import MINE, Replica, Scene, playing

# The stand-in remembers deleted things for two hours, and 200,000 requests.
_LONGEST_MINUTES: Final = 90.0
_REST_S: Final = 120.0
# What the longest life of a process may grow by between its second fifth and its last one.
GROWTH_MB: Final = 15.0
# Lives that are shorter say nothing about growth.
_WARM_S: Final = 60.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """How long, with which seed, on what: repositories, Projects in each, agents in each Project."""

    seconds: float
    seed: int
    shape: tuple[int, int, int] = (4, 3, 17)
    embedded: bool = False


def soak(plan: Plan, folder: Path, say: Say) -> bool:
    """One run; whether everything held."""
    random_ = random.Random(plan.seed)
    with playing(folder, plan.shape, random_, embedded=plan.embedded) as scene:
        _begin(scene, say)
        driver = Driver(scene, random_)
        say(f"driving for {plan.seconds:.0f} s …")
        driver.drive(time.monotonic() + plan.seconds)
        driver.settle()
        _counts(say, "actions", driver.did)
        _counts(say, "  that met a fault", driver.failed)
        say("the faults are over; waiting for rest …")
        ended = time.monotonic()
        problems = rest(scene, _REST_S, since=time.time())
        say(f"at rest after {time.monotonic() - ended:.0f} s")
        ending = judge(scene)
        say("compared with `reconciler plan`; repairing what waits for a person …")
        last = repair(scene) if not problems else Ending()
        for replica in scene.replicas:
            if replica.served is not None:
                replica.served.stop()
        verdict = check(_evidence(scene, folder))
        grown = _memory(scene.replicas, say)
    _counts(say, "looked at", verdict.counts)
    _counts(say, "at rest", ending.counts)
    _counts(say, "after a repair", last.counts)
    problems += [*ending.problems, *last.problems, *_found(verdict), *grown]
    for problem in problems:
        say(f"  ✗ {problem}")
    say("Everything held." if not problems else f"{len(problems)} things did not hold.")
    return not problems


def _begin(scene: Scene, say: Say) -> None:
    """Start the service with everything pushed, and wait until all of it is live."""
    for repository in scene.repositories:
        repository.push("Begin")
        for project in repository.projects.values():
            scene.service.settings(project.name, **USUAL)
            if project.theirs:
                scene.service.seed(project.name, [_theirs(project.theirs)])
            if project.observe:
                scene.spans.append(Span("observed", time.time(), project=project.name))
    started = time.monotonic()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Replica.start, scene.replicas))
    problems = rest(scene, _REST_S)
    if problems:
        raise RuntimeError(f"the service did not come to rest: {problems}")
    agents = sum(len(p.agents) for repository in scene.repositories for p in repository.projects.values())
    projects = sum(len(repository.projects) for repository in scene.repositories)
    say(
        f"{len(scene.replicas)} replicas keep {projects} Projects of {len(scene.repositories)} repositories"
        f" with {agents} agents; first in sync after {time.monotonic() - started:.0f} s"
    )


def _theirs(name: str) -> dict[str, Any]:
    """An agent with the mark of another owner."""
    mark = {
        "v": 1,
        "owner": "git.example.com/others#prod",
        "for": f"Agent/{name}",
        "spec": "1:00",
        "base": "0",
    }
    definition = {"kind": "prompt", "model": "gpt-5-mini", "instructions": "You are theirs."}
    return {"name": name, "definition": definition, "metadata": {"reconciler": json.dumps(mark)}}


def _evidence(scene: Scene, folder: Path) -> Evidence:
    agents, versions, traffic = read_state(folder / "sandbox.db")
    projects = [project for repository in scene.repositories for project in repository.projects.values()]
    evidence = Evidence(
        {project.name: project.owner for project in projects},
        writes_of(scene.service.log(), MINE),
        agents,
        versions,
        traffic,
        [push for repository in scene.repositories for push in repository.pushes],
        scene.spans,
    )
    (folder / "evidence.json").write_text(json.dumps(asdict(evidence), default=sorted))
    return evidence


def _found(verdict: Verdict) -> list[str]:
    return [f"{finding.rule}: {finding.text} at {finding.at:.2f}" for finding in verdict.findings]


def _memory(replicas: list[Replica], say: Say) -> list[str]:
    """What grew too much; prints how the longest life of each replica went."""
    problems = []
    for replica in replicas:
        samples = max(replica.rss_mb.values(), key=len, default=[])
        if len(samples) < 10 or samples[-1][0] - samples[0][0] < _WARM_S:
            continue
        fifth = len(samples) // 5
        warm, end = (median(mb for _, mb in part) for part in (samples[fifth : 2 * fifth], samples[-fifth:]))
        later = samples[fifth:]
        slope = linear_regression([at for at, _ in later], [mb for _, mb in later]).slope * 3600
        minutes = (samples[-1][0] - samples[0][0]) / 60
        say(
            f"memory of replica {replica.number}, {minutes:.1f} minutes: {warm:.0f} MB warm, {end:.0f} MB at"
            f" the end, at most {max(mb for _, mb in samples):.0f} MB, {slope:+.0f} MB an hour"
        )
        if end - warm > GROWTH_MB:
            problems.append(f"replica {replica.number} grew from {warm:.0f} to {end:.0f} MB")
    return problems


def _counts(say: Say, what: str, counts: Counter[str]) -> None:
    words = ", ".join(f"{word} {number}" for word, number in sorted(counts.items()) if number)
    say(f"{what}: {words or 'nothing'}")


def main() -> int:
    """Run for some minutes; 0 when everything held."""
    parser = argparse.ArgumentParser(prog="script/soak", description=__doc__)
    parser.add_argument("minutes", type=float, help=f"how long, at most {_LONGEST_MINUTES:.0f}")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument(
        "--embedded", action="store_true", help="one process on a file, not two on PostgreSQL"
    )
    parser.add_argument("--keep", metavar="DIR", type=Path, help="keep logs, states and evidence there")
    given = parser.parse_args()
    if not 0 < given.minutes <= _LONGEST_MINUTES:
        parser.error(f"a run takes up to {_LONGEST_MINUTES:.0f} minutes")
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    folder = given.keep or Path(tempfile.mkdtemp(prefix="reconciler-soak-"))
    folder.mkdir(parents=True, exist_ok=True)

    started = time.monotonic()

    def say(line: str) -> None:
        sys.stdout.write(f"{time.monotonic() - started:6.1f} s  {line}\n")
        sys.stdout.flush()

    say(f"seed {given.seed}; again with: script/soak {given.minutes:g} --seed {given.seed}")
    held = False
    try:
        held = soak(Plan(given.minutes * 60, given.seed, embedded=given.embedded), folder, say)
    finally:
        if given.keep:
            say(f"logs and evidence are in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())

"""Judges a run by what was asked of the stand-in and what became of it. Imports nothing of `reconciler`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from tests.soak.evidence import (
    CREATE,
    DELETE,
    PATCH,
    RETIRE,
    SWITCH,
    Agent,
    Evidence,
    Push,
    Traffic,
    Version,
    Write,
)

# A write may follow a commit that was replaced so long ago: a poll of five seconds, and the run it ends.
STALE_S = 10.0
# The same where a process was killed or paused or the database was away shortly before.
STALE_AFTER_TROUBLE_S = 30.0
# Between a person's order and the last write that had been allowed before it.
ORDER_S = 2.0
# A clock of whole milliseconds, and a log that is written a moment after the change.
BLINK_S = 0.05


@dataclass(frozen=True)
class Finding:
    """Something that must not have happened."""

    rule: str
    at: float
    text: str


@dataclass
class Verdict:
    """What was found, and how much was looked at."""

    findings: list[Finding] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def check(evidence: Evidence) -> Verdict:
    """Every rule over all of it."""
    judge = _Judge(evidence)
    verdict = Verdict()
    for rule in (_owned, _served, _counted, _apart, _ordered):
        for finding in rule(judge, verdict.counts):
            verdict.findings.append(finding)
    verdict.findings.sort(key=lambda finding: finding.at)
    return verdict


class _Judge:
    """Questions about one moment of a run."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.writes = [write for write in evidence.writes if write.client]
        self.agents: dict[tuple[str, str], list[Agent]] = defaultdict(list)
        self.by_id = {agent.id: agent for agent in evidence.agents}
        for agent in evidence.agents:
            self.agents[agent.project, agent.name].append(agent)
        self.versions: dict[int, list[Version]] = defaultdict(list)
        for version in evidence.versions:
            self.versions[version.agent].append(version)
        self.traffic: dict[int, list[Traffic]] = defaultdict(list)
        for traffic in sorted(evidence.traffic, key=lambda one: one.at):
            self.traffic[traffic.agent].append(traffic)
        self.requests: dict[tuple[str, str], list[Write]] = defaultdict(list)
        for write in evidence.writes:
            self.requests[write.project, write.name].append(write)

    @cached_property
    def heads(self) -> dict[str, list[Push]]:
        """The pushes that say something of a Project, in order."""
        found: dict[str, list[Push]] = defaultdict(list)
        for push in sorted(self.evidence.pushes, key=lambda push: push.at):
            for project in push.wants:
                found[project].append(push)
        return found

    def troubled(self, at: float, before_s: float, process: str = "") -> bool:
        """Whether a process was disturbed in that time, or just came back; any process by default."""
        return any(
            span.what == "disturbed"
            and span.at <= at
            and span.until >= at - before_s
            and (not process or span.process in ("*", process))
            for span in self.evidence.spans
        )

    def pushes(self, project: str, at: float) -> list[Push]:
        """What Git may have been seen to want at that time, in order."""
        slack_s = STALE_AFTER_TROUBLE_S if self.troubled(at, STALE_AFTER_TROUBLE_S) else STALE_S
        found, heads = [], self.heads[project]
        for index, push in enumerate(heads):
            replaced_at = heads[index + 1].done_at if index + 1 < len(heads) else at
            if push.at <= at <= replaced_at + slack_s:
                found.append(push)
        return found

    def wanted(self, project: str, name: str, at: float) -> bool:
        return any(name in push.wants[project] for push in self.pushes(project, at))

    def agent(self, project: str, name: str, at: float) -> Agent | None:
        """The agent of that name then."""
        return next((agent for agent in self.agents[project, name] if agent.lives(at)), None)

    def genuine(self, version: Version) -> bool:
        """Whether we made this very version of this very agent."""
        agent, mark = self.by_id[version.agent], version.mark
        if mark is None or mark.get("for") != f"Agent/{agent.name}":
            return False
        if mark.get("owner") != self.evidence.owners.get(agent.project):
            return False
        return version.number.isdigit() and str(mark.get("base")) == str(int(version.number) - 1)

    def foreign(self, agent: Agent, at: float) -> bool:
        """Whether somebody else manages the agent: its newest mark names another owner."""
        marks = [v.mark for v in self.versions[agent.id] if v.lives(at) and v.mark is not None]
        return bool(marks) and marks[-1].get("owner") != self.evidence.owners.get(agent.project)

    def ours(self, agent: Agent, at: float) -> bool:
        """Whether a version of the agent carries our genuine mark then."""
        return any(version.lives(at) and self.genuine(version) for version in self.versions[agent.id])

    def shares(self, agent: Agent, at: float) -> tuple[tuple[str, int], ...]:
        """How its traffic was set then; () for the latest version."""
        found: tuple[tuple[str, int], ...] = ()
        for traffic in self.traffic[agent.id]:
            if traffic.at <= at:
                found = traffic.shares
        return found

    def maker(self, version: Version) -> Write | None:
        """The request that made a version: by time, and by its mark where two people made one at once."""
        agent = self.by_id[version.agent]
        made = [
            write
            for write in self.requests[agent.project, agent.name]
            if write.action == CREATE and write.at <= version.created_at <= write.ended_at + BLINK_S
        ]
        ours = [write for write in made if write.client]
        if len(ours) == len(made) or self.genuine(version):
            return (ours or made or [None])[0]  # type: ignore[list-item]
        return next(write for write in made if not write.client)


def _owned(judge: _Judge, counts: Counter[str]) -> Iterator[Finding]:
    """Each write names an agent that is ours, or that Git wants; deletes only what Git had removed."""
    for write in judge.writes:
        counts[f"writes: {write.action}"] += 1
        problem = _problem(judge, write)
        if problem:
            yield Finding("owned", write.at, _said(write, problem))


def _problem(judge: _Judge, write: Write) -> str:
    agent = judge.agent(write.project, write.name, write.at)
    wanted = judge.wanted(write.project, write.name, write.at)
    if agent is None:
        # What somebody else deleted a moment ago is answered with 404, and nothing happens.
        gone = write.action != CREATE and write.status in (404, 0, 429, 500, 502, 503)
        known = bool(judge.agents[write.project, write.name])
        return "" if wanted or (gone and known) else "nobody wanted it, and it was not there"
    owned = judge.ours(agent, write.at)
    if not owned and judge.foreign(agent, write.at):
        return "it is somebody else's"
    match write.action:
        case "create" | "patch" | "switch":
            return "" if owned or wanted else "it is not ours, and Git does not want it"
        case "retire":
            return _retired(judge, agent, write)
    if not owned:
        return "it carries no mark of ours"
    pushes = judge.pushes(write.project, write.at)
    if all(write.name in push.wants[write.project] or write.project in push.broken for push in pushes):
        return "Git wants it"
    earlier = [push for push in judge.heads[write.project] if push.at <= write.at]
    return "" if any(write.name in push.wants[write.project] for push in earlier) else "Git never wanted it"


def _retired(judge: _Judge, agent: Agent, write: Write) -> str:
    """Why this version must not go, "" when it may."""
    living = [version for version in judge.versions[agent.id] if version.lives(write.at)]
    found = [version for version in living if version.number == write.version]
    if not found:
        return ""
    if not judge.genuine(found[0]):
        return f"version {write.version} is not ours"
    if any(number == write.version for number, _ in judge.shares(agent, write.at)):
        return f"version {write.version} serves"
    if living[-1] == found[0] and found[0].outcome != "failed":
        return f"version {write.version} is the newest"
    return ""


def _served(judge: _Judge, counts: Counter[str]) -> Iterator[Finding]:
    """No version that failed or has not started gets traffic by our doing."""
    for agent in judge.evidence.agents:
        patches = [write for write in judge.requests[agent.project, agent.name] if write.action == PATCH]
        for traffic in judge.traffic[agent.id]:
            by = [write for write in patches if write.at <= traffic.at <= write.ended_at + BLINK_S]
            if not by or not all(write.client for write in by):
                continue
            counts["traffic set"] += 1
            for number, _ in traffic.shares:
                version = next((v for v in judge.versions[agent.id] if v.number == number), None)
                if version is None or not version.active(traffic.at + BLINK_S):
                    yield Finding("served", traffic.at, _said(by[0], f"version {number} was not active"))
        yield from _by_default(judge, agent, counts)


def _by_default(judge: _Judge, agent: Agent, counts: Counter[str]) -> Iterator[Finding]:
    """A version of an agent without set traffic serves at once: it must not take over from one that works."""
    for version in judge.versions[agent.id]:
        made = judge.maker(version)
        if made is None or not made.client or agent.kind != "hosted":
            continue
        before = version.created_at - 0.001
        if judge.shares(agent, before) or version.active(version.created_at):
            continue
        counts["made while the latest serves"] += 1
        latest = [other for other in judge.versions[agent.id] if other.lives(before)]
        if latest and latest[-1].active(before):
            yield Finding("served", made.at, _said(made, "the version served before it had started"))


def _counted(judge: _Judge, counts: Counter[str]) -> Iterator[Finding]:
    """No more versions than commits, edits by others, and requests whose end nobody knows."""
    made: Counter[tuple[str, str]] = Counter()
    outside: Counter[tuple[str, str]] = Counter()
    for version in judge.evidence.versions:
        agent = judge.by_id[version.agent]
        maker = judge.maker(version)
        (made if maker is not None and maker.client else outside)[agent.project, agent.name] += 1
        if version.deleted_at < agent.deleted_at and not _by_us(judge, agent, RETIRE, version.deleted_at):
            outside[agent.project, agent.name] += 1
    for agent in judge.evidence.agents:
        gone = agent.deleted_at < float("inf") and not _by_us(judge, agent, DELETE, agent.deleted_at)
        outside[agent.project, agent.name] += gone
    commits = Counter(
        (project, name)
        for push in judge.evidence.pushes
        for project, names in push.changed.items()
        for name in names
    )
    races = Counter(
        (write.project, write.name)
        for write in judge.writes
        if write.action == CREATE and (write.status != 200 or write.ended_at == float("inf"))
    )
    for word, terms in (("versions made", made), ("outside edits", outside), ("races", races)):
        counts[word] = sum(terms.values())
    counts["commits of agents"] = sum(commits.values())
    for key, number in made.items():
        most = commits[key] + outside[key] + races[key]
        if number > most:
            text = (
                f"{'/'.join(key)} got {number} versions from us: {commits[key]} commits,"
                f" {outside[key]} outside edits, {races[key]} races"
            )
            yield Finding("counted", 0.0, text)


def _by_us(judge: _Judge, agent: Agent, action: str, at: float) -> bool:
    return any(
        write.client and write.action in (action, DELETE) and write.at <= at <= write.ended_at + BLINK_S
        for write in judge.requests[agent.project, agent.name]
    )


def _apart(judge: _Judge, counts: Counter[str]) -> Iterator[Finding]:
    """Two processes never write to one Project at once, but for answers under way when the first lost it."""
    by_project: dict[str, list[Write]] = defaultdict(list)
    for write in judge.writes:
        by_project[write.project].append(write)
    for writes in by_project.values():
        for index, later in enumerate(writes):
            if index and writes[index - 1].client != later.client:
                counts["hand-overs"] += 1
            for earlier in writes[max(0, index - 200) : index]:
                if earlier.client == later.client or earlier.ended_at <= later.at:
                    continue
                if judge.troubled(later.at, later.at - earlier.at + 1.0, earlier.client):
                    counts["answers under way at a hand-over"] += 1
                    continue
                yield Finding("apart", later.at, f"{_said(later)} while {_said(earlier)}")


def _ordered(judge: _Judge, counts: Counter[str]) -> Iterator[Finding]:
    """Nothing is written to what is suspended, observed or broken; a rollback holds."""
    for span in judge.evidence.spans:
        counts[span.what] += 1
        if span.what not in ("suspended", "observed", "pinned"):
            continue
        for write in judge.writes:
            if write.project != span.project or not span.at + ORDER_S < write.at < span.until:
                continue
            if span.what != "pinned":
                yield Finding(span.what, write.at, _said(write, f"the Project is {span.what}"))
            elif write.action == PATCH and write.name == span.name:
                yield from _held(judge, span.version, write)
    for project, heads in judge.heads.items():
        for index, push in enumerate(heads):
            if project not in push.broken:
                continue
            counts["broken commits"] += 1
            until = heads[index + 1].at if index + 1 < len(heads) else float("inf")
            for write in judge.writes:
                within = write.project == project and push.done_at < write.at < until
                if within and not _seen(judge, project, write.at):
                    yield Finding("broken", write.at, _said(write, "the manifests are broken"))


def _seen(judge: _Judge, project: str, at: float) -> bool:
    """Whether what was seen of Git then may have been usable."""
    return any(project not in push.broken for push in judge.pushes(project, at))


def _held(judge: _Judge, version: str, write: Write) -> Iterator[Finding]:
    agent = judge.agent(write.project, write.name, write.at)
    after = judge.shares(agent, write.ended_at + BLINK_S) if agent else ()
    if write.status == 200 and after and after != ((version, 100),):
        yield Finding("pinned", write.at, _said(write, f"it was rolled back to version {version}"))


def _said(write: Write, problem: str = "") -> str:
    version = f" version {write.version}" if write.version else ""
    text = (
        f"{write.client or 'somebody'}: {write.action} {write.project}/{write.name}{version} ({write.status})"
    )
    return f"{text}: {problem}" if problem else text


def clients(writes: Iterable[Write]) -> set[str]:
    """The processes of the service that wrote anything."""
    return {write.client for write in writes if write.client}


__all__ = ["SWITCH", "Finding", "Verdict", "check", "clients"]

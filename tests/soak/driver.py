"""Does at random what developers, people in the portal, operators and bad luck do, and undoes bad luck."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from tests.soak.evidence import Span
from tests.soak.scene import Replica, Scene
from tests.soak.wanted import Project, Repository

Undo = Callable[[], None]

# Faults of requests: what to match, what happens, and how often.
_FAULTS: Final[tuple[dict[str, Any], ...]] = (
    {"action": {"status": 429, "headers": {"Retry-After": "1"}}, "times": 5},
    {"action": {"status": 429}, "times": 5},
    {"match": {"method": "GET"}, "action": {"status": 500}, "times": 5},
    {"match": {"method": "POST"}, "action": {"status": 500}, "times": 2},
    {"match": {"method": "POST"}, "action": {"status": 503, "after_commit": True}, "times": 2},
    {"match": {"method": "PATCH"}, "action": {"status": 503, "after_commit": True}, "times": 2},
    {"match": {"method": "POST"}, "action": {"drop": True}, "times": 2},
    {"match": {"method": "POST"}, "action": {"drop": True, "after_commit": True}, "times": 2},
    {"match": {"method": "PATCH"}, "action": {"drop": True, "after_commit": True}, "times": 2},
    {"match": {"method": "DELETE"}, "action": {"drop": True, "after_commit": True}, "times": 2},
    {"match": {"method": "POST"}, "action": {"status": 409}, "times": 3},
    {"match": {"method": "POST"}, "action": {"delay_s": 3.0, "after_commit": True}, "times": 2},
    {"action": {"delay_s": 1.0}, "times": 8},
)
# Switches of a project, for a while.
_SETTINGS: Final[tuple[dict[str, Any], ...]] = (
    {"latency_s": 0.3},
    {"provisioning.delay_s": 6.0},
    {"provisioning.outcome": "failed"},
    {"list_lag_s": 3.0},
    {"rate_limit.per_second": 20, "rate_limit.burst": 20},
    {"server_added.unknown": "random"},
)
USUAL: Final = {"provisioning.delay_s": 0.5}


@dataclass
class _Later:
    at: float
    undo: Undo


class Driver:
    """One action after the other until the time is over; `settle` takes back what was only for a while."""

    def __init__(self, scene: Scene, random_: random.Random) -> None:
        self.scene, self.random = scene, random_
        self.did: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self._later: list[_Later] = []
        self._open: dict[tuple[str, ...], Span] = {}
        actions: dict[Callable[[], bool], int] = {
            self.push_a_change: 10,
            self.push_new_agents: 3,
            self.push_a_removal: 3,
            self.push_many_removals: 1,
            self.push_a_revert: 2,
            self.push_by_force: 2,
            self.push_something_broken: 2,
            self.edit_in_the_portal: 6,
            self.move_traffic: 2,
            self.delete_by_hand: 2,
            self.make_a_stranger: 1,
            self.fault_of_requests: 8,
            self.fault_of_a_project: 5,
            self.kill: 2,
            self.pause: 2,
            self.stop_the_database: 1,
            self.reload: 2,
            self.suspend: 2,
            self.roll_back: 3,
            self.sync: 2,
        }
        self._actions = [action for action, weight in actions.items() for _ in range(weight)]

    def drive(self, until: float) -> None:
        """Act until that moment (monotonic seconds); everything once, and then at random."""
        once = list(dict.fromkeys(self._actions))
        self.random.shuffle(once)
        while time.monotonic() < until:
            self._undo(time.monotonic())
            self._try(once.pop() if once else self.random.choice(self._actions))
            time.sleep(self.random.uniform(0.1, 0.9))

    def settle(self) -> None:
        """End every fault and every order, and let everything run."""
        self.scene.database_up()
        for replica in self.scene.replicas:
            self.scene.revive(replica)
        deadline = time.monotonic() + 60
        while self._later and time.monotonic() < deadline:
            self._undo(inf)
            time.sleep(0.2)
        if self._later:
            raise RuntimeError(f"{len(self._later)} things could not be taken back")
        for repository in self.scene.repositories:
            for project in repository.projects.values():
                self._usual(project)
        self.scene.configure()

    def _try(self, action: Callable[[], bool]) -> None:
        name = action.__name__.replace("_", " ")
        try:
            if action():
                self.did[name] += 1
        except OSError:
            # A fault met us, or a process that is away: that is what this is about.
            self.failed[name] += 1

    def _undo(self, now: float) -> None:
        due = [later for later in self._later if later.at <= now]
        self._later = [later for later in self._later if later.at > now]
        for later in due:
            try:
                later.undo()
            except (OSError, RuntimeError):
                self._later.append(_Later(time.monotonic() + 0.5, later.undo))

    def _after(self, least_s: float, most_s: float, undo: Undo) -> None:
        self._later.append(_Later(time.monotonic() + self.random.uniform(least_s, most_s), undo))

    # Developers

    def _somewhere(self, *, writing: bool = True) -> tuple[Repository, Project]:
        repository = self.random.choice(self.scene.repositories)
        found = [project for project in repository.projects.values() if not (writing and project.observe)]
        return repository, self.random.choice(found)

    def _pushed(self, repository: Repository, message: str, *, force: bool = False) -> bool:
        self.scene.hear(repository)
        repository.push(message, force=force)
        return True

    def push_a_change(self) -> bool:
        repository, project = self._somewhere(writing=False)
        if not project.agents:
            return False
        names = sorted(project.agents)
        for name in self.random.sample(names, min(len(names), self.random.choice((1, 1, 1, 3)))):
            repository.change(project, name)
        return self._pushed(repository, "Change")

    def push_new_agents(self) -> bool:
        repository, project = self._somewhere()
        for _ in range(self.random.choice((1, 2))):
            repository.new_agent(project)
        return self._pushed(repository, "Add")

    def push_a_removal(self) -> bool:
        repository, project = self._somewhere()
        if len(project.agents) < 8:
            return False
        project.agents.pop(self.random.choice(sorted(project.agents)))
        return self._pushed(repository, "Remove")

    def push_many_removals(self) -> bool:
        repository, project = self._somewhere()
        if len(project.agents) < 12:
            return False
        for name in self.random.sample(sorted(project.agents), 7):
            project.agents.pop(name)
        return self._pushed(repository, "Remove many")

    def push_a_revert(self) -> bool:
        repository, _ = self._somewhere()
        return repository.back() and self._pushed(repository, "Revert")

    def push_by_force(self) -> bool:
        repository, project = self._somewhere()
        if not repository.rewind():
            return False
        if project.agents and self.random.random() < 0.5:
            repository.change(project, self.random.choice(sorted(project.agents)))
        return self._pushed(repository, "Rewrite", force=True)

    def push_something_broken(self) -> bool:
        repository, project = self._somewhere()
        if project.name in repository.broken:
            return False
        repository.broken.add(project.name)

        def repair() -> None:
            repository.broken.discard(project.name)
            self._pushed(repository, "Repair")

        self._after(2, 25, repair)
        return self._pushed(repository, "Break")

    # People in the portal

    def _agent(self, project: Project) -> dict[str, Any]:
        agents: list[dict[str, Any]] = self.scene.call("GET", project.name, "/agents?limit=100")["data"]
        return self.random.choice(agents) if agents else {}

    def edit_in_the_portal(self) -> bool:
        _, project = self._somewhere()
        agent = self._agent(project)
        if not agent:
            return False
        latest = agent["versions"]["latest"]
        definition = dict(latest["definition"])
        word = f"by hand {self.random.getrandbits(24):06x}"
        field = {"external": "otel_agent_id", "hosted": "cpu", "workflow": "workflow"}.get(
            definition["kind"], "instructions"
        )
        definition[field] = {
            "cpu": "2" if definition.get("cpu") == "1" else "1",
            "workflow": f"kind: workflow\nactions:\n  - kind: SendActivity\n    activity: {word}\n",
        }.get(field, word)
        # The portal carries the metadata along, the mark included; other tools do not.
        metadata = latest.get("metadata") or {} if self.random.random() < 0.6 else {}
        body = {"definition": definition, "metadata": metadata}
        self.scene.call("POST", project.name, f"/agents/{agent['name']}/versions", body)
        return True

    def move_traffic(self) -> bool:
        _, project = self._somewhere()
        agent = self._agent(project)
        if not agent:
            return False
        versions = self.scene.call("GET", project.name, f"/agents/{agent['name']}/versions?limit=100")["data"]
        active = [version["version"] for version in versions if version["status"] == "active"]
        if not active:
            return False
        one, two = self.random.choice(active), self.random.choice(active)
        shares = {one: 100} if one == two or self.random.random() < 0.5 else {one: 60, two: 40}
        rules = [
            {"type": "FixedRatio", "agent_version": version, "traffic_percentage": share}
            for version, share in shares.items()
        ]
        body = {"agent_endpoint": {"version_selector": {"version_selection_rules": rules}}}
        self.scene.call("PATCH", project.name, f"/agents/{agent['name']}", body)
        return True

    def delete_by_hand(self) -> bool:
        _, project = self._somewhere()
        agent = self._agent(project)
        if not agent:
            return False
        self.scene.call("DELETE", project.name, f"/agents/{agent['name']}")
        return True

    def make_a_stranger(self) -> bool:
        _, project = self._somewhere()
        definition = {"kind": "prompt", "model": "gpt-5-mini", "instructions": "Nobody knows me."}
        name = f"stranger-{self.random.getrandbits(24):06x}"
        self.scene.call("POST", project.name, f"/agents/{name}/versions", {"definition": definition})
        return True

    # Bad luck

    def fault_of_requests(self) -> bool:
        _, project = self._somewhere()
        self.scene.service.faults(project.name, [self.random.choice(_FAULTS)])
        self._after(3, 12, lambda: self._usual(project))
        return True

    def fault_of_a_project(self) -> bool:
        _, project = self._somewhere()
        self.scene.service.settings(project.name, **self.random.choice(_SETTINGS))
        self._after(3, 12, lambda: self._usual(project))
        return True

    def _usual(self, project: Project) -> None:
        self.scene.service.unset(project.name)
        self.scene.service.settings(project.name, **USUAL)

    def _victim(self) -> Replica | None:
        """A replica, unless something is wrong already: the others shall go on."""
        if self.scene.database_down_since or any(replica.trouble for replica in self.scene.replicas):
            return None
        return self.random.choice(self.scene.replicas)

    def kill(self) -> bool:
        # The first of several lives as long as the run, so that its memory can be watched.
        victim = self._victim()
        if victim is None or (victim.number == 1 and len(self.scene.replicas) > 1):
            return False
        self.scene.kill(victim)
        self._after(0.5, 4, lambda: self._revive(victim))
        return True

    def pause(self) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        self.scene.pause(victim)
        self._after(1, 8, lambda: self._revive(victim))
        return True

    def _revive(self, replica: Replica) -> None:
        if self.scene.database_down_since:
            raise RuntimeError("it could not start without the database")
        self.scene.revive(replica)

    def stop_the_database(self) -> bool:
        if self.scene.server is None or self._victim() is None:
            return False
        self.scene.database_down()
        self._after(0.5, 5, self.scene.database_up)
        return True

    # Operators

    def reload(self) -> bool:
        if self.random.random() < 0.3:
            for replica in self.scene.replicas:
                replica.config.write_text(replica.config.read_text().replace('"listen"', '"lissen"'))
            # Without an address the next configuration would listen elsewhere.
            self._after(3, 6, self._repair_configuration)
        else:
            self.scene.configure(limits={"webhooks_per_minute": self.random.randint(500, 900)})
        return True

    def _repair_configuration(self) -> None:
        for replica in self.scene.replicas:
            replica.config.write_text(replica.config.read_text().replace('"lissen"', '"listen"'))

    def _order(self, path: str, body: dict[str, Any], method: str = "POST") -> bool:
        served = self.scene.any()
        if served is None:
            return False
        served.post(path, body, method)
        return True

    def suspend(self) -> bool:
        _, project = self._somewhere()
        key = ("suspended", project.name)
        if key in self._open or not self._order(f"/projects/{project.name}/suspend", {"why": "soak"}):
            return False
        self._open[key] = Span("suspended", time.time(), project=project.name)

        def resume() -> None:
            at = time.time()
            if not self._order(f"/projects/{project.name}/resume", {}):
                raise RuntimeError("nobody can be asked")
            self.scene.spans.append(replace(self._open.pop(key), until=at))

        self._after(3, 12, resume)
        return True

    def roll_back(self) -> bool:
        _, project = self._somewhere()
        agent = self._agent(project)
        key = ("pinned", project.name, agent.get("name", ""))
        if not agent or key in self._open or agent["name"] not in project.agents:
            return False
        path = f"/agents/{agent['name']}/versions?limit=100"
        versions = self.scene.call("GET", project.name, path)["data"]
        older = [version["version"] for version in versions[1:] if version["status"] == "active"]
        if not older:
            return False
        version, at = self.random.choice(older), time.time()
        order = f"/projects/{project.name}/resources/Agent/{agent['name']}/rollback"
        if not self._order(order, {"version": version, "why": "soak", "for": "60s"}):
            return False
        span = Span("pinned", time.time(), at + 60, project.name, agent["name"], version)
        self._open[key] = span

        def unpin() -> None:
            ended = time.time()
            if ended < span.until - 1 and not self._order(order + "?why=soak", {}, "DELETE"):
                raise RuntimeError("nobody can be asked")
            self.scene.spans.append(replace(self._open.pop(key), until=min(ended, span.until)))

        self._after(5, 70, unpin)
        return True

    def sync(self) -> bool:
        _, project = self._somewhere(writing=False)
        return self._order(f"/projects/{project.name}/sync", {})


def told(driver: Driver) -> str:
    """What was done and how often."""
    return json.dumps(dict(driver.did.most_common())).strip("{}").replace('"', "")

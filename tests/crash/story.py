"""One project with every kind of change in it: where it starts, what Git wants, and how it has to end."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from reconciler.resource import Desired
from tests.properties.lives import mark_text, version
from tests.properties.manifests import desired_of
from tests.world import World, hosted, prompt

Json = Any

CARD: Final = {"version": "2", "skills": []}
_CODE: Final = {"runtime": "python_3_13", "entry_point": ["python", "main.py"]}


def _coded() -> Json:
    definition = hosted(code_configuration=_CODE)
    del definition["container_configuration"]
    return definition


def _image(tag: int) -> Json:
    return hosted(f"registry.example.com/bot:{tag}")


# What Git wants now, by agent; `removed` had a manifest and has none.
WANTED: Final[Mapping[str, Json]] = {
    "again": {"definition": _image(2)},
    "card": {"definition": {"kind": "workflow", "workflow": "kind: workflow"}, "card": CARD},
    "coded": {"definition": _coded(), "code": {"path": "app@2"}},
    "created": {"definition": prompt("New"), "card": CARD},
    "direct": {"definition": prompt("Two")},
    "disabled": {"definition": prompt("One"), "state": "disabled"},
    "enabled": {"definition": prompt("Two"), "state": "enabled"},
    "manual": {
        "definition": prompt("Two"),
        "release": {"strategy": "manual"},
        "endpoint": {
            "version_selector": {
                "version_selection_rules": [
                    {"type": "FixedRatio", "agent_version": "1", "traffic_percentage": 100}
                ]
            }
        },
    },
    "pinned": {"definition": _image(2)},
    "pinned-prompt": {"definition": prompt("Two"), "release": {"strategy": "pinned"}},
    "retired": {"definition": prompt("Four"), "release": {"keep": 1, "keep_days": 0}},
    "reverted": {"definition": _image(1)},
    "selected": {"definition": prompt("Two")},
}


def wanted(names: Collection[str] = tuple(WANTED)) -> list[Desired]:
    """The desired values of this story, or of some of its agents."""
    return [desired_of(name, WANTED[name]) for name in names if name in WANTED]


def _made(name: str, *specs: Json, failed: int = 0, **more: Any) -> Json:
    """An agent whose versions we made one after the other; `failed` is the number of one that never ran."""
    versions = []
    for number, spec in enumerate(specs, 1):
        desired = desired_of(name, spec)
        status = "failed" if number == failed else "active"
        versions.append(version(number, desired.form, mark_text("ours", desired, number), status=status))
    return {"name": name, "versions": versions, **more}


def _to(number: int) -> Json:
    return [{"agent_version": str(number), "traffic_percentage": 100}]


def _says(text: str) -> Json:
    return {"definition": prompt(text)}


# What an earlier commit left of each agent; `created` is not there yet, and `theirs` is somebody else's.
LEFT: Final[Mapping[str, Json]] = {
    agent["name"]: agent
    for agent in (
        _made("again", {"definition": _image(1)}, WANTED["again"], failed=2, selector=_to(1)),
        _made("card", {"definition": WANTED["card"]["definition"]}, card={"version": "1", "skills": []}),
        _made("coded", {"definition": _coded(), "code": {"path": "app@1"}}),
        _made("direct", _says("One")),
        _made("disabled", _says("One")),
        _made("enabled", _says("One"), state="disabled"),
        _made("manual", _says("Zero"), _says("One"), selector=_to(2)),
        _made("pinned", {"definition": _image(1)}),
        _made("pinned-prompt", _says("One")),
        _made("removed", _says("One")),
        _made("retired", _says("One"), _says("Two"), _says("Three")),
        _made("reverted", {"definition": _image(1)}, {"definition": _image(2)}, selector=_to(2)),
        _made("selected", _says("One"), selector=_to(1)),
        {"name": "theirs", "versions": [version(1, _says("Theirs"), None)]},
    )
}


def start(world: World, *, dedupe: str, names: Collection[str] = tuple(LEFT)) -> None:
    """Those agents, in a project that starts versions at once."""
    kinds = ("prompt", "hosted", "workflow")
    world.settings(provisioning={"delay_s": 0}, dedupe=dict.fromkeys(kinds, dedupe))
    world.seed(*(LEFT[name] for name in names if name in LEFT))


def ends(world: World, everything: Callable[[World], Json]) -> Json:
    """What has to be the same however a run was disturbed: who serves what, by which rule, in which state."""
    return {name: _end(held) for name, held in everything(world).items()}


def _end(held: Json) -> Json:
    agent = held["agent"]
    endpoint = agent.get("agent_endpoint") or {}
    rules = (endpoint.get("version_selector") or {}).get("version_selection_rules")
    number = rules[0]["agent_version"] if rules else agent["versions"]["latest"]["version"]
    serving = next(item for item in held["versions"] if item["version"] == number)
    metadata = {key: value for key, value in serving["metadata"].items() if key != "reconciler"}
    return {
        "state": agent["state"],
        "card": agent.get("agent_card"),
        "by a rule": bool(rules),
        "shares": [rule["traffic_percentage"] for rule in rules or ()],
        "definition": serving["definition"],
        "metadata": metadata,
        "description": serving["description"],
        "status": serving["status"],
    }


def numbers(everything: Json) -> dict[str, list[int]]:
    """The numbers of each agent's versions, oldest first."""
    return {
        name: sorted(int(item["version"]) for item in held["versions"]) for name, held in everything.items()
    }

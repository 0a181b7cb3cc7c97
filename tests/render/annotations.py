"""How build servers read a log: workflow commands of GitHub, logging commands of Azure Pipelines."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command: its name, its properties and its message, unescaped."""

    name: str
    properties: dict[str, str]
    message: str


def github_commands(log: str) -> list[Command]:
    """Commands in the log of a step: lines of the form `::name key=value,key=value::message`."""
    found = []
    for line in log.split("\n"):
        match = re.match(r"\s*::([A-Za-z-]+)(?: ([^:]*(?:(?!::):[^:]*)*))?::(.*)$", line, re.DOTALL)
        if match:
            pairs = [pair.split("=", 1) for pair in (match[2] or "").split(",") if "=" in pair]
            properties = {key.strip(): _github(value, full=True) for key, value in pairs}
            found.append(Command(match[1], properties, _github(match[3])))
    return found


def _github(text: str, *, full: bool = False) -> str:
    for code, char in (("%0D", "\r"), ("%0A", "\n"), *((("%3A", ":"), ("%2C", ",")) if full else ())):
        text = text.replace(code, char)
    return text.replace("%25", "%")


def azure_commands(log: str) -> list[Command]:
    """Commands in the log of a task: `##vso[area.action key=value;key=value;]message` anywhere in a line."""
    found = []
    for line in log.split("\n"):
        start = line.lower().find("##vso[")
        if start >= 0:
            head, _, message = line[start + 6 :].partition("]")
            name, _, rest = head.partition(" ")
            pairs = [pair.split("=", 1) for pair in rest.split(";") if "=" in pair]
            properties = {key: _azure(value, full=True) for key, value in pairs}
            found.append(Command(name, properties, _azure(message)))
    return found


def _azure(text: str, *, full: bool = False) -> str:
    for code, char in (("%0D", "\r"), ("%0A", "\n"), *((("%3B", ";"), ("%5D", "]")) if full else ())):
        text = text.replace(code, char)
    return text.replace("%AZP25", "%")

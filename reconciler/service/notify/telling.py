"""Which events an address hears of, once each, in how many messages. Pure.

What was told is a number for each thing that can be told, which only grows: milliseconds, about when. A
thing is over once its recovery has a larger number, and the next trouble with it is news again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final
from urllib.parse import quote

from reconciler.globs import compiled
from reconciler.render.words import clean, plural
from reconciler.service.config_spec import NotifySpec, Occasion, seconds
from reconciler.service.records import EventRecord

OCCASIONS: Final[Mapping[str, Occasion]] = {
    "drift": "drift",
    "failure": "failure",
    "refused": "failure",
    "source-stale": "failure",
    "config-rejected": "failure",
    "recovery": "recovery",
    "source-recovered": "recovery",
    "config-reloaded": "recovery",
    "release": "release",
    "rollback": "release",
    "pin-expired": "release",
}
# Older ones wait for an address that does not answer in vain: they would be no news any more.
MOST_AGE_S: Final = 3600.0
_TROUBLE: Final = ("failure", "drift")
# More messages of one kind at a time become one.
_MOST_MESSAGES: Final = 5
_MOST_LINES: Final = 5
_MOST_CHARS: Final = 300
_TITLES: Final[Mapping[Occasion, str]] = {
    "drift": "Drift",
    "failure": "Failure",
    "recovery": "Recovered",
    "release": "Released",
}


@dataclass(frozen=True)
class Message:
    """One message, and what was told once it is sent: numbers by thing."""

    occasion: Occasion
    title: str
    body: str
    told: Mapping[str, int] = field(default_factory=dict)


def wanted(spec: NotifySpec, event: EventRecord, now: float) -> bool:
    """Whether the address asked for events like this one, and it is still news.

    What concerns no Project (sources, configuration) is for addresses that hear of every Project.
    """
    if OCCASIONS.get(event.type) not in spec.on or now - event.at > MOST_AGE_S:
        return False
    if not event.project:
        return "*" in spec.projects
    return any(compiled(glob).fullmatch(event.project) for glob in spec.projects)


def things(event: EventRecord) -> tuple[str, ...]:
    """The names of the numbers that decide whether this event is told; the first is its own."""
    occasion, scope = OCCASIONS[event.type], _scope(event)
    if occasion == "release":
        said = sha256(f"{event.type} {event.commit} {event.message}".encode()).hexdigest()[:12]
        return (f"release/{scope}/{event.resource}/{said}",)
    over = f"recovery/{scope}/"
    own = f"{occasion}/{scope}/{event.resource}"
    if occasion != "recovery":
        return tuple(dict.fromkeys((own, _any(scope), over + event.resource, over)))
    troubles = tuple(f"{trouble}/{scope}/{event.resource}" for trouble in _TROUBLE)
    return tuple(dict.fromkeys((own, over, _any(scope), *troubles)))


def _scope(event: EventRecord) -> str:
    if event.project:
        return event.project
    return f"source:{event.source}" if event.source else "service:"


def _any(scope: str) -> str:
    """Trouble with whatever it was: a recovery of the whole Project ends all of it."""
    return f"trouble/{scope}"


@dataclass
class _Telling:
    """What would be told of a row of events, one after the other."""

    spec: NotifySpec
    told: dict[str, int]
    now_ms: int

    def news(self, event: EventRecord) -> dict[str, int] | None:
        """The numbers to remember when this event is told; None when it is not."""
        occasion, names = OCCASIONS[event.type], things(event)
        stamp = max(self.now_ms, 1 + max(self.told.get(name, 0) for name in names))
        moved: tuple[str, ...] = (names[0],)
        match occasion:
            case "release":
                fresh = self._is_due(names[0], 0)
            case "recovery":
                fresh = self._ends(event, names)
            case _:
                fresh = self._is_due(names[0], max(self.told.get(name, 0) for name in names[2:]))
                moved = names[:2]
        if not fresh:
            return None
        news = dict.fromkeys(moved, stamp)
        self.told.update(news)
        return news

    def _is_due(self, name: str, over: int) -> bool:
        """Whether it was not told since it was last over, or too long ago."""
        at = self.told.get(name, 0)
        return at <= over or self.now_ms - at >= seconds(self.spec.repeat_after) * 1000

    def _ends(self, event: EventRecord, names: Sequence[str]) -> bool:
        """Whether trouble was told that this recovery ends."""
        over = max(self.told.get(name, 0) for name in names if name.startswith("recovery/"))
        troubles = [name for name in names if not name.startswith("recovery/")]
        if event.resource:
            troubles.remove(_any(_scope(event)))
        return any(self.told.get(name, 0) > over for name in troubles)


def messages(
    spec: NotifySpec, events: Iterable[EventRecord], told: Mapping[str, int], now: float, link: str
) -> tuple[Message, ...]:
    """The messages for these events, oldest first, those of one kind and Project as one.

    Args:
        told: the numbers by thing, as far as they are above 0.
        link: the address of the dashboard, "" where it is not known.
    """
    telling = _Telling(spec, dict(told), int(now * 1000))
    groups: dict[tuple[int, Occasion, str], _Group] = {}
    phases: dict[str, tuple[int, Occasion]] = {}
    for event in events:
        if not wanted(spec, event, now):
            continue
        news = telling.news(event)
        if news is None:
            continue
        occasion, scope = OCCASIONS[event.type], _scope(event)
        # Trouble after a recovery is a message behind it, so that the last one heard is how it is.
        phase, last = phases.get(scope, (0, occasion))
        phase += (occasion == "recovery") != (last == "recovery")
        phases[scope] = (phase, occasion)
        group = groups.setdefault((phase, occasion, scope), _Group(occasion, scope))
        group.events.append(event)
        group.told.update(news)
    found: list[Message] = []
    for phase, occasion in dict.fromkeys((phase, occasion) for phase, occasion, _ in sorted(groups)):
        alike = [group for key, group in groups.items() if key[:2] == (phase, occasion)]
        merged = [_merged(alike)] if len(alike) > _MOST_MESSAGES else alike
        found += [_message(group, link) for group in merged]
    return tuple(found)


@dataclass
class _Group:
    """Events of one kind that are told together."""

    occasion: Occasion
    scope: str
    events: list[EventRecord] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    scopes: Collection[str] = ()


def _merged(groups: Sequence[_Group]) -> _Group:
    whole = _Group(groups[0].occasion, "", scopes=tuple(group.scope for group in groups))
    for group in groups:
        whole.events += group.events
        whole.told.update(group.told)
    return whole


def _message(group: _Group, link: str) -> Message:
    where = plural(len(group.scopes), "Project") if group.scopes else _shown(group.scope)
    lines = [_line(event, named=bool(group.scopes)) for event in group.events[:_MOST_LINES]]
    if len(group.events) > _MOST_LINES:
        lines.append(f"… and {len(group.events) - _MOST_LINES:,} more")
    hints = [event.hint for event in group.events[:1] if event.hint]
    lines += [f"What to do: {defused(hints[0])}"] if hints else []
    if link:
        lines.append(page(link, "" if group.scopes else group.events[0].project))
    title = f"{_TITLES[group.occasion]}: {where}"
    return Message(group.occasion, title, "\n".join(lines), group.told)


def _shown(scope: str) -> str:
    kind, found, name = scope.partition(":")
    return f"{kind} {name}".strip() if found else defused(scope)


def _line(event: EventRecord, *, named: bool) -> str:
    of = f"{_shown(_scope(event))}: " if named else ""
    commit = f" ({clean(event.commit[:12])})" if event.commit and event.type != "drift" else ""
    return f"{of}{defused(event.message)}{commit}"


def defused(text: str) -> str:
    """One line for chats and mail: nobody is called by `@name`, nothing looks like a tag or a link's text."""
    line = clean(" ".join(text.split()))
    line = line if len(line) <= _MOST_CHARS else f"{line[: _MOST_CHARS - 1]}…"
    return line.replace("@", "@\u2060").replace("<", "‹").replace(">", "›").replace("](", "] (")


def page(link: str, project: str) -> str:
    """The address of a Project's page, or of the whole dashboard."""
    base = link.rstrip("/")
    return f"{base}/projects/{quote(project, safe='')}" if project else f"{base}/"

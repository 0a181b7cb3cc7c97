"""One live agent as a manifest with its files. Pure; whether it plans as no change is asked later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from reconciler import schema
from reconciler.cli.importing.yaml_text import NotRepresentable, dump
from reconciler.kinds.agent.normal import FOREIGN_METADATA, normal
from reconciler.kinds.agent.spec import MOST_METADATA
from reconciler.manifest import API_VERSION, NAME
from reconciler.masking import is_harmless, looks_secret, secret_form
from reconciler.pointers import pointer, without
from reconciler.resource import Health, Json, JsonObject, Live, Version, traffic_text

# A longer prompt is a text of its own: Markdown tools and reviewers read it better outside of YAML.
_MOST_BLOCK_LINES: Final = 40
_MOST_BLOCK_CHARS: Final = 20_000
# The endpoint of an agent that nobody configured (recorded bodies).
_USUAL_ENDPOINT: Final = {
    "protocol_configuration": {"responses": {}},
    "authorization_schemes": [{"type": "Entra"}],
}
# Names that Windows keeps for devices, whatever stands behind the dot.
_DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
)
_WORDS: Final = frozenset({"$value", "$text", "$file"})
_NAMED: Final = frozenset({"environment_variables", "headers"})


@dataclass(frozen=True)
class LeftOut:
    """An agent that is not written: why, and what its owner can do."""

    name: str
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Shape:
    """How much a manifest says beside the plain facts, from least to most.

    `lenient` adds `schema: warn`. `pinned` names the version that serves, so that nothing else of the
    manifest is released until the pin is removed; `why` is said in a comment above it.
    """

    lenient: bool = False
    pinned: bool = False
    why: str = ""


@dataclass(frozen=True)
class Written:
    """What an agent becomes: files by path (the manifest first), the version they show, what to know."""

    name: str
    version: str
    files: Mapping[str, bytes]
    notes: tuple[str, ...] = ()

    @property
    def manifest(self) -> str:
        """The path of the manifest."""
        return next(iter(self.files))


@dataclass(frozen=True)
class Agent:
    """A live agent with every version that serves, and the folder of its code if it has one.

    `labels` is what the Project selects by, `owners` are the names that it goes by in marks.
    """

    live: Live
    code: Mapping[str, bytes] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    owners: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        return self.live.key.name

    @property
    def base(self) -> Version | None:
        """The version that a manifest shows: the newest active one that serves, else the newest active."""
        active = [v for v in self.live.known if v.health is Health.ACTIVE and not v.draft]
        serving = {number for number, share in self.live.traffic if share}
        return next((v for v in active if v.number in serving), active[0] if active else None)

    @property
    def is_old_shape(self) -> bool:
        """Whether its definition is one that the service takes no longer, and manifests cannot say."""
        return self.base is not None and _definition(self.base, self.name)[1]


def unfit(agent: Agent) -> LeftOut | None:
    """Why an agent cannot become a manifest at all, whatever its shape; None when it can."""
    live, name = agent.live, agent.name
    if not NAME.fullmatch(name):
        fix = "Manifests name agents by 1 to 63 letters, digits and inner hyphens, as the service does."
        return LeftOut(name, "its name cannot be written in a manifest", fix)
    if live.latest is None:
        return LeftOut(name, "it has no version", "Create one, or delete the agent.")
    number, health = live.latest.number, live.latest.health
    serving = [live.version(version) for version, share in live.traffic if share]
    if not any(version and version.health is Health.ACTIVE for version in serving):
        if health is Health.CREATING:
            return LeftOut(name, f"version {number} is still being made", "Import again once it is active.")
        reason = (
            f"version {traffic_text(live.traffic)} takes its traffic and is {health}, so that nothing serves"
        )
        fix = "Send the traffic to an active version, or make one that starts; then import again."
        return LeftOut(name, reason, fix)
    if agent.base is not None:
        literal = next(_literals(agent.base.form, ()), None)
        if literal:
            reason = f"`{literal}` holds a key that manifests read as their own ({', '.join(sorted(_WORDS))})"
            fix = (
                "Put that value under `values` of the Project, where it is literal, and write "
                "`{$value: NAME}` in a manifest of your own."
            )
            return LeftOut(name, reason, fix)
    return None


def write(agent: Agent, shape: Shape) -> Written | LeftOut:
    """The manifest of an agent in this shape, with its prompt and code beside it."""
    base, name = agent.base, agent.name
    assert base is not None
    spec, comments, notes = _spec(agent, base, shape)
    files: dict[str, bytes] = {}
    definition = spec["definition"]
    text = definition.get("instructions")
    if isinstance(text, str) and _is_long(text):
        path = f"prompts/{stem(name)}.md"
        files[f"agents/{path}"] = text.encode()
        spec["definition"] = {**definition, "instructions": {"$file": path}}
    files |= {f"code/{stem(name)}/{path}": content for path, content in agent.code.items()}
    document = {
        "apiVersion": API_VERSION,
        "kind": agent.live.key.kind,
        "metadata": {"name": name} | ({"labels": dict(agent.labels)} if agent.labels else {}),
        "spec": spec,
    }
    try:
        manifest = dump(document, {("spec", *path): text for path, text in comments.items()})
    except (NotRepresentable, UnicodeEncodeError) as error:
        return LeftOut(name, f"YAML cannot hold its definition: {error}", "Make it simpler in the portal.")
    whole = {f"agents/{stem(name)}.yaml": manifest.encode(), **files}
    return Written(name, base.number, whole, (*agent.notes, *notes))


def stem(name: str) -> str:
    """The name of an agent's files, without an ending; also where a file may not have the agent's name."""
    return f"{name}-agent" if name.casefold() in _DEVICES else name


_Comments = dict[tuple[str, ...], str]


def _spec(agent: Agent, base: Version, shape: Shape) -> tuple[JsonObject, _Comments, list[str]]:
    """The manifest's spec in the order of the README, comments by path, and notes for the report."""
    live, name = agent.live, agent.name
    comments: _Comments = {}
    notes: list[str] = []
    definition, old = _definition(base, name)
    form = normal(base.form, name)
    secrets = [pointer(path) for path in _secrets(definition, ("definition",))]
    ignore = list(secrets)
    if secrets:
        definition = without({"definition": definition}, secrets)["definition"]
        comments["lifecycle", "ignore"] = (
            "These look like secrets, so their values stay out of Git; updates keep what is live.\n"
            "Better: a connection, and ${{connections.NAME.credentials.key}} as the value."
        )
        notes.append(f"looks secret, so its value was left out of Git: {', '.join(secrets)}")
    spec: JsonObject = {}
    if form.get("description"):
        spec["description"] = form["description"]
    metadata = _metadata(base)
    if _is_metadata(metadata):
        spec |= {"metadata": metadata} if metadata else {}
    else:
        ignore.append("/metadata")
        notes.append(
            f"its metadata ({len(metadata)} pairs) has no room for the mark, so it is ignored; an update "
            "needs fewer pairs"
        )
    spec["definition"] = definition
    if agent.code:
        spec["code"] = {"path": f"../code/{stem(name)}"}
    spec |= _details(live)
    if not live.enabled:
        spec["state"] = "disabled"
    if len(live.traffic) > 1:
        spec["release"] = {"strategy": "manual"}
    elif shape.pinned:
        spec["release"] = {"version": base.number}
        comments["release", "version"] = shape.why
        notes.append(f"pinned by `release.version`: {shape.why.splitlines()[0][:-1].lower()}")
    if ignore:
        spec["lifecycle"] = {"ignore": ignore}
    if shape.lenient:
        spec["schema"] = "warn"
        notes.append("`schema: warn`: parts of it are newer than the schemas of this program")
    return spec, comments, [*notes, *_remarks(agent, base, old)]


def _remarks(agent: Agent, base: Version, old: bool) -> Iterator[str]:
    """What a person should know about an agent before managing it."""
    live = agent.live
    if live.latest is not None and live.latest.number != base.number:
        newer = live.latest
        fate = "" if newer.health is Health.ACTIVE else f" ({newer.health})"
        yield f"version {base.number} serves; the newer version {newer.number}{fate} is not in the manifest"
    mark = base.mark
    if mark and mark.genuine(live.key, base.number) and mark.owner not in agent.owners:
        yield f"carries the mark of `{mark.owner}`; updates need that owner, `owner_aliases` or --take-over"
    if live.disabled_by:
        yield f"disabled by its {live.disabled_by}, which no manifest says"
    if old:
        yield "the manifest has today's shape of its definition"
    if any(secret_form(text) for _, text in _texts(base.form.get("definition"), ())):
        yield "holds something with the form of a secret; look before you commit"


def _definition(base: Version, name: str) -> tuple[JsonObject, bool]:
    """The definition without what the service adds, in today's shape, and whether it had an older one."""
    stated = base.form.get("definition", {})
    bare = _shared(normal(base.form, name).get("definition", {}), stated)
    today, findings = schema.upgrade(bare)
    return {"kind": today.get("kind"), **today}, bool(findings) and today != bare


def _shared(cleaned: Json, stated: Json) -> Json:
    """The cleaned value without the defaults that cleaning put in."""
    if isinstance(cleaned, dict) and isinstance(stated, dict):
        return {key: _shared(value, stated[key]) for key, value in cleaned.items() if key in stated}
    return cleaned


def _metadata(base: Version) -> JsonObject:
    pairs = base.form.get("metadata") or {}
    return {key: value for key, value in pairs.items() if key not in FOREIGN_METADATA}


def _is_metadata(pairs: JsonObject) -> bool:
    return len(pairs) <= MOST_METADATA and all(isinstance(value, str) for value in pairs.values())


def _details(live: Live) -> JsonObject:
    """Endpoint and card, without what every agent has and without traffic that the release rule moves."""
    found: JsonObject = {}
    endpoint, _ = schema.upgrade_endpoint(live.details.get("agent_endpoint") or {})
    selector = endpoint.get("version_selector")
    rest = {key: value for key, value in endpoint.items() if key != "version_selector" and value is not None}
    split = {"version_selector": selector} if len(live.traffic) > 1 else {}
    if rest == _USUAL_ENDPOINT:
        rest = {}
    if split or rest:
        found["endpoint"] = split | rest
    if live.details.get("agent_card"):
        found["card"] = live.details["agent_card"]
    return found


def _is_long(text: str) -> bool:
    """Whether a prompt is better a file; carriage returns and marks at its start would not survive there."""
    long = text.count("\n") > _MOST_BLOCK_LINES or len(text) > _MOST_BLOCK_CHARS
    return long and "\r" not in text and not text.startswith("\ufeff") and "\x00" not in text


def _secrets(value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """The paths of environment variables, headers and authorizations that look secret."""
    for at, text in _texts(value, path):
        named = len(at) > 1 and at[-2] in _NAMED and looks_secret(str(at[-1]), text)
        if not is_harmless(text) and (named or at[-1] == "authorization"):
            yield at


def _texts(value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    if isinstance(value, str):
        yield path, value
    for key, item in _children(value):
        yield from _texts(item, (*path, key))


def _literals(value: Json, path: tuple[str | int, ...]) -> Iterator[str]:
    """Pointers of mappings that would be filled in instead of sent."""
    if isinstance(value, dict) and value.keys() & _WORDS:
        yield pointer(path)
    for key, item in _children(value):
        yield from _literals(item, (*path, key))


def _children(value: Json) -> Iterator[tuple[str | int, Json]]:
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        yield from enumerate(value)

"""Files of the source into manifests: our envelope, with places, all problems of a file at once."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from posixpath import dirname
from typing import Final, Protocol

from reconciler.errors import Finding, Place, Problem, SourceError
from reconciler.globs import joined
from reconciler.resource import Code, Json, JsonObject
from reconciler.suggest import did_you_mean, listed
from reconciler.yaml_nodes import Document, Parsed, parse

API_VERSION: Final = "reconciler/v1"
PROJECT: Final = "Project"
# How much more than the newest load needed may be kept, so that not each load sorts out.
_SLACK: Final = 1.25
# The service's rule for agent names (hosted agents docs); our own names follow it.
NAME: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_ENVELOPE: Final = ("apiVersion", "kind", "metadata", "spec")
_METADATA: Final = ("name", "labels")


class SourceFile(Protocol):
    """One file of the source: `blob` is the id of its content, `size` in bytes; a `link` is never read."""

    @property
    def path(self) -> str: ...
    @property
    def link(self) -> bool: ...
    @property
    def blob(self) -> str: ...
    @property
    def size(self) -> int: ...


class Snapshot(Protocol):
    """The source at one moment, see `source.py`. `scope` is the folder that was asked for, "" for all."""

    @property
    def root(self) -> str: ...
    @property
    def scope(self) -> str: ...
    @property
    def origin(self) -> str: ...
    @property
    def files(self) -> Mapping[str, SourceFile]: ...
    def read(self, path: str) -> bytes: ...
    def tree(self, folder: str) -> str: ...
    def code(
        self, folder: str, ignore_file: str = ".agentignore"
    ) -> tuple[Code | None, tuple[Problem, ...]]: ...


@dataclass(frozen=True, slots=True)
class Manifest:
    """One document of ours: an envelope whose kind and name can be told, and its file.

    `patched_at` are the patches of a Project that changed it: what is wrong may be written there.
    `code_folder` is the folder that `spec.code.path` names, from the root; None without one.
    """

    file: str
    document: Document
    kind: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    patched_at: tuple[Place, ...] = ()
    code_folder: str | None = None

    @property
    def value(self) -> JsonObject:
        """The whole document."""
        value: JsonObject = self.document.value
        return value

    @property
    def folder(self) -> str:
        """The folder of the file, from the root; "" for the root."""
        return dirname(self.file)

    @property
    def place(self) -> Place:
        """Where its name is written."""
        return self.at(("metadata", "name"))

    def at(self, path: tuple[str | int, ...], *, on_key: bool = False) -> Place:
        """The place of a value, or of the nearest one around it that was written."""
        line, column = self.document.place(path, on_key=on_key)
        return Place(self.file, line, column)

    def problem(self, finding: Finding, *prefix: str | int) -> Problem:
        """A finding below `prefix`, with its place."""
        found = problem(self.file, self.document, finding, prefix)
        if not self.patched_at:
            return found
        patches = " and ".join(str(place) for place in self.patched_at)
        return replace(found, hint=f"{found.hint} The patch in {patches} changed this manifest.".strip())


def problem(file: str, document: Document, finding: Finding, prefix: tuple[str | int, ...] = ()) -> Problem:
    """A finding as a problem with its place in the file."""
    path = (*prefix, *finding.path)
    line, column = document.place(path, on_key=finding.on_key)
    dotted = ".".join(str(part) for part in path)
    return Problem(Place(file, line, column), dotted, finding.message, finding.hint, finding.note)


@dataclass(frozen=True, slots=True)
class Misformed:
    """A Project with a wrong envelope; `manifest` is None where its name cannot be told."""

    manifest: Manifest | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """What one file holds, with every problem by what it is about.

    `broken` are documents of ours with a wrong envelope, whose kind and name can be told all the same.
    `faults` are problems of the text, `problems` those of envelopes but for the Projects in `misformed`, and
    `strange` those of documents that are not ours at all, such as a CI pipeline's. `code_folders` are those
    that its manifests name, from the root. `whole` is False where more documents may follow a fault.
    """

    manifests: tuple[Manifest, ...] = ()
    broken: tuple[Manifest, ...] = ()
    faults: tuple[Problem, ...] = ()
    problems: tuple[Problem, ...] = ()
    misformed: tuple[Misformed, ...] = ()
    strange: tuple[Problem, ...] = ()
    code_folders: tuple[str, ...] = ()
    whole: bool = True

    @property
    def project_problems(self) -> tuple[Problem, ...]:
        """The problems of the envelopes of Projects."""
        return tuple(problem for one in self.misformed for problem in one.problems)

    @property
    def flawless(self) -> bool:
        """Whether everything in the file is a manifest without problems."""
        return not (self.broken or self.faults or self.problems or self.strange)


class Known:
    """What earlier loads of one source read, so that the next one reads only what changed.

    For one source and one set of kinds, and one load at a time. Holds what the newest load needed.
    """

    def __init__(self) -> None:
        self.parsed: dict[str, Parsed] = {}
        self.contents: dict[str, tuple[str, Content]] = {}
        self.mentions: dict[re.Pattern[bytes], dict[str, bool]] = {}

    def fork(self) -> Known:
        """The same to go on from, for a load of its own."""
        other = Known()
        other.parsed, other.contents = dict(self.parsed), self.contents
        other.mentions = {pattern: dict(found) for pattern, found in self.mentions.items()}
        return other

    def settle(self, contents: Mapping[str, Content], snapshot: Snapshot) -> None:
        """Keep what a load has looked at; forget what it did not, now and then."""
        files = snapshot.files
        self.contents = {path: (files[path].blob, content) for path, content in contents.items()}
        blobs = {blob for blob, _ in self.contents.values()}
        if len(self.parsed) > len(blobs) * _SLACK + 100:
            self.parsed = {blob: parsed for blob, parsed in self.parsed.items() if blob in blobs}
        for pattern, found in self.mentions.items():
            if len(found) > len(files) * _SLACK + 100:
                there = {file.blob for file in files.values()}
                self.mentions[pattern] = {blob: hit for blob, hit in found.items() if blob in there}


class Library:
    """Reads each file of a snapshot at most once.

    Args:
        kinds: names of the kinds that a manifest may have, Project among them.
        known: what earlier loads read; whoever keeps it from run to run parses only what changed.
    """

    def __init__(self, snapshot: Snapshot, kinds: Collection[str], known: Known | None = None) -> None:
        self.snapshot = snapshot
        self._kinds = sorted({*kinds, PROJECT})
        self._known = known
        self._bytes: dict[str, bytes] = {}
        self._contents: dict[str, Content] = {}
        self._unread: set[str] = set()

    def settle(self) -> None:
        """Hand what was read to the next load; call it when this one is over."""
        if self._known is not None:
            read = {path: found for path, found in self._contents.items() if path not in self._unread}
            self._known.settle(read, self.snapshot)

    def content(self, path: str) -> Content:
        """The manifests in a file."""
        found = self._contents.get(path)
        if found is None:
            try:
                found = self._kept(path) or self._content(path)
            except SourceError as error:
                self._unread.add(path)
                found = Content(faults=(Problem(Place(path), "", str(error), error.hint),), whole=False)
            self._contents[path] = found
            self._bytes.pop(path, None)
        return found

    def _kept(self, path: str) -> Content | None:
        """The content as an earlier load found it, where the file is still the same."""
        kept = self._known.contents.get(path) if self._known else None
        if kept is None:
            return None
        file = self.snapshot.files[path]
        return kept[1] if kept[0] == file.blob and not file.link else None

    def mentions(self, path: str, pattern: re.Pattern[bytes]) -> bool:
        """Whether the text of a file matches, without parsing it; False when it cannot be read."""
        try:
            if self._known is None:
                return pattern.search(self.bytes(path)) is not None
            file, found = self.snapshot.files[path], self._known.mentions.setdefault(pattern, {})
            blob = file.blob
            if file.link or blob not in found:
                found[blob] = pattern.search(self.bytes(path)) is not None
            return found[blob]
        except SourceError:
            return False

    def bytes(self, path: str) -> bytes:
        """The content of a file, kept until it is parsed."""
        if path not in self._bytes:
            self._bytes[path] = self.snapshot.read(path)
        return self._bytes[path]

    def _content(self, path: str) -> Content:
        parsed = self._parsed(path)
        faults = tuple(
            Problem(Place(path, fault.line, fault.column), "", fault.message, fault.hint)
            for fault in parsed.faults
        )
        problems: list[Problem] = []
        misformed: list[Misformed] = []
        manifests: list[Manifest] = []
        broken: list[Manifest] = []
        strange: list[Problem] = []
        for document in parsed.documents:
            value = document.value
            if not is_ours(value):
                strange.append(_strange(path, document))
                continue
            found = [problem(path, document, item) for item in envelope_findings(value, self._kinds)]
            manifest = _manifest(path, document, self._kinds)
            if value.get("kind") != PROJECT:
                problems += found
            elif found:
                misformed.append(Misformed(manifest, tuple(found)))
            if manifest is not None:
                (broken if found else manifests).append(manifest)
        return Content(
            tuple(manifests),
            tuple(broken),
            faults,
            tuple(problems),
            tuple(misformed),
            tuple(strange),
            tuple(m.code_folder for m in (*manifests, *broken) if m.code_folder is not None),
            parsed.whole,
        )

    def _parsed(self, path: str) -> Parsed:
        file = self.snapshot.files[path]
        # The id of a link is that of its target's name; reading it is the way to its refusal.
        if self._known is None or file.link:
            return parse(self.bytes(path))
        blob = file.blob
        parsed = self._known.parsed.get(blob)
        if parsed is None:
            parsed = self._known.parsed[blob] = parse(self.bytes(path))
            for document in parsed.documents:
                document.rest()
        return parsed


def is_ours(value: Json) -> bool:
    """Whether a document claims to be a manifest of ours, in whatever version."""
    if not isinstance(value, dict):
        return False
    version = value.get("apiVersion")
    return isinstance(version, str) and version.split("/", 1)[0].casefold() == "reconciler"


def _manifest(path: str, document: Document, kinds: Collection[str]) -> Manifest | None:
    """The manifest of an envelope, None when its kind or name cannot be told."""
    value = document.value
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    kind = value.get("kind")
    if kind not in kinds or not isinstance(name, str) or not NAME.fullmatch(name):
        return None
    labels = metadata.get("labels")
    kept = (
        {key: text for key, text in labels.items() if isinstance(text, str)}
        if isinstance(labels, dict)
        else {}
    )
    return Manifest(path, document, kind, name, kept, code_folder=_code_folder(path, value.get("spec")))


def _code_folder(file: str, spec: Json) -> str | None:
    code = spec.get("code") if isinstance(spec, dict) else None
    path = code.get("path") if isinstance(code, dict) else None
    return joined(dirname(file), path) if isinstance(path, str) else None


def envelope_findings(value: JsonObject, kinds: Collection[str]) -> Iterator[Finding]:
    """What is wrong with everything around the spec."""
    version, kind = value["apiVersion"], value.get("kind")
    if version != API_VERSION:
        message = f"the version `{version}` is not known to this program"
        yield Finding(("apiVersion",), message, f"Write `{API_VERSION}`, or install a newer reconciler.")
    for key in value:
        if key not in _ENVELOPE and key != "$schema":
            hint = did_you_mean(key, _ENVELOPE, f"A manifest has {listed(_ENVELOPE)}.")
            yield Finding((key,), f"unknown key `{key}`", hint, on_key=True)
    if not isinstance(kind, str):
        yield Finding((), "`kind` is missing", f"Write one of {listed(kinds)}.")
    elif kind not in kinds:
        hint = did_you_mean(kind, kinds, f"Write one of {listed(kinds)}.")
        yield Finding(("kind",), f"unknown kind `{kind[:63]}`", hint)
    yield from _metadata_findings(value.get("metadata"))
    if not isinstance(value.get("spec"), dict):
        if "spec" in value:
            yield Finding(("spec",), "expected a mapping", "Put the settings below `spec:`, indented.")
        else:
            yield Finding((), "`spec` is missing", "Add it.")


def _metadata_findings(metadata: Json) -> Iterator[Finding]:
    if not isinstance(metadata, dict):
        yield Finding((), "`metadata.name` is missing", "Write `metadata: {name: NAME}`.")
        return
    for key in metadata:
        if key not in _METADATA:
            hint = did_you_mean(
                key, _METADATA, "Known here: `name` and `labels`; the agent's own is in `spec`."
            )
            yield Finding(("metadata", key), f"unknown key `{key}`", hint, on_key=True)
    name = metadata.get("name")
    if not isinstance(name, str):
        hint = "Add it." if name is None else "Quote it."
        yield Finding(
            ("metadata", "name"), "expected a name" if "name" in metadata else "`name` is missing", hint
        )
    elif not NAME.fullmatch(name):
        message = f"`{name[:80]}` is no name"
        hint = "Use 1 to 63 letters, digits and hyphens; the first and the last are no hyphen."
        yield Finding(("metadata", "name"), message, hint)
    labels = metadata.get("labels")
    if labels is not None and not isinstance(labels, dict):
        yield Finding(("metadata", "labels"), "expected a mapping", "Write `labels: {team: support}`.")
    for key, text in labels.items() if isinstance(labels, dict) else ():
        if not isinstance(text, str):
            yield Finding(("metadata", "labels", key), "the value of a label is text", "Quote it.")


# Formats that people keep beside manifests, by keys that only they have.
_FORMATS: Final = (
    (("template",), "an agent manifest of the Azure Developer CLI"),
    (("services",), "an azure.yaml or compose file"),
    (("trigger", "kind"), "a declarative workflow"),
    (("kind", "name"), "an agent definition of another tool"),
    (("jobs",), "a CI pipeline"),
)


def _strange(path: str, document: Document) -> Problem:
    value = document.value
    line, column = document.place(())
    hint = f"Write `apiVersion: {API_VERSION}`, or exclude the file: a glob with `!` in front in `resources`."
    if not isinstance(value, dict):
        return Problem(Place(path, line, column), "", "not a manifest: the document is no mapping", hint)
    if {"kind", "metadata", "spec"} <= value.keys():
        if "apiVersion" not in value:
            return Problem(Place(path, line, column), "", "`apiVersion` is missing", hint)
        message = f"not a manifest: `apiVersion: {str(value['apiVersion'])[:63]}` is another program's"
        return Problem(Place(path, *document.place(("apiVersion",))), "apiVersion", message, hint)
    for keys, what in _FORMATS:
        if all(key in value for key in keys):
            return Problem(Place(path, line, column), "", f"not a manifest: it looks like {what}", hint)
    return Problem(Place(path, line, column), "", f"not a manifest: no `apiVersion: {API_VERSION}`", hint)

"""What an import did, as text."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from reconciler.cli.importing.importer import After, Imported
from reconciler.cli.importing.manifests import LeftOut
from reconciler.masking import visible


def show(done: Imported, after: After) -> str:
    """The whole report."""
    return visible("\n".join(_lines(done, after))) + "\n"


def _lines(done: Imported, after: After) -> Iterator[str]:
    target = done.target
    yield f"Read {_count(done.read, 'agent')} from {target.endpoint}."
    if not done.read:
        yield "There is nothing to import, and nothing was written."
        return
    if done.written:
        yield ""
        yield f"Wrote {_count(len(done.written), 'manifest')} to {target.folder}:"
        width = max(len(one.manifest) for one in done.written)
        for one in done.written:
            more = len(one.files) - 1
            beside = f", with {_count(more, 'file')} beside it" if more else ""
            yield f"  ✓ {one.manifest.ljust(width)}  version {one.version}{beside}"
            yield from (f"      ! {note}" for note in one.notes)
        if target.fresh:
            yield f"  ✓ {target.file.removeprefix(target.prefix)}  Project {target.name}, in `mode: observe`"
    yield from _group("Kept as they are", done.kept)
    yield from _group("Left out", done.left_out)
    if after.deleted:
        yield ""
        yield f"Careful: `apply` would delete {', '.join(after.deleted)}."
        yield f"  They carry the mark of Project {target.name} and have no manifest."
        yield "  → Write a manifest, or list the names under `sync.forget` of the Project."
    if not done.written:
        return
    yield ""
    if after.changed:
        yield f"A plan of {target.folder} would still change: {', '.join(after.changed)}."
        yield "  → Look at it with `reconciler plan`; nothing is changed before `mode: enforce` and `apply`."
    else:
        yield "Checked: a plan of what was written says no changes."
    yield "\nNext:"
    folder = shlex.quote(str(target.folder))
    yield f"  reconciler plan {folder}".ljust(40) + "  see that nothing would change"
    yield f"  git add {folder}".ljust(40) + "  review and commit the manifests"
    if target.fresh:
        yield "  then write `mode: enforce` in the Project, and changes in Git are applied."


def _group(title: str, group: tuple[LeftOut, ...]) -> Iterator[str]:
    if group:
        yield ""
        yield f"{title}:"
    for one in group:
        yield f"  - {one.name}: {one.reason}"
        if one.fix:
            yield f"      → {one.fix}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"

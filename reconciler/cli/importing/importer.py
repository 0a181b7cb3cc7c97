"""Read live agents, turn each into files, write these, and ask a plan whether anything is left to do."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from reconciler.cli.importing.checking import Checker, Recorded
from reconciler.cli.importing.code_zip import UnsafeZip, unpack
from reconciler.cli.importing.manifests import Agent, LeftOut, Written, stem
from reconciler.cli.importing.target import Target
from reconciler.cli.new_files import write
from reconciler.errors import InvalidInput, ServiceError, explain
from reconciler.kinds.port import Port
from reconciler.resource import Health, Key, Live
from reconciler.settings import Settings
from reconciler.suggest import did_you_mean


@dataclass(frozen=True)
class Imported:
    """What an import did. `kept` are agents whose files were there already; `read` counts live agents."""

    target: Target
    read: int
    written: tuple[Written, ...]
    kept: tuple[LeftOut, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True)
class After:
    """What a plan of the folder says after an import.

    `changed` are imported agents that it would still change; `deleted` are agents that were left out, and
    that it would delete, since they carry this Project's mark and have no manifest.
    """

    changed: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


class Importer:
    """One import into one Project.

    Args:
        overwrite: replace manifests that are there.
    """

    def __init__(self, target: Target, settings: Settings, *, overwrite: bool) -> None:
        self.target = target
        self.overwrite = overwrite
        self.checker = Checker(target, settings)
        self._workers = asyncio.Semaphore(settings.concurrency)

    async def run(self, port: Port[Any], only: Collection[str]) -> Imported:
        """Import every live agent, or those that `only` names (`Agent/NAME`).

        Raises:
            InvalidInput: `only` names an agent that is not there, or a file cannot be written.
            ServiceError: the agents cannot be listed.
        """
        everything = {live.key: live async for live in port.list()}
        chosen = chosen_of(everything, only)
        kept, left_out, lives = self._sorted_out(chosen)
        recorded = Recorded(everything, port)
        found = await asyncio.gather(*(self._one(live, recorded) for live in lives))
        written = []
        for one in found:
            if isinstance(one, Written):
                clash = self._clash(one)
                if clash is None:
                    written.append(one)
                else:
                    kept.append(clash)
            else:
                left_out.append(one)
        if written:
            self._write(written)
        return Imported(self.target, len(everything), tuple(written), tuple(kept), tuple(left_out))

    def _sorted_out(self, lives: Sequence[Live]) -> tuple[list[LeftOut], list[LeftOut], list[Live]]:
        """Agents that Git has already, agents whose names clash, and the rest."""
        kept, left_out, rest = [], [], []
        known = {(key.kind, key.name.casefold()): (key, file) for key, file in self.target.known.items()}
        for live in lives:
            key, file = known.get((live.key.kind, live.key.name.casefold()), (live.key, ""))
            own = f"{self.target.prefix}agents/{stem(live.key.name)}.yaml"
            if key.name != live.key.name:
                fix = "Names that differ only by case cannot be managed together; rename one of the agents."
                where = f" in {file}" if file else ""
                left_out.append(LeftOut(live.key.name, f"differs only by case from {key.name}{where}", fix))
                continue
            known[live.key.kind, live.key.name.casefold()] = (live.key, file)
            if file and (file != own or not self.overwrite):
                kept.append(LeftOut(live.key.name, f"is in Git already: {file}", _overwrite(file == own)))
            else:
                rest.append(live)
        return kept, left_out, rest

    async def _one(self, live: Live, port: Recorded) -> Written | LeftOut:
        async with self._workers:
            try:
                return await self.checker.written(await self._agent(live, port), port)
            except ServiceError as error:
                return LeftOut(live.key.name, ": ".join(explain(error)[:2]), error.hint)
            except UnsafeZip as error:
                fix = "Nothing of it is written. Upload its code anew, then import again."
                return LeftOut(live.key.name, f"its code zip is not safe to unpack: {error}", fix)

    async def _agent(self, live: Live, port: Recorded) -> Agent:
        """A live agent with the versions that serve, and its code."""
        latest = live.latest
        follows = latest is not None and live.traffic == ((latest.number, 100),)
        if latest is not None and not (follows and latest.health is Health.ACTIVE):
            live = await port.deepen(live, None)
        agent = Agent(live, labels=self.target.labels, owners=self.target.owners)
        base = agent.base
        definition = base.form.get("definition", {}) if base else {}
        if base is None or not definition.get("code_configuration"):
            return agent
        unpacked = unpack(await port.download_code(live.key.name, base.number))
        return replace(agent, code=unpacked.files, notes=unpacked.notes)

    def _clash(self, found: Written) -> LeftOut | None:
        """Why the files of an agent must not be written over what lies there."""
        folder = self.target.folder
        there = [path for path in found.files if os.path.lexists(folder / path)]
        same = all(_content(folder / path) == found.files[path] for path in there)
        if there and not same and not self.overwrite:
            return LeftOut(found.name, f"{folder / there[0]} exists", _overwrite(True))
        extra = next(iter(_strangers(folder, found.files)), None)
        if extra is not None:
            fix = "Move the folder away, then import again."
            return LeftOut(found.name, f"{extra} is not in the deployed code and would be released", fix)
        return None

    def _write(self, written: Sequence[Written]) -> None:
        """Everything beside the manifests first, so that no manifest names a file that is not there."""
        folder, target = self.target.folder, self.target
        for one in written:
            for path, content in reversed(list(one.files.items())):
                if _content(folder / path) != content:
                    write(folder / path, content)
        if target.fresh:
            lenient = self.checker.lenient
            text = (target.with_policies(lenient) if lenient else target).text
            write(folder / target.file.removeprefix(target.prefix), text, exclusive=True)


def chosen_of(lives: Mapping[Key, Live], only: Collection[str]) -> list[Live]:
    """The live agents that `only` names, all of them when it is empty; sorted by name.

    Raises:
        InvalidInput: a name that is not live.
    """
    names = {key.local for key in lives}
    for wanted in only:
        if wanted not in names:
            hint = did_you_mean(wanted, names, "Names are written KIND/NAME, for example Agent/triage.")
            raise InvalidInput(f"no live agent `{wanted[:80]}`", hint=hint)
    return [lives[key] for key in sorted(lives) if not only or key.local in only]


def _overwrite(possible: bool) -> str:
    return "--overwrite replaces it." if possible else "Remove it there first to import it here."


def _content(file: Path) -> bytes | None:
    try:
        return None if file.is_symlink() else file.read_bytes()
    except OSError:
        return None


def _strangers(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Files in the code folder of an agent that its deployed code does not have."""
    tops = {"/".join(path.split("/")[:2]) for path in files if path.startswith("code/")}
    return [
        Path(parent, name)
        for top in sorted(tops)
        for parent, _, names in os.walk(folder / top)
        for name in sorted(names)
        if Path(parent, name).relative_to(folder).as_posix() not in files
    ]


__all__ = ["After", "Imported", "Importer", "chosen_of"]

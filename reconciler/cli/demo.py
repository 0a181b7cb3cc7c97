"""`reconciler demo`: the whole story in a minute, against a sandbox of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

_NAME: Final = "demo"
# Reports would go to a build's summary, and settings would lead to other state files.
_HIDDEN: Final = ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")

_TRIAGE: Final = """\
apiVersion: reconciler/v1
kind: Agent
metadata: {name: triage}
spec:
  description: Sorts support mail
  definition:
    kind: hosted
    cpu: "1"
    memory: 2Gi
    container_configuration: {image: "registry.example.com/triage:1.0"}
    protocol_versions: [{protocol: responses, version: 2.0.0}]
    environment_variables: {LOG_LEVEL: INFO}
"""


def demo(
    keep: Annotated[
        str | None, typer.Option("--keep", metavar="DIR", help="Keep the files of the demo in this folder.")
    ] = None,
) -> None:
    """Plan, apply, an edit in the portal, drift, a removal: told step by step. Leaves nothing behind.

    Needs no account and no network. Exits 0, or 1 when a step did not behave as told.
    """
    import shlex
    import tempfile

    from reconciler.cli.starter import AGENT, project_manifest
    from reconciler.wiring import close

    with tempfile.TemporaryDirectory(prefix="reconciler-demo-") as temporary:
        folder = _folder(keep) if keep else Path("agents-of-a-team")
        project = project_manifest(
            _NAME, f"sandbox://{_NAME}", f"local#{_NAME}", "enforce", ("agents/*.yaml",)
        )
        files = {"project.yaml": project, "agents/hello.yaml": AGENT, "agents/triage.yaml": _TRIAGE}
        state = (folder if keep else Path(temporary)) / "sandbox.db"
        settings = {
            "RECONCILER_SANDBOX_STATE": str(state),
            "RECONCILER_CACHE": str(Path(temporary) / "cache"),
        }
        try:
            # Short paths read better: without --keep the story plays in its own folder.
            with _environment(settings), chdir("." if keep else temporary):
                _Story(folder).tell(files)
        finally:
            close()
        if keep:
            typer.echo(f"\nThe files are in {folder}. Go on with:")
            quoted = (shlex.quote(str(state)), shlex.quote(str(folder)))
            typer.echo("  RECONCILER_SANDBOX_STATE={} reconciler plan {}".format(*quoted))


def _folder(keep: str) -> Path:
    """Raises InvalidInput where a folder holds something already."""
    from reconciler.errors import InvalidInput

    folder = Path(keep)
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise InvalidInput(f"cannot read {folder}", hint="Name another folder.") from error
    if taken:
        raise InvalidInput(f"{folder} is not empty", hint="Name a new folder; the demo overwrites nothing.")
    return folder


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """The environment of the story, and the old one afterwards."""
    before = dict(os.environ)
    try:
        for name in _HIDDEN:
            os.environ.pop(name, None)
        os.environ.update(settings)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class _Story:
    """The steps in their order; each prints what it does and checks how it ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.step = 0

    def tell(self, files: Mapping[str, str]) -> None:
        """The whole story."""
        self.said("Two agents in a folder, as they would be in Git")
        self.write(files)
        self.said("What would be done? (exit code 2: there are changes)")
        self.run("plan", 2)
        self.said("Do it")
        self.run("apply", 0)
        self.said("The same again: nothing is left to do")
        self.run("plan", 0)
        self.said("Somebody edits an agent in the portal: a version that Git knows nothing of")
        self.edit_in_the_portal()
        self.run("drift", 2)
        self.said("Put it right: the version from Git serves again, and no new one is made")
        self.run("apply", 0)
        self.run("plan", 0)
        self.said("Git changes an agent: the old version serves until the new one has started")
        text = files["agents/triage.yaml"].replace("LOG_LEVEL: INFO", "LOG_LEVEL: DEBUG")
        self.write({"agents/triage.yaml": text})
        self.run("apply", 0)
        self.said("A manifest is removed: the agent goes, since it was made from here")
        (self.folder / "agents/triage.yaml").unlink()
        typer.echo(f"  removed {self.folder / 'agents/triage.yaml'}\n")
        self.run("plan", 2)
        self.run("apply", 0)
        self.run("plan", 0)
        self.said("That is all")
        typer.echo("Everything behaved as told. Next: `reconciler init` in a folder of yours.")

    def said(self, text: str) -> None:
        """A heading in plain words."""
        self.step += 1
        bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        line = f"━━ {self.step}. {text}"
        typer.echo("\n" + (typer.style(line, bold=True) if bold else line) + "\n")

    def write(self, files: Mapping[str, str]) -> None:
        """Files of the folder."""
        from reconciler.cli.new_files import write

        for path, text in files.items():
            write(self.folder / path, text.encode())
            typer.echo(f"  wrote {self.folder / path}")
        typer.echo()

    def run(self, command: str, expected: int) -> None:
        """One command as a person would type it.

        Raises:
            ReconcilerError: it ended with another exit code than told.
        """
        from reconciler.errors import ReconcilerError

        typer.echo(f"$ reconciler {command} {self.folder}{' --yes' if command == 'apply' else ''}\n")
        code = _exit_code(lambda: _call(command, str(self.folder)))
        typer.echo(f"\n(exit code {code})\n")
        if code != expected:
            raise ReconcilerError(
                f"the demo expected exit code {expected} from `reconciler {command}`, and it was {code}",
                hint="Report this with the output above; `reconciler doctor` may tell more.",
            )

    def edit_in_the_portal(self) -> None:
        """A new version of an agent by a plain request, as the portal makes it: metadata carried along."""
        import json
        import urllib.request

        from reconciler.settings import read
        from reconciler.wiring import address, close

        url = f"{address(f'sandbox://{_NAME}', read(os.environ))}/agents/hello"
        try:
            with urllib.request.urlopen(f"{url}?api-version=v1", timeout=30) as answer:
                latest = json.load(answer)["versions"]["latest"]
            words = "Answer every question with a poem."
            body = {
                "definition": {**latest["definition"], "instructions": words},
                "metadata": latest["metadata"],
            }
            request = urllib.request.Request(
                f"{url}/versions?api-version=v1",
                json.dumps(body).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=30) as answer:
                made = json.load(answer)["version"]
        finally:
            close()
        typer.echo(f"  hello is now at version {made}: {words}\n")


def _call(command: str, path: str) -> None:
    from reconciler.cli import apply, drift, plan

    match command:
        case "plan":
            plan.plan(path)
        case "drift":
            drift.drift(path)
        case _:
            apply.apply(path, yes=True)


def _exit_code(command: Callable[[], None]) -> int:
    """How a command ended."""
    try:
        command()
    except typer.Exit as end:
        return end.exit_code
    return 0

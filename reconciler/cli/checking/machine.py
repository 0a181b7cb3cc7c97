"""Checks of this machine and of the source: programs, proxies, Git, manifests."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Final

from reconciler import __version__
from reconciler.cli.checking.check import Check, failed, ok, skipped, warning
from reconciler.location import redact

if TYPE_CHECKING:
    from reconciler.desired import DesiredProject
    from reconciler.snapshot import Snapshot

PACKAGES: Final = ("azure-ai-projects", "azure-identity", "azure-core")
# Routes, schemas and headers were taken from this line of the SDK.
_SDK: Final = "2.10."


def programs(packages: Sequence[str]) -> Check:
    """Versions of the packages that talk to the service."""
    tried = "versions of Python and the packages that talk to the service"
    found = {}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            fix = "Install reconciler again, from where you keep it; pip brings what it needs."
            return failed("programs", tried, f"{package} is not installed", fix)
    says = ", ".join(f"{package} {version}" for package, version in found.items())
    text = f"Python {platform.python_version()}, reconciler {__version__}, {says}"
    if not found.get("azure-ai-projects", "").startswith(_SDK):
        fix = f"This reconciler was made for azure-ai-projects {_SDK}*; install that."
        return warning("programs", tried, text, fix)
    return ok("programs", tried, text)


def proxies(environ: Mapping[str, str]) -> Check:
    """Which proxy settings of the environment are in force; logins in them are not shown."""
    names = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")
    tried = ", ".join(names)
    found = {name: environ.get(name) or environ.get(name.lower()) for name in names}
    shown = [f"{name}={redact(value)}" for name, value in found.items() if value]
    if not shown:
        return ok("proxy", tried, "none is set; connections are direct")
    return ok("proxy", tried, ", ".join(shown))


def source(snapshot: Snapshot) -> Check:
    """The commit that runs would apply, and what weakens it."""
    tried, revision = f"read {snapshot.root}", snapshot.revision
    if revision is None:
        fix = "Put the folder under Git, so that runs know which commit they apply and from where."
        count = len(snapshot.files)
        found = f"{count} file{'s' * (count != 1)}, not under Git"
        return warning("source", tried, found, fix)
    found = f"{revision}, origin {snapshot.origin or 'unknown'}"
    if revision.shallow:
        fix = "Fetch all of it (`fetch-depth: 0`), so that an older commit never overwrites a newer one."
        return warning("source", tried, f"{found}, shallow: the history is cut", fix)
    if revision.dirty:
        return warning("source", tried, found, "Commit first: what is applied should be in Git.")
    return ok("source", tried, found)


def manifests(project: DesiredProject) -> Check:
    """Whether the manifests of a Project are valid."""
    tried = f"check the manifests of Project {project.project.name}"
    if project.problems:
        first = project.problems[0]
        more = f" and {len(project.problems) - 1} more" if len(project.problems) > 1 else ""
        return failed("manifests", tried, f"{first}{more}", "Run `reconciler validate` and correct each.")
    if not project.resources:
        fix = "Check `resources` and `selector` of the Project; `reconciler init` writes an example."
        return warning("manifests", tried, "no manifest belongs to this Project", fix)
    count = len(project.resources)
    return ok("manifests", tried, f"{count} resource{'s' * (count != 1)} without a problem")


def owner(project: DesiredProject) -> Check:
    """The owner in the marks: a name of this machine only would not be known elsewhere."""
    name, tried = project.project.owner, "owner of the agents that are made from here"
    if name.startswith("local#"):
        fix = "Set `owner` in the Project, so that CI and laptops agree whose the agents are."
        return warning("owner", tried, f"{name}, which every folder without Git would use", fix)
    return ok("owner", tried, name)


def mode(project: DesiredProject) -> Check:
    """Whether `apply` writes at all."""
    sync, tried = project.project.sync, "what `apply` may do"
    if sync.mode == "observe":
        return skipped("mode", tried, "observe: `apply` shows the plan and writes nothing")
    prune = "removed manifests delete their agents" if sync.prune else "nothing is deleted"
    return ok("mode", tried, f"enforce; {prune}")

"""`reconciler doctor`: test everything that a run needs, and say what to do about what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from reconciler.cli import options

if TYPE_CHECKING:
    from reconciler.cli.checking.check import Check
    from reconciler.desired import DesiredProject
    from reconciler.loading import Loaded


def doctor(
    path: options.Path = ".",
    ref: options.Ref = None,
    project: options.Projects = None,
    format: Annotated[
        str, typer.Option("--format", "-f", help="What standard output gets: text or json.")
    ] = "text",
    timeout: Annotated[
        float, typer.Option("--timeout", min=0.1, help="Longest wait for each answer, in seconds.")
    ] = 10,
) -> None:
    """Test source, network, sign-in, permissions and clock. Exits 0, or 1 when a check failed."""
    from reconciler.cli.checking.view import as_json, as_text, exit_code
    from reconciler.errors import InvalidInput
    from reconciler.wiring import close

    if format not in ("text", "json"):
        raise InvalidInput(f"doctor has no format {format!r}", hint="Use text or json.")
    try:
        checks = _checks(path, ref, project, timeout)
    finally:
        close()
    typer.echo(as_json(checks) if format == "json" else as_text(checks), nl=False)
    raise typer.Exit(exit_code(checks))


def _checks(path: str, ref: str | None, projects: list[str] | None, timeout_s: float) -> list[Check]:
    """Every check, those of the machine first."""
    import asyncio
    import os
    from dataclasses import replace

    from reconciler.cli.checking import machine
    from reconciler.cli.checking.check import broken, failed
    from reconciler.cli.narrow import narrowing
    from reconciler.errors import InvalidInput, ReconcilerError
    from reconciler.loading import load_source

    checks = [machine.programs(machine.PACKAGES), machine.proxies(os.environ)]
    try:
        loaded = load_source(path, ref, narrowing(projects, None, None))
    except InvalidInput as error:
        said = "; ".join(str(problem) for problem in error.problems[:3]) or str(error)
        return [*checks, failed("source", f"read {path}", said, error.hint)]
    except ReconcilerError as error:
        return [*checks, broken("source", f"read {path}", error)]
    checks.append(machine.source(loaded.snapshot))
    for one in loaded.projects:
        found = asyncio.run(_project(one, loaded, timeout_s))
        checks += [replace(check, project=one.project.name) for check in found]
    return checks


async def _project(project: DesiredProject, loaded: Loaded, timeout_s: float) -> list[Check]:
    from reconciler.cli.checking import machine, network
    from reconciler.cli.checking.check import broken, ok
    from reconciler.errors import ReconcilerError
    from reconciler.foundry.trust import check_trusted
    from reconciler.wiring import address

    stated = project.project.endpoint
    found = [machine.manifests(project), machine.owner(project), machine.mode(project)]
    endpoint, why_not = stated, ""
    if stated.startswith("sandbox://"):
        tried = f"start the sandbox with {loaded.settings.sandbox_state}"
        try:
            endpoint = address(stated, loaded.settings)
        except ReconcilerError as error:
            return [*found, broken("sandbox", tried, error)]
        found.append(ok("sandbox", tried, f"{stated} is {endpoint} for the time of a run"))
    else:
        try:
            check_trusted(stated, loaded.settings.trusted_hosts)
        except ReconcilerError as error:
            found.append(broken("endpoint", "host of `endpoint`", error))
            why_not = "its host does not get our token"
        else:
            found.append(ok("endpoint", "form of `endpoint`", stated))
    way = await network.way(endpoint, timeout_s)
    if any(check.status == "failed" for check in way):
        why_not = "it cannot be reached"
    return [*found, *way, *await _service(project, endpoint, why_not, timeout_s)]


async def _service(project: DesiredProject, endpoint: str, why_not: str, timeout_s: float) -> list[Check]:
    """Sign-in, and what one reading tells; `why_not` it cannot be read, "" when it can."""
    import time

    from reconciler.cli.checking import service
    from reconciler.cli.checking.check import failed, skipped
    from reconciler.foundry import probe

    token, found = "", [service.no_token_needed()]
    if endpoint.startswith("https://"):
        try:
            signed_in, token = await probe.sign_in(timeout_s)
            found = [service.signed_in(signed_in, time.time())]
        except probe.NoSignIn as error:
            found = [service.not_signed_in(error.tried)]
    tried = f"list agents at {endpoint}"
    if why_not or found[0].status == "failed":
        return [*found, skipped("reading", tried, why_not or "signing in failed"), service.writing()]
    try:
        answer = await probe.ask(endpoint, token=token, timeout_s=timeout_s)
    except probe.NoAnswer as error:
        fix = "It accepts connections and does not answer; check the proxy, or try again."
        return [*found, failed("reading", tried, str(error), fix), service.writing()]
    needed = service.needed_previews((one.form for one in project.resources), probe.PREVIEWS)
    asked = None
    if needed and answer.status == 200:
        features = ",".join(sorted(needed.values()))
        asked = await probe.ask(endpoint, token=token, features=features, timeout_s=timeout_s)
    now = time.time()
    return [
        *found,
        service.listing(endpoint, answer),
        service.clock(answer, now),
        service.api_version(answer),
        service.previews(needed, asked),
        service.writing(),
    ]

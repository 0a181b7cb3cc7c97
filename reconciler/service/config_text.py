"""What a configuration would do, in lines for a person; no secret is in them."""

from __future__ import annotations

from collections.abc import Iterator

from reconciler.location import redact
from reconciler.service.config import Config
from reconciler.service.config_fields import is_loopback, listen_at
from reconciler.service.config_spec import AuthSpec, Secret, ServiceSpec, SourceSpec
from reconciler.service.store.opening import sqlite_path
from reconciler.suggest import listed


def check_text(config: Config) -> str:
    """What this configuration would watch, keep and tell; for `reconciler serve --check`."""
    return config.masker().text("\n".join(_lines(config)))


def _lines(config: Config) -> Iterator[str]:
    spec = config.spec
    count = len(spec.sources)
    yield f"{config.path} is valid."
    yield f"Watches {count} source{'s' * (count != 1)}:"
    for source in spec.sources:
        yield f"  {source.name}: {'; '.join(_of_source(source))}"
    yield f"Listens at {spec.listen}{_reached(spec)}."
    path = sqlite_path(spec.store)
    kept_in = redact(spec.store) if path is None else path.absolute()
    yield f"Keeps history in {kept_in}: {_kept(spec)}."
    if spec.auth is not None:
        yield f"Signs people in with {_ways(spec.auth)}; {_roles(spec.auth)}."
    for notify in spec.notify:
        yield f"Tells {notify.name} of {listed(notify.on)} for {_projects(notify.projects)}."
    if spec.cloud_events is not None:
        signed = "signed" if spec.cloud_events.secret else "not signed"
        yield f"Sends every event to {redact(spec.cloud_events.url)}, {signed}."


def _of_source(source: SourceSpec) -> Iterator[str]:
    ref, path = source.ref or "its default branch", f", folder {source.path}" if source.path else ""
    yield f"{redact(source.url)} at {ref}{path}, every {source.interval}"
    yield _projects(source.projects)
    if source.webhook is not None:
        yield f"webhook of {source.webhook.provider} at /hooks/{source.name}, {_where(source.webhook.secret)}"
    if source.credentials is not None and source.credentials.token is not None:
        yield f"token from {_where(source.credentials.token)}"
    if source.credentials is not None and source.credentials.ssh_key is not None:
        yield f"SSH key {source.credentials.ssh_key}"
    if source.signatures is not None:
        count = len(source.signatures.ssh) + len(source.signatures.gpg)
        yield f"commits signed by one of {count} key{'s' * (count != 1)}"
    if source.forge is not None:
        yield f"results on {source.forge.provider} {source.forge.repository}"


def _where(secret: Secret) -> str:
    return f"variable {secret.env}" if secret.env else f"file {secret.file}"


def _projects(globs: tuple[str, ...]) -> str:
    return "all Projects" if globs == ("*",) else f"Projects {listed(globs)}"


def _reached(spec: ServiceSpec) -> str:
    return ", for this machine only" if is_loopback(listen_at(spec.listen)[0]) else ""


def _kept(spec: ServiceSpec) -> str:
    kept = spec.retention
    return f"{kept.runs} runs of each Project, {kept.days} days; audit {kept.audit_days} days"


def _ways(auth: AuthSpec) -> str:
    ways = [f"OpenID Connect ({auth.oidc.issuer})"] if auth.oidc else []
    ways += [f"tokens of {auth.tokens}"] if auth.tokens else []
    return " and ".join(ways)


def _roles(auth: AuthSpec) -> str:
    return ", ".join(f"{role.role} of {_projects(role.projects)}" for role in auth.roles)

"""One configured source: what its ref points to now, and the manifests of a commit, verified and loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from reconciler.desired import DesiredProject, Earlier, load
from reconciler.git_credentials import SSH_KEY, SSH_PASSPHRASE, TOKEN, USERNAME
from reconciler.git_remote import open_url, remote_head
from reconciler.globs import compiled
from reconciler.kinds.registry import KINDS
from reconciler.loading import Loaded, revision_text
from reconciler.location import GitUrl, parse_location
from reconciler.resource import Key
from reconciler.service.config import Config
from reconciler.service.config_spec import SourceSpec, seconds
from reconciler.settings import Settings


@dataclass(frozen=True)
class Checkout:
    """A commit that was fetched, verified and loaded.

    `time` is the committer's, in Unix seconds; `ref` the short name of branch or tag. `changed` has, for
    each Project, the keys whose desired value differs from the previous checkout of the same reader; None
    where that is not known, or everything may differ.
    """

    commit: str
    time: int
    ref: str
    loaded: Loaded
    changed: Mapping[str, frozenset[Key] | None] = field(default_factory=dict)


class SourceReader:
    """Reads one configured source; kept for the life of the process. Blocks: call it from a thread."""

    def __init__(
        self, spec: SourceSpec, config: Config, settings: Settings, environ: Mapping[str, str]
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._url = _location(spec)
        self._environ = _with_credentials(spec, config, environ)
        self._timeout_s = float(seconds(spec.limits.timeout))
        self._earlier = Earlier()
        self._newest: Checkout | None = None

    def head(self) -> str:
        """The commit that the source's ref points to now, by one question to the server.

        Raises:
            SourceUnreachable: the server does not answer in time.
            SourceError: it refuses access, or the ref is gone.
        """
        return remote_head(self._url, environ=self._environ, timeout_s=self._timeout_s)[1]

    def checkout(self, commit: str = "") -> Checkout:
        """The manifests at the newest commit of the ref.

        Args:
            commit: what `head` said, to save the question; the ref may have moved on since.

        Raises:
            SourceUnreachable: the server does not answer in time.
            SourceError: the commit cannot be fetched, verified or read.
            InvalidInput: no Project can be told apart.
        """
        newest = self._newest
        if newest is not None and newest.commit == (commit or self.head()):
            return newest
        snapshot = open_url(
            self._url, environ=self._environ, cache=self._settings.cache, timeout_s=self._timeout_s
        )
        projects = load(snapshot, environ=self._environ, kinds=KINDS, earlier=self._earlier)
        handled = tuple(project for project in projects if self._handles(project.project.name))
        assert snapshot.revision is not None
        revision = snapshot.revision
        loaded = Loaded(snapshot, handled, self._settings, revision_text(snapshot))
        self._newest = Checkout(
            revision.commit, revision.time, revision.ref, loaded, _changed(newest, handled)
        )
        return self._newest

    def at(self, ref: str, environ: Mapping[str, str]) -> Loaded:
        """The manifests at another ref of the repository, such as that of a pull request; nothing is kept.

        Args:
            ref: a full name, such as `refs/pull/7/head`.
            environ: where `values_from_env` come from; the credentials are those of the source.

        Raises:
            SourceUnreachable: the server does not answer in time.
            SourceError: there is no such ref, or it cannot be read.
            InvalidInput: no Project can be told apart.
        """
        url = replace(self._url, ref=ref)
        snapshot = open_url(url, environ=self._environ, cache=self._settings.cache, timeout_s=self._timeout_s)
        projects = load(snapshot, environ=environ, kinds=KINDS, earlier=self._earlier.fork())
        return Loaded(snapshot, projects, self._settings, revision_text(snapshot))

    def _handles(self, project: str) -> bool:
        return any(compiled(glob).fullmatch(project) for glob in self._spec.projects)


def _location(spec: SourceSpec) -> GitUrl:
    url = parse_location(spec.url, spec.ref)
    assert url is not None, "the configuration takes addresses only"
    return replace(url, folder=spec.path.strip("/"))


def _with_credentials(spec: SourceSpec, config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what the configuration says in place of its Git credentials."""
    given = spec.credentials
    if given is None:
        return dict(environ)
    own = {name: value for name, value in environ.items() if not name.startswith("RECONCILER_GIT_")}
    if given.username is not None:
        own[USERNAME] = given.username
    if given.token is not None:
        own[TOKEN] = config.secret(given.token)
    if given.ssh_key is not None:
        own[SSH_KEY] = str(config.file(given.ssh_key))
    if given.ssh_passphrase is not None:
        own[SSH_PASSPHRASE] = config.secret(given.ssh_passphrase)
    return own


def _changed(
    before: Checkout | None, projects: tuple[DesiredProject, ...]
) -> dict[str, frozenset[Key] | None]:
    old = {project.project.name: project for project in before.loaded.projects} if before else {}
    return {project.project.name: _keys(old.get(project.project.name), project) for project in projects}


def _keys(old: DesiredProject | None, new: DesiredProject) -> frozenset[Key] | None:
    """What differs between two states of one Project; None when more than its resources may differ."""
    if old is None or replace(old, resources=(), notes=()) != replace(new, resources=(), notes=()):
        return None
    before = {desired.key: desired for desired in old.resources}
    after = {desired.key: desired for desired in new.resources}
    return frozenset(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))

"""One configured source: what its ref points to now, and the manifests of a commit, verified and loaded."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from reconciler.desired import DesiredProject, Earlier, load_each
from reconciler.errors import InvalidInput
from reconciler.git_credentials import SSH_KEY, SSH_PASSPHRASE, TOKEN, USERNAME
from reconciler.kinds.registry import KINDS
from reconciler.loading import Loaded, revision_text
from reconciler.location import GitUrl, parse_location
from reconciler.resource import Desired, Key
from reconciler.service.cache_folder import own_folder
from reconciler.service.config import Config
from reconciler.service.config_spec import SourceSpec, seconds
from reconciler.service.mirror import Fetched, Mirror
from reconciler.service.signatures import Signatures
from reconciler.service.source_limits import FetchLimits
from reconciler.settings import Settings

# A whole fetch may take this many times the silence that is allowed: ten minutes by default.
_WHOLE: Final = 10
# What signs in at Git servers, Azure, the store and proxies, by the names that their libraries look for.
_SECRET: Final = re.compile(
    r"RECONCILER_(GIT_.*|TOKEN)|AZURE_CLIENT_(SECRET|CERTIFICATE.*)|AZURE_PASSWORD|IDENTITY_HEADER|MSI_SECRET"
    r"|PG.*|OTEL_.*_HEADERS|(?i:(https?|all)_proxy)"
)


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
        silence_s = float(seconds(spec.limits.timeout))
        limits = FetchLimits(
            silence_s, silence_s * _WHOLE, spec.limits.megabytes * 1024**2, spec.limits.files
        )
        self._mirror = Mirror(
            _location(spec), _with_credentials(spec, config, environ), settings.cache, limits
        )
        self._signatures = (
            Signatures(spec.signatures, config.file, lambda: own_folder(settings.cache))
            if spec.signatures
            else None
        )
        self._environ = _without_secrets(config, environ)
        self._earlier = Earlier()
        self._newest: Checkout | None = None
        self._name = ""
        self._alone = threading.Lock()

    def close(self) -> None:
        """Wait for the server no more; from any thread."""
        self._mirror.close()

    def head(self) -> str:
        """The commit that the source's ref points to now, by one question to the server.

        A ref that is the start of a commit's id is given as it is until that commit was read.

        Raises:
            SourceUnreachable: the server does not answer in time.
            SourceError: it refuses access, or the ref is gone.
        """
        self._name, commit = self._mirror.head()
        known = self._newest
        if not self._name and known is not None and known.commit.startswith(commit):
            return known.commit
        return commit

    def checkout(self, commit: str = "") -> Checkout:
        """The manifests at the newest commit of the ref.

        Args:
            commit: what `head` said, to save the question. Where the ref has moved on since, the checkout
                may be of a newer one.

        Raises:
            SourceUnreachable: the server does not answer in time.
            Unsigned: the source trusts keys, and none of them signed the commit.
            SourceError: the commit cannot be fetched, verified or read.
            InvalidInput: no Project can be read.
        """
        with self._alone:
            if not commit or not self._name:
                commit = self.head()
            before = self._newest
            if before is not None and before.commit == commit:
                return before
            fetched = self._mirror.fetch(self._name, commit)
            try:
                if self._signatures is not None:
                    self._signatures.check(fetched.commit, self._spec.url)
                self._newest = self._loaded(fetched, before)
            finally:
                self._mirror.rest(fetched)
            return self._newest

    def _loaded(self, fetched: Fetched, before: Checkout | None) -> Checkout:
        snapshot = self._mirror.snapshot(fetched)
        found = load_each(
            snapshot, environ=self._environ, kinds=KINDS, earlier=self._earlier, handles=self._spec.handles
        )
        if not found.projects:
            globs = ", ".join(f"`{glob}`" for glob in self._spec.projects)
            raise InvalidInput(
                f"no Project in {snapshot.root} is called {globs}",
                hint="Correct `projects` of the source; left out, it means all of them.",
            )
        loaded = Loaded(snapshot, found.projects, self._settings, revision_text(snapshot), found.broken)
        commit, changed = fetched.commit, _changed(before, found.projects)
        return Checkout(str(commit.id), int(commit.commit_time), fetched.ref, loaded, changed)

    def at(self, ref: str, environ: Mapping[str, str]) -> Loaded:
        """The manifests at another ref of the repository, such as that of a pull request; nothing is kept.

        Args:
            ref: a full name, such as `refs/pull/7/head`.
            environ: where `values_from_env` come from, but for secrets of the service; the credentials are
                those of the source.

        Raises:
            SourceUnreachable: the server does not answer in time.
            SourceError: there is no such ref, or it cannot be read.
            InvalidInput: no Project can be read.
        """
        name, commit = self._mirror.head(ref)
        with self._alone:
            snapshot = self._mirror.snapshot(self._mirror.fetch(name, commit))
            earlier = self._earlier.fork()
        allowed = {name: value for name, value in environ.items() if name in self._environ}
        found = load_each(snapshot, environ=allowed, kinds=KINDS, earlier=earlier, handles=self._spec.handles)
        return Loaded(snapshot, found.projects, self._settings, revision_text(snapshot), found.broken)


def _location(spec: SourceSpec) -> GitUrl:
    url = parse_location(spec.url, spec.ref)
    assert url is not None, "the configuration takes addresses only"
    return replace(url, folder=spec.path)


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


def _without_secrets(config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment as Projects may use it: whoever can push must not read what only the service knows."""
    own = {secret.env for secret in config.secrets}
    return {name: value for name, value in environ.items() if name not in own and not _SECRET.fullmatch(name)}


def _changed(
    before: Checkout | None, projects: tuple[DesiredProject, ...]
) -> dict[str, frozenset[Key] | None]:
    old = {project.project.name: project for project in before.loaded.projects} if before else {}
    return {project.project.name: _keys(old.get(project.project.name), project) for project in projects}


def _keys(old: DesiredProject | None, new: DesiredProject) -> frozenset[Key] | None:
    """What differs between two states of one Project; None when more than its resources may differ."""
    if old is None or replace(old, resources=(), notes=()) != replace(new, resources=(), notes=()):
        return None
    # What was not built again is the very same value.
    known, still = set(map(id, old.resources)), set(map(id, new.resources))
    before = {desired.key: desired for desired in old.resources if id(desired) not in still}
    after = {desired.key: desired for desired in new.resources if id(desired) not in known}
    return frozenset(key for key in before.keys() | after.keys() if _differ(before.get(key), after.get(key)))


def _differ(one: Desired | None, other: Desired | None) -> bool:
    # `repr` beside `==`: to Python 1, 1.0 and true are equal, and to the service they are not.
    return one != other or repr((one and one.details, one and one.form)) != repr(
        (other and other.details, other and other.form)
    )

"""Commit statuses and plan comments at GitHub, GitLab and Azure DevOps, as one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol
from urllib.parse import unquote, urlsplit

from reconciler.errors import InvalidInput, ReconcilerError
from reconciler.location import origin_of
from reconciler.service.config_spec import ForgeSpec

if TYPE_CHECKING:
    from aiohttp import ClientSession

State = Literal["pending", "success", "failure", "error"]

NAMES: Final = {"github": "GitHub", "gitlab": "GitLab", "azure-devops": "Azure DevOps"}
_AZURE_HINT: Final = "Write `url: https://dev.azure.com/ORGANISATION` under `forge`."


class ForgeError(ReconcilerError):
    """A forge did not take what it was sent, or did not answer what it was asked.

    Args:
        status: HTTP status, 0 when there was no answer.
        retry_after_s: how long the forge asked to be left alone, 0 where it did not say.
    """

    def __init__(self, message: str, *, status: int = 0, retry_after_s: float = 0.0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def withheld(self) -> bool:
        """Whether it is not there, or not for this token. A limit may be a 403, too, but passes."""
        return not self.retryable and self.status in (403, 404)


class ForgeDown(ForgeError):
    """No answer, a broken one, or a request to come back later."""

    retryable = True


@dataclass(frozen=True)
class PullRequest:
    """An open pull or merge request.

    `head` is its newest commit, `ref` the full name under which the repository has it. `fork`: its commits
    come from another repository, whose writers may be strangers.
    """

    number: int
    head: str
    ref: str
    fork: bool = False


@dataclass(frozen=True)
class Status:
    """What a forge shows beside a commit; `context` tells our statuses apart.

    It is `reconciler/PROJECT` for a run and `reconciler/plan/SOURCE` for the plan of a pull request.
    """

    context: str
    state: State
    description: str
    target_url: str = ""


class Forge(Protocol):
    """Where a repository is discussed. Texts beyond the forge's limits are cut, never refused.

    Raises (every method):
        ForgeDown: try again later; `retry_after_s` says when, where the forge said so.
        ForgeError: it will be refused again: token, rights, address or repository.
    """

    @property
    def most(self) -> int:
        """How many characters a comment may have."""
        ...

    async def set_status(self, commit: str, status: Status) -> None: ...

    async def set_pull_status(self, pull: PullRequest, status: Status) -> None:
        """Show a status on a request where reviewers see it and a rule for merging can require it.

        Where the forge has no place for it, nothing is sent: GitLab keeps that of a fork in the fork.
        """
        ...

    async def pull_requests(self, branch: str) -> tuple[PullRequest, ...]:
        """The open requests to merge into this branch, by number."""
        ...

    async def comment(self, number: int, marker: str, markdown: str) -> bool:
        """Create our comment or bring it up to date; False when it says this already.

        Ours starts with the marker and is by whom the token belongs to: anybody can write a marker, and edit
        what stands below it afterwards. Comments of others are never changed.

        Args:
            marker: an HTML comment, which becomes the first line of the text.
        """
        ...


def open_forge(spec: ForgeSpec, token: str, source_url: str, session: ClientSession) -> Forge:
    """The forge of one source.

    Args:
        source_url: where the repository is fetched from; on Azure DevOps it names the organisation.

    Raises:
        InvalidInput: the repository's name has the wrong shape, or the organisation is not known.
    """
    problem = forge_problem(spec, source_url)
    if problem is not None:
        raise problem
    address, repository = api_address(spec, source_url), _repository(spec)
    match spec.provider:
        case "github":
            from reconciler.service.notify.github import GitHub

            return GitHub(address, repository, token, session)
        case "gitlab":
            from reconciler.service.notify.gitlab import GitLab

            return GitLab(address, repository, token, session)
    from reconciler.service.notify.azure_devops import AzureDevOps

    return AzureDevOps(address, repository, token, session)


def _repository(spec: ForgeSpec) -> str:
    """The repository's name; a space, which projects of Azure DevOps may have, may be written as `%20`."""
    return unquote(spec.repository).strip("/")


def api_address(spec: ForgeSpec, source_url: str) -> str:
    """Where the forge's API is, without a slash at the end; "" where nothing says it.

    Sources: docs.github.com (`api.github.com`, `api.NAME.ghe.com` for data residency, GHES `/api/v3`),
    docs.gitlab.com (`/api/v4`), learn.microsoft.com/rest/api/azure/devops
    (`https://dev.azure.com/{organization}`).
    """
    url = (spec.url or "").rstrip("/")
    match spec.provider:
        case "github":
            return _github_api(url)
        case "gitlab":
            url = url or "https://gitlab.com"
            return url if "/api/" in urlsplit(url).path else f"{url}/api/v4"
    return url or _azure_organisation(source_url)


def _github_api(url: str) -> str:
    """Only a server of one's own has the API in a folder, elsewhere it has its own host."""
    parts = urlsplit(url)
    host = parts.hostname or "github.com"
    if host.removeprefix("api.") == "github.com" or host.endswith(".ghe.com"):
        return f"https://api.{host.removeprefix('api.')}"
    return url if parts.path else f"{url}/api/v3"


def _azure_organisation(source_url: str) -> str:
    host, *path = origin_of(source_url).split("/")
    return f"https://{host}/{path[0]}" if host == "dev.azure.com" and path else ""


def forge_problem(spec: ForgeSpec, source_url: str) -> InvalidInput | None:
    """What is wrong with the settings of a forge, found without asking it; None when nothing is."""
    parts = _repository(spec).split("/")
    if "" in parts or ".." in parts or len(parts) < 2 or (spec.provider != "gitlab" and len(parts) != 2):
        shape = "project/repository" if spec.provider == "azure-devops" else "owner/name"
        return InvalidInput(
            f"`{spec.repository}` is no repository of {NAMES[spec.provider]}", hint=f"Write `{shape}`."
        )
    if not api_address(spec, source_url):
        return InvalidInput("which organisation of Azure DevOps is not known", hint=_AZURE_HINT)
    return None

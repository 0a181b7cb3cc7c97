"""Statuses and comments at Azure DevOps. Source: learn.microsoft.com/rest/api/azure/devops/git, 7.1."""

from __future__ import annotations

import base64
from typing import Any, Final
from urllib.parse import quote

from aiohttp import ClientSession

from reconciler.service.notify.caller import USER_AGENT, Answer, Caller
from reconciler.service.notify.comments import described, is_marked, marked, same
from reconciler.service.notify.forges import ForgeDown, ForgeError, PullRequest, Status

_VERSION: Final = {"api-version": "7.1"}
# In preview in every version so far.
_WHOAMI_VERSION: Final = {"api-version": "7.1-preview"}
_PAGE: Final = 100
_MOST_PAGES: Final = 10
_MOST_DESCRIPTION: Final = 1_000
_STATES: Final = {"pending": "pending", "success": "succeeded", "failure": "failed", "error": "error"}
_TOKEN_HINT: Final = "The token is wrong or has expired: renew the secret under `forge.token`."
_HINTS: Final = {
    401: _TOKEN_HINT,
    302: _TOKEN_HINT,
    403: "Give the token the scopes `Code (status)` and `Code (read & write)`, for comments.",
    404: "Check `forge.repository` (`project/repository`) and the organisation in `forge.url`.",
}


class AzureDevOps:
    """One repository of an organisation, or of a collection on a server of one's own."""

    most = 150_000

    def __init__(self, address: str, repository: str, token: str, session: ClientSession) -> None:
        headers = {
            "Authorization": _authorization(token),
            "Accept": "application/json",
            "User-Agent": USER_AGENT,
            # Without it a wrong token gets a sign-in page instead of 401.
            "X-TFS-FedAuthRedirect": "Suppress",
        }
        self._caller = Caller("Azure DevOps", address, headers, token, session, _HINTS)
        project, name = (quote(part, safe="") for part in repository.split("/"))
        self._me: str | None = None
        self._repo = f"/{project}/_apis/git/repositories/{name}"

    async def set_status(self, commit: str, status: Status) -> None:
        path = f"{self._repo}/commits/{quote(commit, safe='')}/statuses"
        await self._call("POST", path, body=_body(status))

    async def set_pull_status(self, pull: PullRequest, status: Status) -> None:
        # Branch policies read statuses of the request, not of its commits, and let those of an iteration
        # expire with the next push.
        path = f"{self._repo}/pullRequests/{pull.number}"
        iterations = _values(await self._call("GET", f"{path}/iterations"))
        try:
            found = [int(item["id"]) for item in iterations if _source_commit(item) == pull.head]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _strange() from error
        if not found:
            raise ForgeDown(
                f"pull request {pull.number} of Azure DevOps has no iteration for {pull.head[:12]} yet",
                hint="It is tried again by itself.",
            )
        await self._call("POST", f"{path}/statuses", body={**_body(status), "iterationId": max(found)})

    async def pull_requests(self, branch: str) -> tuple[PullRequest, ...]:
        query = {
            "searchCriteria.status": "active",
            "searchCriteria.targetRefName": f"refs/heads/{branch}",
            "$top": str(_PAGE),
        }
        found: list[Any] = []
        for page in range(_MOST_PAGES):
            asked = {**query, "$skip": str(page * _PAGE)}
            items = _values(await self._call("GET", f"{self._repo}/pullrequests", query=asked))
            found += items
            if len(items) < _PAGE:
                break
        pulls = (pull for item in found if (pull := _pull(item)) is not None)
        return tuple(sorted(pulls, key=lambda pull: pull.number))

    async def comment(self, number: int, marker: str, markdown: str) -> bool:
        text = marked(marker, markdown, self.most)
        threads = f"{self._repo}/pullRequests/{number}/threads"
        for path, there in await self._ours(number, marker):
            if same(there, text):
                return False
            try:
                await self._call("PATCH", f"{threads}/{path}", body={"content": text})
            except ForgeError as error:
                # Deleted meanwhile, or not ours to change any more.
                if not error.withheld:
                    raise
            else:
                return True
        comment = {"parentCommentId": 0, "content": text, "commentType": 1}
        # Closed: an open thread would hold up a merge where all comments must be resolved.
        body = {"comments": [comment], "status": "closed"}
        answer = await self._call("POST", threads, body=body, once=True)
        self._me = _author(answer.body) or self._me
        return True

    async def _ours(self, number: int, marker: str) -> list[tuple[str, str]]:
        """Path below the threads, and text, of each first comment of ours that starts with the marker."""
        threads = _values(await self._call("GET", f"{self._repo}/pullRequests/{number}/threads"))
        try:
            candidates = [thread for thread in threads if _is_candidate(thread, marker)]
            if candidates and self._me is None:
                self._me = await self._whoami()
            return [
                (f"{int(thread['id'])}/comments/{int(_first(thread)['id'])}", _first(thread)["content"])
                for thread in candidates
                if self._me and _author(thread) == self._me
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _strange() from error

    async def _whoami(self) -> str:
        """The id of the identity that our comments have, "" where this token is not told.

        Source: `LocationClient.get_connection_data` of the package `azure-devops`.
        """
        try:
            answer = await self._caller.call("GET", "/_apis/connectionData", query=_WHOAMI_VERSION)
        except ForgeError as error:
            if not error.withheld:
                raise
            return ""
        return str(answer.body["authenticatedUser"]["id"]).lower()

    async def _call(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        once: bool = False,
    ) -> Answer:
        asked = {**(query or {}), **_VERSION}
        return await self._caller.call(method, path, query=asked, body=body, once=once)


def _body(status: Status) -> dict[str, Any]:
    genre, _, name = status.context.rpartition("/")
    body: dict[str, Any] = {
        "state": _STATES[status.state],
        "description": described(status.description, _MOST_DESCRIPTION),
        "context": {"name": name, **({"genre": genre} if genre else {})},
    }
    if status.target_url:
        body["targetUrl"] = status.target_url
    return body


def _source_commit(iteration: Any) -> str:
    """The head that an iteration stands for, "" where that is gone."""
    return str((iteration.get("sourceRefCommit") or {}).get("commitId", ""))


def _authorization(token: str) -> str:
    """A token of Entra ID is a JWT and stands alone; a personal access token is a password without a user."""
    if token.startswith("eyJ") and token.count(".") == 2:
        return f"Bearer {token}"
    return "Basic " + base64.b64encode(f":{token}".encode()).decode()


def _values(answer: Answer) -> list[Any]:
    values = answer.body.get("value") if isinstance(answer.body, dict) else None
    if not isinstance(values, list):
        raise _strange()
    return values


def _first(thread: Any) -> dict[str, Any]:
    """The comment that a thread started with, an empty one where there is none."""
    comments = thread.get("comments") if isinstance(thread, dict) else None
    first = comments[0] if isinstance(comments, list) and comments else {}
    return first if isinstance(first, dict) else {}


def _is_candidate(thread: Any, marker: str) -> bool:
    first = _first(thread)
    deleted = thread.get("isDeleted") or first.get("isDeleted")
    return is_marked(first.get("content"), marker) and not deleted


def _author(thread: Any) -> str:
    """The id of who started a thread, in small letters; "" where that is not told."""
    author = _first(thread).get("author")
    return str(author.get("id") or "").lower() if isinstance(author, dict) else ""


def _pull(item: Any) -> PullRequest | None:
    """The request; None where it has no head, since nothing has looked at its branch yet."""
    try:
        number, ref = int(item["pullRequestId"]), str(item["sourceRefName"])
        head = (item.get("lastMergeSourceCommit") or {}).get("commitId")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _strange() from error
    if not head:
        return None
    # The branch itself: `refs/pull/N/merge` is missing while there are conflicts.
    return PullRequest(number, str(head), ref, fork=bool(item.get("forkSource")))


def _strange() -> ForgeError:
    return ForgeError("Azure DevOps answered in a shape that we do not know", hint="Check `forge.url`.")

"""Statuses and comments at GitLab. Source: docs.gitlab.com/api: commits, merge requests, notes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from aiohttp import ClientSession

from reconciler.service.notify.caller import USER_AGENT, Caller
from reconciler.service.notify.comments import described, is_marked, marked, same
from reconciler.service.notify.forges import ForgeError, PullRequest, Status

_PAGE: Final = 100
_MOST_PAGES: Final = 10
# Columns of 255 characters for name, description and address.
_MOST_COLUMN: Final = 255
# A job that goes on is `running`: from `pending` older GitLabs do not let it end.
_STATES: Final = {"pending": "running", "success": "success", "failure": "failed", "error": "failed"}
_HINTS: Final = {
    401: "The token is wrong or has expired: renew the secret under `forge.token`.",
    403: "Give the token the scope `api` and the role Developer, Maintainer for protected branches.",
    404: "Check `forge.repository`; a token without access to it gets the same answer.",
    302: "The project was renamed or moved: correct `forge.repository`.",
}


class GitLab:
    """One project at gitlab.com or on a server of one's own."""

    most = 1_000_000

    def __init__(self, address: str, repository: str, token: str, session: ClientSession) -> None:
        headers = {"PRIVATE-TOKEN": token, "Accept": "application/json", "User-Agent": USER_AGENT}
        self._caller = Caller("GitLab", address, headers, token, session, _HINTS)
        self._me: int | None = None
        self._project = f"/projects/{quote(repository, safe='')}"

    async def set_status(self, commit: str, status: Status) -> None:
        await self._set(commit, status, {})

    async def set_pull_status(self, pull: PullRequest, status: Status) -> None:
        """Add it to the request's pipeline, which "Pipelines must succeed" reads.

        A status without a pipeline makes one. While CI has not begun, that would be a second one, which
        nobody ends: so `pending` waits for a pipeline to stand in.
        """
        if pull.fork:
            return
        answer = await self._caller.call("GET", f"{self._project}/merge_requests/{pull.number}")
        try:
            pipeline, branch = answer.body["head_pipeline"], str(answer.body["source_branch"])
            # One for the merged result has another commit, where no status of the head can be added.
            fits = pipeline is not None and pipeline["sha"] == pull.head
            where = {"pipeline_id": int(pipeline["id"])} if fits else {"ref": branch}
        except (KeyError, TypeError, ValueError) as error:
            raise _strange() from error
        if fits or status.state != "pending":
            await self._set(pull.head, status, where)

    async def _set(self, commit: str, status: Status, where: Mapping[str, Any]) -> None:
        body = {
            "state": _STATES[status.state],
            "name": described(status.context, _MOST_COLUMN),
            "description": described(status.description, _MOST_COLUMN),
            **where,
        }
        if status.target_url and len(status.target_url) <= _MOST_COLUMN:
            body["target_url"] = status.target_url
        try:
            await self._caller.call("POST", f"{self._project}/statuses/{quote(commit, safe='')}", body=body)
        except ForgeError as error:
            # GitLab refuses the state that the status has already.
            if error.status != 400 or "cannot transition status" not in str(error).lower():
                raise

    async def pull_requests(self, branch: str) -> tuple[PullRequest, ...]:
        query = {"state": "opened", "target_branch": branch, "order_by": "created_at", "sort": "asc"}
        found = await self._pages(f"{self._project}/merge_requests", query)
        pulls = (pull for item in found if (pull := _pull(item)) is not None)
        return tuple(sorted(pulls, key=lambda pull: pull.number))

    async def comment(self, number: int, marker: str, markdown: str) -> bool:
        text = marked(marker, markdown, self.most)
        notes = f"{self._project}/merge_requests/{number}/notes"
        for id, there in await self._ours(number, marker):
            if same(there, text):
                return False
            try:
                await self._caller.call("PUT", f"{notes}/{id}", body={"body": text})
            except ForgeError as error:
                # Deleted meanwhile, or not ours to change any more.
                if not error.withheld:
                    raise
            else:
                return True
        answer = await self._caller.call("POST", notes, body={"body": text}, once=True)
        self._me = _author(answer.body) or self._me
        return True

    async def _ours(self, number: int, marker: str) -> list[tuple[int, str]]:
        """Id and text of each note of ours that starts with the marker, oldest first."""
        query = {"order_by": "created_at", "sort": "asc"}
        found = await self._pages(f"{self._project}/merge_requests/{number}/notes", query)
        try:
            candidates = [
                item for item in found if is_marked(item.get("body"), marker) and not item.get("system")
            ]
            if candidates and self._me is None:
                self._me = await self._whoami()
            return [
                (int(item["id"]), item["body"])
                for item in candidates
                if self._me and _author(item) == self._me
            ]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _strange() from error

    async def _whoami(self) -> int:
        """The id of the account that our notes have, 0 where this token is not told."""
        try:
            answer = await self._caller.call("GET", "/user")
        except ForgeError as error:
            if not error.withheld:
                raise
            return 0
        return int(answer.body["id"])

    async def _pages(self, path: str, query: dict[str, str]) -> list[Any]:
        found: list[Any] = []
        for page in range(1, _MOST_PAGES + 1):
            asked = {**query, "per_page": str(_PAGE), "page": str(page)}
            answer = await self._caller.call("GET", path, query=asked)
            if not isinstance(answer.body, list):
                raise _strange()
            found += answer.body
            if len(answer.body) < _PAGE:
                break
        return found


def _pull(item: Any) -> PullRequest | None:
    """The request; None where it has no head, since its branch is gone or was not looked at yet."""
    try:
        number, head = int(item["iid"]), item["sha"]
        fork = item["source_project_id"] != item["target_project_id"]
    except (KeyError, TypeError, ValueError) as error:
        raise _strange() from error
    if not head:
        return None
    return PullRequest(number, str(head), f"refs/merge-requests/{number}/head", fork=fork)


def _author(note: Any) -> int:
    """The id of who wrote a note, 0 where that is not told."""
    author = note.get("author") if isinstance(note, dict) else None
    id = author.get("id") if isinstance(author, dict) else None
    return id if isinstance(id, int) else 0


def _strange() -> ForgeError:
    return ForgeError("GitLab answered in a shape that we do not know", hint="Check `forge.url`.")

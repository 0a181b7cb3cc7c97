"""Statuses and comments at GitHub. Source: docs.github.com/rest, API version 2022-11-28."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote

from aiohttp import ClientSession

from reconciler.service.notify.caller import USER_AGENT, Caller
from reconciler.service.notify.comments import described, is_marked, marked, same
from reconciler.service.notify.forges import ForgeError, PullRequest, Status

_PAGE: Final = 100
# 1,000 requests or comments; who has more is not served by a comment.
_MOST_PAGES: Final = 10
_MOST_DESCRIPTION: Final = 140
_HINTS: Final = {
    401: "The token is wrong or has expired: renew the secret under `forge.token`.",
    403: "Give the token `Commit statuses` and `Pull requests` (read and write) for this repository.",
    404: "Check `forge.repository`; a token without access to it gets the same answer.",
    422: "GitHub keeps 1,000 statuses of one name for a commit, and refuses commits it does not have.",
    302: "The repository was renamed or moved: correct `forge.repository`.",
}


class GitHub:
    """One repository at GitHub or on a GitHub Enterprise Server."""

    most = 65_536

    def __init__(self, address: str, repository: str, token: str, session: ClientSession) -> None:
        headers = {
            "Authorization": f"Bearer {token}",
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": USER_AGENT,
        }
        self._caller = Caller("GitHub", address, headers, token, session, _HINTS)
        self._repo = "/repos/" + "/".join(quote(part, safe="") for part in repository.split("/"))
        self._name = repository.lower()
        self._me: str | None = None

    async def set_status(self, commit: str, status: Status) -> None:
        body = {
            "state": status.state,
            "context": status.context,
            "description": described(status.description, _MOST_DESCRIPTION),
        }
        if status.target_url:
            body["target_url"] = status.target_url
        await self._caller.call("POST", f"{self._repo}/statuses/{quote(commit, safe='')}", body=body)

    async def set_pull_status(self, pull: PullRequest, status: Status) -> None:
        # The heads of forks are commits of this repository, too.
        await self.set_status(pull.head, status)

    async def pull_requests(self, branch: str) -> tuple[PullRequest, ...]:
        query = {"state": "open", "base": branch, "sort": "created", "direction": "asc"}
        found = await self._pages(f"{self._repo}/pulls", query)
        return tuple(sorted((self._pull(item) for item in found), key=lambda pull: pull.number))

    def _pull(self, item: Any) -> PullRequest:
        try:
            number, head = int(item["number"]), str(item["head"]["sha"])
            # None where the fork was deleted.
            home = (item["head"]["repo"] or {}).get("full_name", "")
        except (KeyError, TypeError, ValueError) as error:
            raise _strange() from error
        return PullRequest(number, head, f"refs/pull/{number}/head", fork=home.lower() != self._name)

    async def comment(self, number: int, marker: str, markdown: str) -> bool:
        text = marked(marker, markdown, self.most)
        for id, there in await self._ours(number, marker):
            if same(there, text):
                return False
            try:
                await self._caller.call("PATCH", f"{self._repo}/issues/comments/{id}", body={"body": text})
            except ForgeError as error:
                # Deleted meanwhile, or not ours to change any more.
                if not error.withheld:
                    raise
            else:
                return True
        path = f"{self._repo}/issues/{number}/comments"
        answer = await self._caller.call("POST", path, body={"body": text}, once=True)
        self._me = _login(answer.body, "user") or self._me
        return True

    async def _ours(self, number: int, marker: str) -> list[tuple[int, str]]:
        """Id and text of each comment of ours that starts with the marker, oldest first."""
        found = await self._pages(f"{self._repo}/issues/{number}/comments", {})
        try:
            candidates = [item for item in found if is_marked(item.get("body"), marker)]
            if candidates and self._me is None:
                self._me = await self._whoami()
            return [(int(item["id"]), item["body"]) for item in candidates if _is_by(item, self._me)]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _strange() from error

    async def _whoami(self) -> str:
        """The login that our comments have, "" where nothing tells it to this token.

        Source: installation tokens, a job's GITHUB_TOKEN among them, get 403 from `GET /user`; GraphQL's
        `viewer` names their bot as `NAME[bot]`, which no person can be called.
        """
        try:
            return _login((await self._caller.call("GET", "/user")).body)
        except ForgeError as error:
            if not error.withheld:
                raise
        # On a server of one's own it is `/api/graphql`, beside `/api/v3`.
        beside = replace(self._caller, address=self._caller.address.removesuffix("/v3"))
        try:
            answer = await beside.call("POST", "/graphql", body={"query": "{viewer{login}}"})
        except ForgeError as error:
            if not error.withheld:
                raise
            return ""
        return _login(answer.body, "data", "viewer")

    async def _pages(self, path: str, query: dict[str, str]) -> list[Any]:
        # Pages are counted, not followed: an address in an answer is not sent the token.
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


def _login(body: Any, *path: str) -> str:
    """The login of the account below this path of an answer, "" where there is none."""
    for name in (*path, "login"):
        body = body.get(name) if isinstance(body, dict) else None
    return body if isinstance(body, str) else ""


def _is_by(item: Any, me: str | None) -> bool:
    """Whether a comment is by this login; by an app, where only that we are one is known.

    `performed_via_github_app` says nothing of it: a person who writes through an app may edit that comment.
    """
    if me:
        return _login(item, "user") == me
    author = item.get("user")
    # None where the account is gone.
    return author is not None and author.get("type") == "Bot"


def _strange() -> ForgeError:
    return ForgeError("GitHub answered in a shape that we do not know", hint="Check `forge.url`.")

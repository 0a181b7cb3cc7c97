"""Forges on 127.0.0.1, written from their public documentation: paths, headers, paging, limits, refusals.

They share no code with the clients that they test. Each keeps what it was asked and holds the forge's own
rules: a wrong token, a text that is too long or a missing header is answered as the forge would. One that is
`nameless` does not tell who the token is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "forge-token-4f9c2b71e0"
# Who the token is, and somebody else, as each forge names people.
US = {"github": "reconciler-bot", "gitlab": 77, "azure-devops": "6e5d4c3b-0000-4000-8000-000000000077"}
STRANGER = {"github": "mallory", "gitlab": 666, "azure-devops": "6e5d4c3b-0000-4000-8000-000000000666"}
COMMIT = "1f7ec5eb2c4a4b0e9d2d3c4b5a69788796a5b4c3"


@dataclass
class Asked:
    """One request as it arrived; `path` is raw, with its query."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Reply = web.Response | None


@dataclass
class ForgeServer:
    """What every forge has: requests so far, answers prepared for the next ones, and its state."""

    asked: list[Asked] = field(default_factory=list)
    next: list[web.Response] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    statuses: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    locked: set[int] = field(default_factory=set)
    # Requests whose conversation takes no comment.
    silent: set[int] = field(default_factory=set)
    nameless: bool = False
    # What a status is answered instead of being taken, 0 for nothing.
    no_statuses: int = 0
    address: str = ""
    page: int = 100

    def paths(self, method: str) -> list[str]:
        """The paths asked with this method, without their queries."""
        return [asked.path.partition("?")[0] for asked in self.asked if asked.method == method]

    async def handle(self, request: web.Request) -> web.Response:
        raw = await request.read()
        path = request.raw_path
        body = json.loads(raw) if raw else None
        self.asked.append(Asked(request.method, path, dict(request.headers), body))
        if self.next:
            return self.next.pop(0)
        if self.no_statuses and request.method == "POST" and "/statuses" in path:
            said = {"message": "no statuses today"}
            return web.json_response(said, status=self.no_statuses, headers={"Retry-After": "600"})
        refused = self.refusal(request)
        if refused is not None:
            return refused
        return self.answer(request.method, path.partition("?")[0], dict(request.query), body)

    def refusal(self, request: web.Request) -> Reply:
        raise NotImplementedError

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> web.Response:
        raise NotImplementedError

    def paged(self, items: list[Any], query: dict[str, str]) -> list[Any]:
        size, page = int(query.get("per_page", "30")), int(query.get("page", "1"))
        assert size <= 100
        return items[(page - 1) * size : page * size]

    def new_comment(self, text: str, **more: Any) -> dict[str, Any]:
        comment = {"id": len(self.comments) + 1, **more, "body": text}
        self.comments[comment["id"]] = comment
        return comment


class GitHubServer(ForgeServer):
    """A GitHub Enterprise Server for the repository `acme/agents`; `me` ends with `[bot]` for an app's token.

    Sources: docs.github.com/rest/users and /rest/issues/comments, and docs.github.com/graphql: `GET /user` is
    not for installation tokens, whose bot `viewer` names; `user` is null where the account is gone.
    """

    me = str(US["github"])

    def refusal(self, request: web.Request) -> Reply:
        headers = request.headers
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Bad credentials"}, status=401)
        if "User-Agent" not in headers or headers["X-GitHub-Api-Version"] != "2022-11-28":
            return web.json_response({"message": "Request forbidden by administrative rules"}, status=403)
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> web.Response:
        repo = "/api/v3/repos/acme/agents"
        if (method, path) == ("GET", "/api/v3/user"):
            if self.nameless or self.me.endswith("[bot]"):
                return web.json_response({"message": "Resource not accessible by integration"}, status=403)
            return web.json_response(user(self.me))
        if (method, path) == ("POST", "/api/graphql"):
            assert body == {"query": "{viewer{login}}"}
            if self.nameless:
                return web.json_response({"data": None, "errors": [{"type": "FORBIDDEN"}]})
            return web.json_response({"data": {"viewer": {"login": self.me}}})
        if not path.startswith(repo):
            return web.json_response({"message": "Not Found"}, status=404)
        match method, path.removeprefix(repo).strip("/").split("/"):
            case "POST", ["statuses", commit]:
                return self._status(commit, body)
            case "GET", ["pulls"]:
                found = [pull for pull in self.pulls if pull["base"]["ref"] == query["base"]]
                return web.json_response(self.paged(found, query))
            case "GET", ["issues", number, "comments"]:
                mine = [one for one in self.comments.values() if one["issue"] == int(number)]
                return web.json_response(self.paged(mine, query))
            case "POST", ["issues", number, "comments"] if int(number) in self.silent:
                message = "Unable to create comment because issue is locked."
                return web.json_response({"message": message}, status=403)
            case "POST", ["issues", number, "comments"]:
                if len(body["body"]) > 65_536:
                    message = "body is too long (maximum is 65536 characters)"
                    return web.json_response({"message": message}, status=422)
                comment = self.new_comment(body["body"], issue=int(number), user=user(self.me))
                return web.json_response(comment, status=201)
            case "PATCH", ["issues", "comments", id]:
                if int(id) in self.locked:
                    return web.json_response({"message": "Resource not accessible"}, status=403)
                self.comments[int(id)]["body"] = body["body"].replace("\n", "\r\n")
                return web.json_response(self.comments[int(id)])
        return web.json_response({"message": "Not Found"}, status=404)

    def _status(self, commit: str, body: Any) -> web.Response:
        right = body["state"] in ("error", "failure", "pending", "success")
        if not right or len(body.get("description", "")) > 140:
            message = "Validation Failed: description is too long (maximum is 140 characters)"
            return web.json_response({"message": message}, status=422)
        self.statuses.append((commit, body))
        return web.json_response({"id": 1, **body}, status=201)

    def pull(self, number: int, head: str, *, base: str = "main", home: str | None = "acme/agents") -> None:
        repo = {"full_name": home} if home else None
        self.pulls.append(
            {
                "number": number,
                "head": {"sha": head, "ref": f"b{number}", "repo": repo},
                "base": {"ref": base},
            }
        )


def user(login: str) -> dict[str, Any]:
    """An account as GitHub's REST API shows it; that of an app is a bot."""
    return {"login": login, "id": len(login), "type": "Bot" if login.endswith("[bot]") else "User"}


@dataclass
class GitLabServer(ForgeServer):
    """gitlab.com for the project `acme/platform/agents`.

    Sources: docs.gitlab.com/api: users, notes, commits, merge requests; `Ci::CreateCommitStatusService` of
    GitLab: a status stands in a pipeline of its commit, the newest one where none is named, else in a new one
    of its `ref`; a commit on no branch of this project, such as a fork's, has no `ref`.
    """

    pipelines: list[dict[str, Any]] = field(default_factory=list)

    def refusal(self, request: web.Request) -> Reply:
        if request.headers.get("PRIVATE-TOKEN") != TOKEN:
            return web.json_response({"message": "401 Unauthorized"}, status=401)
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> web.Response:
        project = "/api/v4/projects/acme%2Fplatform%2Fagents"
        if (method, path) == ("GET", "/api/v4/user"):
            if self.nameless:
                return web.json_response({"error": "insufficient_scope"}, status=403)
            return web.json_response({"id": US["gitlab"], "username": "project_7_bot", "bot": True})
        if not path.startswith(project):
            return web.json_response({"message": "404 Project Not Found"}, status=404)
        match method, path.removeprefix(project).strip("/").split("/"):
            case "POST", ["statuses", commit]:
                return self._status(commit, body)
            case "GET", ["merge_requests"]:
                assert query["state"] == "opened"
                found = [pull for pull in self.pulls if pull["target_branch"] == query["target_branch"]]
                return web.json_response(self.paged(found, query))
            case "GET", ["merge_requests", number]:
                pull = next(one for one in self.pulls if one["iid"] == int(number))
                mine = [one for one in self.pipelines if pull["source_branch"] in one["shown_in"]]
                return web.json_response({**pull, "head_pipeline": mine[-1] if mine else None})
            case "GET", ["merge_requests", number, "notes"]:
                mine = [one for one in self.comments.values() if one["issue"] == int(number)]
                return web.json_response(self.paged(mine, query))
            case "POST", ["merge_requests", number, "notes"]:
                if len(body["body"]) > 1_000_000:
                    return web.json_response({"message": {"note": ["is too long"]}}, status=400)
                us = {"id": US["gitlab"], "username": "project_7_bot"}
                note = self.new_comment(body["body"], issue=int(number), system=False, author=us)
                return web.json_response(note, status=201)
            case "PUT", ["merge_requests", _, "notes", id]:
                if int(id) in self.locked:
                    return web.json_response({"message": "403 Forbidden"}, status=403)
                self.comments[int(id)]["body"] = body["body"]
                return web.json_response(self.comments[int(id)])
        return web.json_response({"error": "404 Not Found"}, status=404)

    def _status(self, commit: str, body: Any) -> web.Response:
        assert body["state"] in ("pending", "running", "success", "failed", "canceled", "skipped")
        if len(body["description"]) > 255 or len(body["name"]) > 255 or len(body.get("target_url", "")) > 255:
            return web.json_response({"message": {"description": ["is too long"]}}, status=400)
        strangers = {pull["sha"] for pull in self.pulls if pull["source_project_id"] != 7}
        if commit in strangers and "ref" not in body:
            return web.json_response({"message": "404 References for commit Not Found"}, status=404)
        pipeline = self._pipeline(commit, body)
        if pipeline is None:
            said = "404 Pipeline for pipeline_id, sha and ref Not Found"
            return web.json_response({"message": said}, status=404)
        if pipeline["jobs"].get(body["name"]) == body["state"] == "running":
            said = "Cannot transition status via :run from :running (Reason(s): Status cannot transition…)"
            return web.json_response({"message": said}, status=400)
        pipeline["jobs"][body["name"]] = body["state"]
        self.statuses.append((commit, body))
        return web.json_response({"id": 1, "pipeline_id": pipeline["id"], **body}, status=201)

    def _pipeline(self, commit: str, body: Any) -> dict[str, Any] | None:
        fits = [one for one in self.pipelines if one["sha"] == commit]
        if "ref" in body:
            fits = [one for one in fits if one["ref"] == body["ref"]]
        if "pipeline_id" in body:
            fits = [one for one in fits if one["id"] == body["pipeline_id"]]
            return fits[-1] if fits else None
        return fits[-1] if fits else self.pipeline(commit, body.get("ref", "a-branch"))

    def pipeline(self, sha: str, ref: str, *, branch: str = "") -> dict[str, Any]:
        """A new pipeline; that of a request has another `ref` than the branch that it is shown for."""
        made = {"id": 50 + len(self.pipelines), "sha": sha, "ref": ref, "shown_in": [ref, branch], "jobs": {}}
        self.pipelines.append(made)
        return made

    def pull(self, number: int, head: str, *, base: str = "main", home: int = 7) -> None:
        self.pulls.append(
            {
                "iid": number,
                "sha": head,
                "source_branch": f"b{number}",
                "target_branch": base,
                "source_project_id": home,
                "target_project_id": 7,
            }
        )


@dataclass
class AzureServer(ForgeServer):
    """dev.azure.com/acme for the repository `agents` of the project `Team A`.

    Sources: the SDK's `LocationClient.get_connection_data`, which is in preview in every version of the API;
    learn.microsoft.com/rest/api/azure/devops/git: pull request statuses, pull request iterations.
    """

    iterations: dict[int, list[str]] = field(default_factory=dict)

    def refusal(self, request: web.Request) -> Reply:
        given = request.headers.get("Authorization", "")
        if given != "Basic " + base64.b64encode(f":{TOKEN}".encode()).decode():
            if request.headers.get("X-TFS-FedAuthRedirect") == "Suppress":
                return web.Response(status=401, text="<html>Access Denied</html>", content_type="text/html")
            return web.Response(
                status=302, headers={"Location": "https://spsprodweu1.vssps.visualstudio.com/"}
            )
        preview = request.path.endswith("/_apis/connectionData")
        if request.query.get("api-version") != ("7.1-preview" if preview else "7.1"):
            return web.json_response({"message": "No api-version was supplied"}, status=400)
        return None

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> web.Response:
        repo = "/acme/Team%20A/_apis/git/repositories/agents"
        if (method, path) == ("GET", "/acme/_apis/connectionData"):
            if self.nameless:
                return web.json_response({"message": "TF400813: not authorized"}, status=403)
            # Where ids are GUIDs, their case says nothing.
            return web.json_response({"authenticatedUser": {"id": str(US["azure-devops"]).upper()}})
        if not path.startswith(repo):
            return web.json_response({"message": "TF401019: The repository does not exist"}, status=404)
        match method, path.removeprefix(repo).strip("/").split("/"):
            case "POST", ["commits", commit, "statuses"]:
                return self._status(commit, body, 201)
            case "GET", ["pullRequests", number, "iterations"]:
                mine = self.iterations.get(int(number), [])
                found = [{"id": id, "sourceRefCommit": {"commitId": head}} for id, head in enumerate(mine, 1)]
                return web.json_response({"value": found, "count": len(found)})
            case "POST", ["pullRequests", number, "statuses"]:
                mine, at = self.iterations.get(int(number), []), body["iterationId"]
                if not 1 <= at <= len(mine):
                    return web.json_response({"message": "TF401181: no such iteration"}, status=404)
                return self._status(mine[at - 1], body, 200)
            case "GET", ["pullrequests"]:
                assert query["searchCriteria.status"] == "active"
                target = query["searchCriteria.targetRefName"]
                found = [pull for pull in self.pulls if pull["targetRefName"] == target]
                skip, top = int(query["$skip"]), int(query["$top"])
                return web.json_response({"value": found[skip : skip + top], "count": 1})
            case "GET", ["pullRequests", number, "threads"]:
                mine = [one["thread"] for one in self.comments.values() if one["issue"] == int(number)]
                return web.json_response({"value": mine, "count": len(mine)})
            case "POST", ["pullRequests", number, "threads"]:
                text = body["comments"][0]["content"]
                if len(text) > 150_000:
                    return web.json_response({"message": "TF400898: too long"}, status=400)
                return web.json_response(self.thread(int(number), text), status=200)
            case "PATCH", ["pullRequests", _, "threads", thread, "comments", "1"]:
                if int(thread) in self.locked:
                    return web.json_response({"message": "TF401027: no permission"}, status=403)
                self.comments[int(thread)]["thread"]["comments"][0]["content"] = body["content"]
                self.comments[int(thread)]["body"] = body["content"]
                return web.json_response({"id": 1, "content": body["content"]})
        return web.json_response({"message": "Not Found"}, status=404)

    def _status(self, commit: str, body: Any, status: int) -> web.Response:
        assert body["state"] in ("pending", "succeeded", "failed", "error", "notApplicable", "notSet")
        assert set(body["context"]) <= {"name", "genre"}
        assert body["context"]["name"]
        self.statuses.append((commit, body))
        return web.json_response({"id": 1, **body}, status=status)

    def thread(
        self, number: int, text: str, *, author: object = US["azure-devops"], deleted: bool = False
    ) -> dict[str, Any]:
        comment = self.new_comment(text, issue=number)
        first = {"id": 1, "content": text, "author": {"id": author}, "isDeleted": deleted}
        comment["thread"] = {
            "id": comment["id"],
            "comments": [first],
            "isDeleted": deleted,
        }
        return comment["thread"]

    def pull(self, number: int, head: str, *, base: str = "main", home: str | None = None) -> None:
        pull = {
            "pullRequestId": number,
            "lastMergeSourceCommit": {"commitId": head},
            "sourceRefName": f"refs/heads/b{number}",
            "targetRefName": f"refs/heads/{base}",
        }
        self.iterations.setdefault(number, []).append(head)
        self.pulls.append(pull | ({"forkSource": {"repository": {"id": home}}} if home else {}))


@asynccontextmanager
async def served(handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    """An HTTP server on loopback that answers everything by `handle`; its address."""
    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()

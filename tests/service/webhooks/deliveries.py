"""Bodies and headers as each provider sends them, with names of our own."""

from __future__ import annotations

from typing import Any, Final

ZEROS: Final = "0" * 40
OLD: Final = "4f1c" * 10
NEW: Final = "a97b" * 10

Body = dict[str, Any]


def github(
    ref: str = "refs/heads/main", *, before: str = OLD, after: str = NEW, repo: str = "acme/agents"
) -> Body:
    """A push as GitHub, Gitea, Forgejo and Gogs tell it."""
    return {
        "ref": ref,
        "before": before,
        "after": after,
        "created": before == ZEROS,
        "deleted": after == ZEROS,
        "forced": False,
        "base_ref": None,
        "compare": f"https://github.com/{repo}/compare/{before[:12]}...{after[:12]}",
        "commits": [{"id": after, "message": "Say it kindly", "added": [], "modified": ["triage.yaml"]}],
        "head_commit": None if after == ZEROS else {"id": after},
        "repository": {
            "id": 17,
            "full_name": repo,
            "html_url": f"https://github.com/{repo}",
            "url": f"https://api.github.com/repos/{repo}",
            "clone_url": f"https://github.com/{repo}.git",
            "ssh_url": f"git@github.com:{repo}.git",
            "git_url": f"git://github.com/{repo}.git",
            "default_branch": "main",
        },
        "pusher": {"name": "robin"},
    }


def gitlab(ref: str = "refs/heads/main", *, after: str = NEW, repo: str = "acme/platform/agents") -> Body:
    """A push as GitLab tells it."""
    kind = "tag_push" if ref.startswith("refs/tags/") else "push"
    return {
        "object_kind": kind,
        "event_name": kind,
        "ref": ref,
        "before": OLD,
        "after": after,
        "checkout_sha": None if after == ZEROS else after,
        "project_id": 17,
        "project": {
            "name": "agents",
            "web_url": f"https://gitlab.example/{repo}",
            "git_http_url": f"https://gitlab.example/{repo}.git",
            "git_ssh_url": f"git@gitlab.example:{repo}.git",
            "path_with_namespace": repo,
            "default_branch": "main",
        },
        "commits": [{"id": after, "title": "Say it kindly"}],
        "total_commits_count": 61,
        "repository": {"name": "agents", "homepage": f"https://gitlab.example/{repo}"},
    }


def gitlab_system(*refs: str) -> Body:
    """A system hook of GitLab that tells of several refs at once."""
    body = gitlab()
    return {
        "event_name": "repository_update",
        "project_id": 17,
        "project": body["project"],
        "changes": [{"before": OLD, "after": NEW, "ref": ref} for ref in refs],
        "refs": list(refs),
    }


def azure_devops(
    *refs: str, new: str = NEW, url: str = "https://acme@dev.azure.com/acme/Shared%20Services/_git/agents"
) -> Body:
    """A push as Azure DevOps tells it: one or several refs."""
    return {
        "subscriptionId": "5a8c2f0e-0000-4000-8000-000000000001",
        "notificationId": 3,
        "id": "9f1d2c3b-0000-4000-8000-000000000002",
        "eventType": "git.push",
        "publisherId": "tfs",
        "message": {"text": "Robin pushed updates"},
        "resource": {
            "commits": [{"commitId": new, "comment": "Say it kindly"}],
            "refUpdates": [
                {"name": ref, "oldObjectId": OLD, "newObjectId": new} for ref in refs or ("refs/heads/main",)
            ],
            "repository": {
                "id": "1c0ffee0-0000-4000-8000-000000000003",
                "name": "agents",
                "url": "https://dev.azure.com/acme/_apis/git/repositories/1c0ffee0",
                "defaultBranch": "refs/heads/main",
                "remoteUrl": url,
            },
            "pushId": 14,
        },
        "resourceVersion": "1.0",
        "createdDate": "2026-02-03T04:05:06.789Z",
    }


def bitbucket(*sides: tuple[str, str, str], repo: str = "acme/agents") -> Body:
    """A push as Bitbucket Cloud tells it. Each side is (what happened, type, name)."""
    changes = []
    for what, kind, name in sides or (("moved", "branch", "main"),):
        side = {"type": kind, "name": name, "target": {"hash": NEW}}
        changes.append(
            {
                "new": None if what == "deleted" else side,
                "old": None if what == "created" else side,
                "created": what == "created",
                "closed": what == "deleted",
                "forced": False,
            }
        )
    return {
        "push": {"changes": changes},
        "repository": {
            "type": "repository",
            "full_name": repo,
            "links": {
                "html": {"href": f"https://bitbucket.org/{repo}"},
                "self": {"href": "https://api.invalid"},
            },
            "uuid": "{17171717-0000-4000-8000-000000000004}",
        },
        "actor": {"display_name": "Robin"},
    }


def bitbucket_server(*changes: tuple[str, str], links: bool = True, slug: str = "agents") -> Body:
    """A push as Bitbucket Data Center tells it. Each change is (type, full name)."""
    clones = [
        {"name": "ssh", "href": f"ssh://git@bitbucket.example:7999/ai/{slug}.git"},
        {"name": "http", "href": f"https://bitbucket.example/scm/ai/{slug}.git"},
    ]
    return {
        "eventKey": "repo:refs_changed",
        "date": "2026-02-03T04:05:06+0000",
        "actor": {"name": "robin"},
        "repository": {
            "slug": slug,
            "id": 17,
            "project": {"key": "AI", "id": 4},
            **({"links": {"clone": clones}} if links else {}),
        },
        "changes": [
            {
                "ref": {"id": ref, "displayId": ref.split("/", 2)[2], "type": "BRANCH"},
                "refId": ref,
                "fromHash": ZEROS if kind == "ADD" else OLD,
                "toHash": ZEROS if kind == "DELETE" else NEW,
                "type": kind,
            }
            for kind, ref in changes or (("UPDATE", "refs/heads/main"),)
        ],
    }

"""Which events make us fetch: every provider's payloads, and the odd ones that crashed others."""

from __future__ import annotations

import json
from typing import Any

import pytest

from reconciler.service.webhooks.events import Change, Decision, Event, decide, followed, path_of
from reconciler.service.webhooks.payloads import parsed
from reconciler.service.webhooks.providers import PROVIDERS

from .deliveries import NEW, ZEROS, azure_devops, bitbucket, bitbucket_server, github, gitlab, gitlab_system
from .world import URLS

FETCH, PING, NO_PUSH = Decision.FETCH, Decision.PING, Decision.NO_PUSH
OTHER_REPOSITORY, OTHER_REF = Decision.OTHER_REPOSITORY, Decision.OTHER_REF


def decided(
    provider: str, name: str, body: Any, *, ref: str | None = None, url: str | None = None
) -> Decision:
    """What is decided about a body as it comes over the wire."""
    read = PROVIDERS[provider].read
    assert read is not None
    value = parsed(json.dumps(body).encode(), form=False)
    assert value is not None
    return decide(read(name, value), followed(url or URLS[provider], ref))


@pytest.mark.parametrize(
    ("provider", "name", "body", "ref", "expected"),
    [
        # GitHub
        pytest.param("github", "push", github(), None, FETCH, id="github-push"),
        pytest.param("github", "push", github(), "main", FETCH, id="github-followed"),
        pytest.param("github", "push", github("refs/heads/dev"), "main", OTHER_REF, id="github-other-branch"),
        pytest.param("github", "push", github("refs/heads/dev"), None, FETCH, id="github-any-branch"),
        pytest.param("github", "push", github("refs/heads/a/main"), "main", OTHER_REF, id="github-same-end"),
        pytest.param("github", "push", github("refs/heads/Main"), "main", OTHER_REF, id="github-other-case"),
        pytest.param("github", "push", github(before=ZEROS), "main", FETCH, id="github-new-branch"),
        pytest.param("github", "push", github(after=ZEROS), "main", OTHER_REF, id="github-branch-deleted"),
        pytest.param("github", "push", github(after=ZEROS), None, OTHER_REF, id="github-any-branch-deleted"),
        pytest.param("github", "push", github(after="0" * 64), "main", OTHER_REF, id="github-deleted-sha256"),
        pytest.param(
            "github", "push", github() | {"deleted": True}, "main", OTHER_REF, id="github-only-deleted"
        ),
        pytest.param("github", "push", github("refs/tags/v1"), None, OTHER_REF, id="github-tag"),
        pytest.param(
            "github", "push", github("refs/tags/v1"), "main", OTHER_REF, id="github-tag-not-followed"
        ),
        pytest.param(
            "github", "push", github("refs/tags/v1", after=ZEROS), None, OTHER_REF, id="github-tag-deleted"
        ),
        pytest.param("github", "push", github("refs/tags/v1"), "v1", FETCH, id="github-tag-followed"),
        pytest.param(
            "github", "push", github("refs/tags/v1"), "refs/tags/v1", FETCH, id="github-tag-in-full"
        ),
        pytest.param(
            "github",
            "push",
            github("refs/tags/v1", after=ZEROS),
            "v1",
            OTHER_REF,
            id="github-followed-tag-gone",
        ),
        pytest.param(
            "github", "push", github("refs/heads/v1"), "refs/tags/v1", OTHER_REF, id="github-no-tag"
        ),
        pytest.param("github", "push", github("refs/pull/7/head"), None, OTHER_REF, id="github-pull"),
        pytest.param(
            "github", "push", github("refs/pull/7/head"), "refs/pull/7/head", FETCH, id="github-full"
        ),
        pytest.param("github", "push", github(), "HEAD", FETCH, id="github-head-is-the-default"),
        pytest.param("github", "push", github(), NEW, OTHER_REF, id="github-a-commit-never-moves"),
        pytest.param(
            "github", "push", github(repo="acme/other"), None, OTHER_REPOSITORY, id="github-other-repo"
        ),
        pytest.param(
            "github", "push", github(repo="evil/acme/agents"), None, OTHER_REPOSITORY, id="github-nested"
        ),
        pytest.param(
            "github", "push", github(repo="Acme/Agents"), None, FETCH, id="github-repo-in-other-case"
        ),
        pytest.param(
            "github", "ping", {"zen": "Keep it small.", "hook_id": 17}, None, PING, id="github-ping"
        ),
        pytest.param("github", "issues", {"action": "opened"}, None, NO_PUSH, id="github-issue"),
        pytest.param(
            "github", "create", {"ref": "main", "ref_type": "branch"}, None, NO_PUSH, id="github-create"
        ),
        pytest.param(
            "github", "delete", {"ref": "main", "ref_type": "branch"}, None, NO_PUSH, id="github-delete"
        ),
        pytest.param("github", "", github(), "main", FETCH, id="github-no-event-header"),
        # GitLab
        pytest.param("gitlab", "Push Hook", gitlab(), "main", FETCH, id="gitlab-push"),
        pytest.param(
            "gitlab", "Push Hook", gitlab("refs/heads/dev"), "main", OTHER_REF, id="gitlab-other-branch"
        ),
        pytest.param("gitlab", "Push Hook", gitlab(after=ZEROS), None, OTHER_REF, id="gitlab-branch-deleted"),
        pytest.param("gitlab", "Tag Push Hook", gitlab("refs/tags/v1"), None, OTHER_REF, id="gitlab-tag"),
        pytest.param(
            "gitlab", "Tag Push Hook", gitlab("refs/tags/v1"), "v1", FETCH, id="gitlab-tag-followed"
        ),
        pytest.param("gitlab", "System Hook", gitlab(), "main", FETCH, id="gitlab-system-push"),
        pytest.param(
            "gitlab",
            "System Hook",
            gitlab_system("refs/tags/v1", "refs/heads/dev", "refs/heads/main"),
            "main",
            FETCH,
            id="gitlab-system-last-of-three",
        ),
        pytest.param(
            "gitlab",
            "System Hook",
            gitlab_system("refs/heads/dev"),
            "main",
            OTHER_REF,
            id="gitlab-system-other",
        ),
        pytest.param(
            "gitlab", "System Hook", {"event_name": "user_create"}, None, NO_PUSH, id="gitlab-system-user"
        ),
        pytest.param("gitlab", "Issue Hook", {"object_kind": "issue"}, None, NO_PUSH, id="gitlab-issue"),
        pytest.param(
            "gitlab", "Push Hook", gitlab(repo="acme/agents"), None, OTHER_REPOSITORY, id="gitlab-other"
        ),
        pytest.param(
            "gitlab", "Push Hook", {"ref": "refs/heads/main"}, "main", FETCH, id="gitlab-only-the-ref"
        ),
        # Azure DevOps
        pytest.param("azure-devops", "", azure_devops(), "main", FETCH, id="azure-push"),
        pytest.param(
            "azure-devops",
            "",
            azure_devops("refs/heads/dev", "refs/tags/v1", "refs/heads/main"),
            "main",
            FETCH,
            id="azure-last-of-three",
        ),
        pytest.param("azure-devops", "", azure_devops("refs/heads/dev"), "main", OTHER_REF, id="azure-other"),
        pytest.param("azure-devops", "", azure_devops(new=ZEROS), None, OTHER_REF, id="azure-deleted"),
        pytest.param(
            "azure-devops",
            "",
            {"eventType": "git.push", "resource": None},
            "main",
            FETCH,
            id="azure-no-details",
        ),
        pytest.param("azure-devops", "", {"eventType": "git.push"}, "main", FETCH, id="azure-bare"),
        pytest.param("azure-devops", "", {"eventType": "build.complete"}, None, NO_PUSH, id="azure-build"),
        # Bitbucket Cloud
        pytest.param("bitbucket", "repo:push", bitbucket(), "main", FETCH, id="bitbucket-push"),
        pytest.param(
            "bitbucket",
            "repo:push",
            bitbucket(("moved", "branch", "dev"), ("created", "branch", "main")),
            "main",
            FETCH,
            id="bitbucket-second-of-two",
        ),
        pytest.param(
            "bitbucket",
            "repo:push",
            bitbucket(("deleted", "branch", "main")),
            None,
            OTHER_REF,
            id="bitbucket-gone",
        ),
        pytest.param(
            "bitbucket", "repo:push", bitbucket(("created", "tag", "v1")), None, OTHER_REF, id="bitbucket-tag"
        ),
        pytest.param(
            "bitbucket",
            "repo:push",
            bitbucket(("moved", "tag", "v1")),
            "v1",
            FETCH,
            id="bitbucket-tag-followed",
        ),
        pytest.param(
            "bitbucket",
            "repo:push",
            bitbucket(repo="acme/x"),
            None,
            OTHER_REPOSITORY,
            id="bitbucket-other-repo",
        ),
        pytest.param("bitbucket", "repo:fork", {}, None, NO_PUSH, id="bitbucket-fork"),
        # Bitbucket Data Center
        pytest.param(
            "bitbucket-server", "repo:refs_changed", bitbucket_server(), "main", FETCH, id="server-push"
        ),
        pytest.param(
            "bitbucket-server",
            "repo:refs_changed",
            bitbucket_server(("DELETE", "refs/heads/main"), ("ADD", "refs/heads/next")),
            "next",
            FETCH,
            id="server-second-of-two",
        ),
        pytest.param(
            "bitbucket-server",
            "repo:refs_changed",
            bitbucket_server(("DELETE", "refs/heads/main")),
            "main",
            OTHER_REF,
            id="server-deleted",
        ),
        pytest.param(
            "bitbucket-server",
            "mirror:repo_synchronized",
            bitbucket_server(),
            "main",
            FETCH,
            id="server-mirror",
        ),
        pytest.param(
            "bitbucket-server",
            "repo:refs_changed",
            bitbucket_server(links=False),
            "main",
            FETCH,
            id="server-no-links",
        ),
        pytest.param(
            "bitbucket-server",
            "repo:refs_changed",
            bitbucket_server(links=False, slug="other"),
            "main",
            OTHER_REPOSITORY,
            id="server-other-repo",
        ),
        pytest.param("bitbucket-server", "diagnostics:ping", {"test": True}, None, PING, id="server-ping"),
        pytest.param("bitbucket-server", "pr:opened", {}, None, NO_PUSH, id="server-pull-request"),
        # Gitea, Forgejo, Gogs
        pytest.param("gitea", "push", github(), "main", FETCH, id="gitea-push"),
        pytest.param("gitea", "create", {"ref": "v1", "ref_type": "tag"}, None, NO_PUSH, id="gitea-create"),
        pytest.param("forgejo", "push", github(after=ZEROS), "main", OTHER_REF, id="forgejo-deleted"),
        pytest.param(
            "gogs", "push", {"ref": "refs/heads/main", "after": NEW}, "main", FETCH, id="gogs-no-repo"
        ),
    ],
)
def test_what_matters(provider: str, name: str, body: Any, ref: str | None, expected: Decision) -> None:
    assert decided(provider, name, body, ref=ref) is expected


# What a trusted sender leaves open counts as a push: only that a fetch is cheap makes this right.
@pytest.mark.parametrize(
    ("provider", "name", "body"),
    [
        pytest.param("github", "push", {}, id="empty"),
        pytest.param("github", "push", {"ref": ["refs/heads/x"], "after": {}}, id="list-for-string"),
        pytest.param("github", "push", {"ref": "refs/heads/main", "repository": None}, id="null-repository"),
        pytest.param("github", "push", github() | {"repository": "acme/agents"}, id="string-for-repository"),
        pytest.param("github", "push", github() | {"repository": {"html_url": 7}}, id="number-for-url"),
        pytest.param("github", "push", github() | {"repository": {"html_url": "http://["}}, id="no-url"),
        pytest.param("github", "push", github() | {"after": None}, id="null-commit"),
        pytest.param("gitlab", "Push Hook", gitlab() | {"project": None}, id="gitlab-null-project"),
        pytest.param(
            "gitlab", "System Hook", gitlab_system() | {"changes": "all"}, id="gitlab-string-for-list"
        ),
        pytest.param("azure-devops", "", {"eventType": ["git.push"]}, id="azure-odd-type"),
        pytest.param("azure-devops", "", {"eventType": "git.push", "resource": []}, id="azure-odd-resource"),
        pytest.param(
            "azure-devops",
            "",
            {"eventType": "git.push", "resource": {"refUpdates": None}},
            id="azure-null-updates",
        ),
        pytest.param(
            "azure-devops",
            "",
            {"eventType": "git.push", "resource": {"refUpdates": [None]}},
            id="azure-null-update",
        ),
        pytest.param("bitbucket", "repo:push", {"push": {"changes": "x"}}, id="bitbucket-string-for-list"),
        pytest.param("bitbucket", "repo:push", {"push": {"changes": [[], 7]}}, id="bitbucket-odd-changes"),
        pytest.param(
            "bitbucket",
            "repo:push",
            {"push": {"changes": [{"new": {"type": [], "name": "x"}}]}},
            id="bitbucket-odd-type",
        ),
        pytest.param(
            "bitbucket-server", "repo:refs_changed", {"changes": {"ref": "x"}}, id="server-odd-changes"
        ),
        pytest.param(
            "bitbucket-server",
            "repo:refs_changed",
            {"repository": {"links": {"clone": [None, {"href": 7}]}, "project": [], "slug": 1}},
            id="server-odd-repository",
        ),
    ],
)
def test_what_is_left_open_makes_us_fetch(provider: str, name: str, body: Any) -> None:
    assert decided(provider, name, body, ref="main") is FETCH


@pytest.mark.parametrize(
    ("provider", "name", "body"),
    [
        ("azure-devops", "", azure_devops() | {"resource": {"refUpdates": []}}),
        ("bitbucket", "repo:push", {"push": {"changes": []}}),
        ("bitbucket-server", "repo:refs_changed", {"changes": []}),
    ],
)
def test_an_event_without_changes_changes_nothing(provider: str, name: str, body: Any) -> None:
    assert decided(provider, name, body) is OTHER_REF


@pytest.mark.parametrize(
    "url",
    [
        "https://dev.azure.com/acme/Shared%20Services/_git/agents",
        "https://acme@dev.azure.com/acme/Shared%20Services/_git/agents",
        "https://acme.visualstudio.com/Shared%20Services/_git/agents",
        "https://acme.visualstudio.com/DefaultCollection/Shared%20Services/_git/agents",
        "git@ssh.dev.azure.com:v3/acme/Shared%20Services/agents",
        "ssh://acme@vs-ssh.visualstudio.com/v3/acme/Shared%20Services/agents",
    ],
)
def test_azure_devops_has_one_repository_under_each_of_its_addresses(url: str) -> None:
    assert decided("azure-devops", "", azure_devops(), url=url) is FETCH
    assert decided("azure-devops", "", azure_devops(url=url)) is FETCH
    assert decided("azure-devops", "", azure_devops(), url=url + "-2") is OTHER_REPOSITORY


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://github.com/Acme/Agents.git", "acme/agents"),
        ("ssh://git@ssh.github.com:443/acme/agents.git", "acme/agents"),
        ("git@gitlab.example:acme/platform/agents", "acme/platform/agents"),
        ("https://user:pw@host:8443/acme/agents/", "acme/agents"),
        ("file:///srv/agents.git", ""),
        ("/srv/agents", ""),
        ("not a url", ""),
        ("http://[", ""),
        ("javascript:alert(1)", ""),
    ],
)
def test_a_repository_is_known_by_its_path(url: str, path: str) -> None:
    assert path_of(url) == path


def test_one_server_may_have_two_names() -> None:
    """Inside a cluster it is `gitea.git.svc:3000`, and its payloads name the public address."""
    assert decided("gitea", "push", github(), url="http://gitea.git.svc:3000/acme/agents.git") is FETCH
    assert (
        decided("gitea", "push", github(), url="http://gitea.git.svc:3000/acme/tools.git") is OTHER_REPOSITORY
    )


@pytest.mark.parametrize("url", ["/srv/agents", "file:///srv/agents.git", "https://host/a//b?nonsense=1"])
def test_a_source_without_a_path_hears_of_every_repository(url: str) -> None:
    assert decided("github", "push", github(), url=url) is FETCH


def test_the_ref_may_stand_in_the_address() -> None:
    url = "https://github.com/acme/agents.git//manifests?ref=prod"

    assert decided("github", "push", github("refs/heads/prod"), url=url) is FETCH
    assert decided("github", "push", github("refs/heads/main"), url=url) is OTHER_REF


def test_one_change_of_many_is_enough() -> None:
    changes = (Change("refs/heads/a"), Change("refs/heads/main", gone=True), Change("refs/heads/main"))

    assert decide(Event("push", changes), followed(URLS["github"], "main")) is FETCH
    assert decide(Event("push", changes[:2]), followed(URLS["github"], "main")) is OTHER_REF


@pytest.mark.parametrize(
    ("body", "form", "expected"),
    [
        pytest.param(b"{}", False, {}, id="object"),
        pytest.param('{"a":"é"}'.encode(), False, {"a": "é"}, id="unicode"),
        pytest.param(b"payload=%7B%22a%22%3A%22%C3%A9+b%22%7D", True, {"a": "é b"}, id="form"),
        pytest.param(b"", False, None, id="empty"),
        pytest.param(b"[]", False, None, id="list"),
        pytest.param(b'"push"', False, None, id="string"),
        pytest.param(b'{"a":', False, None, id="half"),
        pytest.param(b"\xff\xfe{}", False, None, id="no-utf8"),
        pytest.param(b'{"a":NaN}', False, None, id="nan"),
        pytest.param(b"[" * 100_000, False, None, id="deep"),
        pytest.param(b'{"a":' * 5_000 + b"1" + b"}" * 5_000, False, None, id="deep-objects"),
        pytest.param(b"payload=%7B%7D", False, None, id="form-taken-for-json"),
        pytest.param(b"{}", True, None, id="json-taken-for-form"),
        pytest.param(b"", True, None, id="empty-form"),
        pytest.param(b"payload=%FF", True, None, id="form-no-utf8"),
        pytest.param("payload=é".encode(), True, None, id="form-not-encoded"),
        pytest.param(b"payload={}&payload={}", True, None, id="form-twice"),
        pytest.param(b"payload={}" + b"&a=1" * 100, True, None, id="form-of-many-fields"),
    ],
)
def test_only_an_object_is_read(body: bytes, form: bool, expected: Any) -> None:
    assert parsed(body, form=form) == expected

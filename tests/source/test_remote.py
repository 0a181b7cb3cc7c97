"""A Git URL: fetched without a checkout, and every way in which a server can fail."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time

import pytest

from reconciler.errors import SourceError, SourceUnreachable, explain
from reconciler.source import open_source
from tests.source.repos import TIME, black_hole, commit, git, git_server, repository

TOKEN = "t0ken-that-nobody-sees"


@pytest.fixture
def repo(tmp_path):
    folder = repository(tmp_path / "srv/repo", {"agents/a.yaml": "one", "README.md": "r"})
    git(folder, "config", "receive.denyCurrentBranch", "ignore")
    return folder


@pytest.fixture
def opened(tmp_path):
    def call(url, *, environ=None, timeout_s=10.0, **options):
        return open_source(
            url, environ=environ or {}, cache=tmp_path / "cache", timeout_s=timeout_s, **options
        )

    return call


def test_the_default_branch_is_read_over_http_without_history(repo, opened):
    first = git(repo, "rev-parse", "HEAD")
    head = commit(repo, {"agents/a.yaml": "two"}, time=TIME + 60)
    with git_server(repo.parent) as server:
        snapshot = opened(f"{server.url}/repo//agents")
    assert snapshot.read("agents/a.yaml") == b"two"
    assert list(snapshot.files) == ["README.md", "agents/a.yaml"]
    assert snapshot.files["README.md"].size == 1
    assert snapshot.scope == "agents"
    assert snapshot.origin == "127.0.0.1/repo"
    revision = snapshot.revision
    assert (revision.commit, revision.time, revision.ref) == (head, TIME + 60, "main")
    assert (revision.shallow, revision.dirty) == (True, False)
    assert snapshot.is_ancestor(first) is None
    assert snapshot.is_ancestor(head) is True


def test_a_file_url_is_read_with_its_history(repo, opened):
    first = git(repo, "rev-parse", "HEAD")
    commit(repo, {"agents/a.yaml": "two"})
    snapshot = opened(f"file://{repo}")
    assert snapshot.is_ancestor(first) is True
    assert snapshot.origin == ""


@pytest.mark.parametrize("way", ["http", "file"])
def test_branches_tags_and_commits_are_refs(repo, opened, way):
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "-a", "v1", "-m", "annotated")
    git(repo, "branch", "release/1", "HEAD")
    commit(repo, {"agents/a.yaml": "two"})
    with git_server(repo.parent) as server:
        url = f"{server.url}/repo" if way == "http" else f"file://{repo}"
        for ref in ("v1", "release/1", "refs/tags/v1", first, first[:10]):
            snapshot = opened(f"{url}?ref={ref}")
            assert snapshot.read("agents/a.yaml") == b"one", ref
            assert snapshot.revision.commit == first, ref
        assert opened(url, ref="main").read("agents/a.yaml") == b"two"


def test_a_remote_that_has_not_moved_costs_one_question(repo, opened):
    with git_server(repo.parent) as server:
        opened(f"{server.url}/repo")
        before = server.requests
        opened(f"{server.url}/repo")
        assert server.requests == before + 1


def test_new_commits_and_force_pushes_are_followed(repo, opened):
    with git_server(repo.parent) as server:
        assert opened(f"{server.url}/repo").read("agents/a.yaml") == b"one"
        commit(repo, {"agents/a.yaml": "two"})
        assert opened(f"{server.url}/repo").read("agents/a.yaml") == b"two"
        git(repo, "reset", "-q", "--hard", "HEAD~1")
        commit(repo, {"agents/a.yaml": "three"})
        assert opened(f"{server.url}/repo").read("agents/a.yaml") == b"three"


def test_a_branch_may_make_room_for_a_folder_of_branches(repo, opened):
    with git_server(repo.parent) as server:
        git(repo, "branch", "a")
        opened(f"{server.url}/repo?ref=a")
        git(repo, "branch", "-D", "a")
        git(repo, "branch", "a/b")
        assert opened(f"{server.url}/repo?ref=a/b").revision.ref == "a/b"


def test_a_deleted_branch_and_a_typing_mistake_are_told_apart(repo, opened):
    git(repo, "branch", "staging")
    with git_server(repo.parent) as server:
        opened(f"{server.url}/repo?ref=staging")
        git(repo, "branch", "-D", "staging")
        with pytest.raises(SourceError, match="no branch or tag `staging`") as caught:
            opened(f"{server.url}/repo?ref=staging")
        assert "deleted" in caught.value.hint
        with pytest.raises(SourceError, match="no branch or tag `mian`") as caught:
            opened(f"{server.url}/repo?ref=mian")
        assert caught.value.hint == "Did you mean `main`?"


def test_a_commit_that_is_gone_is_said(repo, opened):
    with pytest.raises(SourceError, match="no commit `1234567890`") as caught:
        opened(f"file://{repo}?ref=1234567890")
    assert "force push" in caught.value.hint


def test_an_empty_repository_is_said(tmp_path, opened):
    repository(tmp_path / "srv/empty")
    with (
        git_server(tmp_path / "srv") as server,
        pytest.raises(SourceError, match=r"/empty is empty") as caught,
    ):
        opened(f"{server.url}/empty")
    assert caught.value.hint == "Push a commit first."


def test_a_repository_or_folder_that_is_not_there_is_said(repo, opened):
    with git_server(repo.parent) as server:
        with pytest.raises(SourceError, match="no Git repository at") as caught:
            opened(f"{server.url}/missing")
        assert not caught.value.retryable
        with pytest.raises(SourceError, match="no folder `nowhere`"):
            opened(f"{server.url}/repo//nowhere")
    with pytest.raises(SourceError, match="no Git repository at"):
        opened(f"file://{repo}-missing")


@pytest.mark.parametrize(
    "environ",
    [
        {"RECONCILER_GIT_TOKEN": TOKEN},
        {"RECONCILER_GIT_USERNAME": "bob", "RECONCILER_GIT_PASSWORD": TOKEN},
    ],
    ids=["token", "user-and-password"],
)
@pytest.mark.rule("P11")
def test_credentials_come_from_the_environment(repo, opened, environ):
    with git_server(repo.parent, password=TOKEN) as server:
        snapshot = opened(f"{server.url}/repo", environ=environ)
    assert snapshot.read("agents/a.yaml") == b"one"
    assert TOKEN not in repr(snapshot) + snapshot.root


@pytest.mark.parametrize("userinfo", [f"bob:{TOKEN}", f"{TOKEN}"])
@pytest.mark.rule("P11")
def test_credentials_may_stand_in_the_url_and_are_never_shown(repo, tmp_path, opened, userinfo):
    with git_server(repo.parent, password=TOKEN) as server:
        snapshot = opened(f"{server.url}/repo".replace("//", f"//{userinfo}@", 1))
    assert snapshot.read("agents/a.yaml") == b"one"
    assert TOKEN not in repr(snapshot) + snapshot.root + snapshot.origin
    stored = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert stored
    assert not any(TOKEN.encode() in path.read_bytes() for path in stored)


@pytest.mark.parametrize(
    ("environ", "hint"),
    [
        ({}, "Set RECONCILER_GIT_TOKEN"),
        ({"RECONCILER_GIT_TOKEN": "wrong-token"}, "is wrong, has expired, or may not read"),
    ],
    ids=["none", "wrong"],
)
@pytest.mark.rule("P11")
def test_a_refused_credential_is_not_tried_for_ever(repo, opened, environ, hint):
    with git_server(repo.parent, password=TOKEN) as server:
        with pytest.raises(SourceError, match="refuses access") as caught:
            opened(f"{server.url}/repo", environ=environ)
        assert server.requests <= 4
    assert hint in caught.value.hint
    assert not caught.value.retryable
    assert "wrong-token" not in "".join(explain(caught.value))


@pytest.mark.rule("P11")
def test_a_password_is_not_sent_to_where_a_redirect_leads(repo, opened):
    with git_server(repo.parent, password=TOKEN) as real:
        elsewhere = real.url.replace("127.0.0.1", "localhost")
        with (
            git_server(repo.parent, redirect=elsewhere) as server,
            pytest.raises(SourceError) as caught,
        ):
            opened(f"{server.url}/repo", environ={"RECONCILER_GIT_TOKEN": TOKEN})
    assert "redirects to" in str(caught.value)
    assert caught.value.hint


@pytest.mark.rule("P11")
def test_a_password_is_not_sent_without_encryption(opened):
    with pytest.raises(SourceError, match="without encryption") as caught:
        opened("http://git.example.com/repo", environ={"RECONCILER_GIT_TOKEN": TOKEN})
    assert "https://" in caught.value.hint


def test_a_server_that_never_answers_is_left_after_the_timeout(opened):
    with black_hole() as url:
        started = time.monotonic()
        with pytest.raises(SourceUnreachable) as caught:
            opened(f"{url}/repo", timeout_s=0.5)
        assert time.monotonic() - started < 5
    assert caught.value.retryable
    assert f"cannot read {url}/repo" in str(caught.value)


def test_other_threads_run_while_a_server_is_silent(opened):
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.wait(0.02):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    with black_hole() as url:
        thread.start()
        with pytest.raises(SourceUnreachable):
            opened(f"{url}/repo", timeout_s=0.5)
    stop.set()
    thread.join()
    assert len(ticks) >= 5


def test_a_refused_connection_may_be_tried_again(opened):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(SourceUnreachable) as caught:
        opened(f"http://127.0.0.1:{port}/repo")
    assert "the network and the proxy" in caught.value.hint


@pytest.fixture(scope="session")
def self_signed(tmp_path_factory):
    """A certificate that nobody trusts, with its key, in one PEM file."""
    folder = tmp_path_factory.mktemp("tls")
    subject = ["-subj", "/CN=localhost", "-days", "2", "-keyout", "key.pem", "-out", "cert.pem"]
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", *curve, *subject],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    both = folder / "both.pem"
    both.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return both


@pytest.mark.rule("P11")
def test_a_server_with_a_certificate_of_its_own_gets_no_password(repo, opened, self_signed):
    with (
        git_server(repo.parent, certificate=self_signed) as server,
        pytest.raises(SourceError, match="cannot trust the Git server") as caught,
    ):
        opened(f"{server.url}/repo", environ={"RECONCILER_GIT_TOKEN": TOKEN})
    assert server.requests == 0
    assert "SSL_CERT_FILE" in caught.value.hint
    assert not caught.value.retryable


def test_a_remote_without_a_default_branch_asks_for_one(repo, opened):
    git(repo, "symbolic-ref", "HEAD", "refs/heads/nowhere")
    with pytest.raises(SourceError, match="has no default branch") as caught:
        opened(f"file://{repo}")
    assert "?ref=main" in caught.value.hint
    assert "`ref` of the source" in caught.value.hint
    assert opened(f"file://{repo}?ref=main").files


def test_head_is_the_default_branch(repo, opened):
    assert opened(f"file://{repo}?ref=HEAD").revision == opened(f"file://{repo}").revision


def test_a_commit_may_be_written_in_capitals(repo, opened):
    commit = git(repo, "rev-parse", "HEAD")
    assert opened(f"file://{repo}?ref={commit.upper()}").revision.commit == commit


def test_a_proxy_is_used_unless_the_host_is_excepted(repo, opened):
    with git_server(repo.parent) as server, black_hole() as proxy:
        with pytest.raises(SourceUnreachable):
            opened(f"{server.url}/repo", environ={"HTTP_PROXY": proxy}, timeout_s=0.5)
        environ = {"HTTP_PROXY": proxy, "NO_PROXY": "example.com,127.0.0.1"}
        assert opened(f"{server.url}/repo", environ=environ).files


def test_a_missing_ssh_key_is_said(tmp_path, opened):
    with pytest.raises(SourceError, match="no SSH key at") as caught:
        opened("git@127.0.0.1:o/r.git", environ={"RECONCILER_GIT_SSH_KEY": str(tmp_path / "none")})
    assert "RECONCILER_GIT_SSH_KEY" in caught.value.hint


@pytest.mark.parametrize("damage", ["objects", "HEAD", "lock"])
def test_a_damaged_cache_is_made_again(repo, tmp_path, opened, damage):
    with git_server(repo.parent) as server:
        opened(f"{server.url}/repo")
        (cached,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
        if damage == "objects":
            shutil.rmtree(cached / "objects")
        elif damage == "HEAD":
            (cached / "HEAD").write_text("nonsense")
        else:
            (cached / "shallow.lock").write_text("")
            commit(repo, {"agents/a.yaml": "two"})
        expected = b"two" if damage == "lock" else b"one"
        assert opened(f"{server.url}/repo").read("agents/a.yaml") == expected


def test_a_cache_that_cannot_be_written_is_said(repo, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot write the Git cache") as caught:
        open_source(f"file://{repo}", environ={}, cache=tmp_path / "file/cache")
    assert "XDG_CACHE_HOME" in caught.value.hint


def test_the_cache_lies_in_the_users_folder(repo, tmp_path):
    open_source(f"file://{repo}", environ={"XDG_CACHE_HOME": str(tmp_path / "x")})
    assert any((tmp_path / "x/reconciler/git").iterdir())


def test_two_threads_may_open_one_remote(repo, opened):
    found = []
    with git_server(repo.parent) as server:
        threads = [
            threading.Thread(target=lambda: found.append(opened(f"{server.url}/repo").read("README.md")))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [b"r"] * 4


def test_a_link_and_a_submodule_in_a_commit_are_treated_as_in_a_checkout(tmp_path, repo, opened):
    other = repository(tmp_path / "other", {"x.yaml": "x"})
    (repo / "link.yaml").symlink_to("/etc/passwd")
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "sub")
    commit(repo, {})
    snapshot = opened(f"file://{repo}")
    assert snapshot.files["link.yaml"].link
    assert [note.place.file for note in snapshot.notes] == ["sub"]
    with pytest.raises(SourceError, match="is a symbolic link"):
        snapshot.read("link.yaml")

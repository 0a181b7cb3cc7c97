"""A Git work tree: what is on disk, with the ids and the revision that Git knows."""

from __future__ import annotations

import os
import subprocess

import pytest

from reconciler.errors import SourceError
from reconciler.snapshot import blob_id
from reconciler.source import open_source
from tests.source.repos import TIME, commit, git, repository, write


def opened(folder, **options):
    return open_source(str(folder), environ={}, **options)


def test_the_root_is_the_work_tree_and_the_path_is_the_scope(tmp_path):
    repo = repository(tmp_path / "repo", {"agents/a.yaml": "a", "prompts/p.md": "p"})
    head = git(repo, "rev-parse", "HEAD")
    snapshot = opened(repo / "agents")
    assert list(snapshot.files) == ["agents/a.yaml", "prompts/p.md"]
    assert snapshot.root == str(repo)
    assert snapshot.scope == "agents"
    assert snapshot.revision.commit == head
    assert (snapshot.revision.time, snapshot.revision.ref) == (TIME, "main")
    assert (snapshot.revision.dirty, snapshot.revision.shallow) == (False, False)
    assert snapshot.read("prompts/p.md") == b"p"


def test_what_is_on_disk_counts_not_what_was_committed(tmp_path):
    repo = repository(
        tmp_path / "repo", {".gitignore": "ignored/\n*.log\n", "a.yaml": "a", "b.yaml": "b", "gone.yaml": "g"}
    )
    write(
        repo, {"a.yaml": "changed", "new.yaml": "n", "ignored/c.yaml": "c", "x.log": "", "staged.yaml": "s"}
    )
    git(repo, "add", "staged.yaml")
    (repo / "gone.yaml").unlink()
    snapshot = opened(repo)
    assert list(snapshot.files) == [".gitignore", "a.yaml", "b.yaml", "new.yaml", "staged.yaml"]
    for path, file in snapshot.files.items():
        assert file.blob == blob_id(snapshot.read(path)), path
        assert file.size == len(snapshot.read(path)), path
    assert snapshot.read("a.yaml") == b"changed"
    assert snapshot.revision.dirty
    assert str(snapshot.revision).endswith(", with uncommitted changes")


@pytest.mark.parametrize(
    ("files", "scope", "dirty"),
    [
        pytest.param({}, "agents", False, id="clean"),
        pytest.param({"other/a.md": "changed"}, "agents", True, id="tracked-change-anywhere"),
        pytest.param({"agents/new.yaml": "n"}, "agents", True, id="untracked-in-scope"),
        pytest.param({"report.json": "{}"}, "agents", False, id="untracked-outside-scope"),
        pytest.param({"report.json": "{}"}, "", True, id="untracked-and-everything-is-scope"),
        pytest.param({"agents/x.log": ""}, "agents", False, id="ignored"),
    ],
)
def test_dirty(tmp_path, files, scope, dirty):
    repo = repository(tmp_path / "repo", {".gitignore": "*.log\n", "agents/a.yaml": "a", "other/a.md": "o"})
    write(repo, files)
    assert opened(repo / scope).revision.dirty is dirty


def test_a_repository_without_a_commit_has_files_and_no_revision(tmp_path):
    repo = repository(tmp_path / "repo")
    write(repo, {"a.yaml": "a"})
    snapshot = opened(repo)
    assert snapshot.revision is None
    assert snapshot.read("a.yaml") == b"a"
    assert snapshot.is_ancestor("0" * 40) is None


def test_a_detached_head_has_a_commit_and_no_ref(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "a"})
    git(repo, "checkout", "-q", "--detach")
    revision = opened(repo).revision
    assert revision.ref == ""
    assert revision.commit == git(repo, "rev-parse", "HEAD")


def test_a_linked_worktree_is_a_checkout(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "a"})
    git(repo, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    write(tmp_path / "side", {"b.yaml": "b"})
    snapshot = opened(tmp_path / "side")
    assert list(snapshot.files) == ["a.yaml", "b.yaml"]
    assert snapshot.revision.ref == "side"


def test_submodules_and_nested_repositories_are_left_out_with_a_note(tmp_path):
    other = repository(tmp_path / "other", {"x.yaml": "x"})
    repo = repository(tmp_path / "repo", {"a.yaml": "a"})
    git(repo, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(other), "modules/other")
    git(repo, "commit", "-q", "-m", "Add")
    repository(repo / "nested", {"y.yaml": "y"})
    snapshot = opened(repo)
    assert list(snapshot.files) == [".gitmodules", "a.yaml"]
    assert [note.place.file for note in snapshot.notes] == ["modules/other", "nested"]
    assert all("another Git repository" in note.message and note.note for note in snapshot.notes)


def test_a_link_has_the_same_fate_tracked_or_not(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "a"})
    (repo / "tracked.yaml").symlink_to("a.yaml")
    commit(repo, {})
    (repo / "new.yaml").symlink_to("/etc/passwd")
    snapshot = opened(repo)
    assert [path for path, file in snapshot.files.items() if file.link] == ["new.yaml", "tracked.yaml"]
    for path in ("new.yaml", "tracked.yaml"):
        with pytest.raises(SourceError, match="is a symbolic link"):
            snapshot.read(path)


def test_a_file_replaced_by_a_link_is_a_link(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "a", "d/b.yaml": "b"})
    (repo / "a.yaml").unlink()
    (repo / "a.yaml").symlink_to("/etc/passwd")
    assert opened(repo).files["a.yaml"].link


def test_a_file_in_a_merge_conflict_is_what_lies_on_disk(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "base\n"})
    git(repo, "checkout", "-q", "-b", "side")
    commit(repo, {"a.yaml": "side\n"})
    git(repo, "checkout", "-q", "main")
    commit(repo, {"a.yaml": "main\n"})
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "merge", "-q", "side")
    snapshot = opened(repo)
    assert snapshot.read("a.yaml").startswith(b"<<<<<<<")
    assert snapshot.files["a.yaml"].blob == blob_id(snapshot.read("a.yaml"))
    assert snapshot.revision.dirty


def test_a_staged_deletion_is_one_and_a_file_taken_out_of_the_index_stays(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "a", "b.yaml": "b"})
    git(repo, "rm", "-q", "a.yaml")
    git(repo, "rm", "-q", "--cached", "b.yaml")
    assert list(opened(repo).files) == ["b.yaml"]


def test_leftovers_of_tools_are_left_out_unless_git_tracks_them(tmp_path):
    repo = repository(tmp_path / "repo", {"node_modules/kept.yaml": "k"})
    write(repo, {".venv/lib/x.yaml": "x", "node_modules/new.yaml": "n", "venv": "a file"})
    assert list(opened(repo).files) == ["node_modules/kept.yaml", "venv"]


def test_a_list_without_end_is_refused_unless_it_lies_beside_the_scope(tmp_path):
    repo = repository(tmp_path / "repo", {"agents/a.yaml": "a"})
    blob = git(repo, "rev-parse", "HEAD:agents/a.yaml")
    agents = git(repo, "rev-parse", "HEAD:agents")
    many = "".join(f"100644 blob {blob}\tf{number}\n" for number in range(100_001))
    tree = git(repo, "mktree", stdin=many)
    top = git(repo, "mktree", stdin=f"040000 tree {agents}\tagents\n040000 tree {tree}\tmany\n")
    head = git(repo, "commit-tree", "-m", "Many", top)
    assert len(opened(repo / "agents", ref=head).files) == 100_002
    with pytest.raises(SourceError, match="more than 100,000 files below") as caught:
        opened(repo, ref=head)
    assert caught.value.hint == "Name the folder that holds the manifests."


def test_line_ends_that_git_changed_on_checkout_do_not_change_the_content(tmp_path):
    repo = repository(tmp_path / "repo", {".gitattributes": "*.yaml text eol=crlf\n", "a.yaml": "x\ny\n"})
    (repo / "a.yaml").unlink()
    git(repo, "checkout", "-q", "a.yaml")
    assert (repo / "a.yaml").read_bytes() == b"x\r\ny\r\n"
    snapshot = opened(repo)
    assert snapshot.read("a.yaml") == b"x\ny\n"
    assert snapshot.files["a.yaml"].blob == blob_id(b"x\ny\n")


def test_a_file_saved_while_we_read_keeps_its_listed_content(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "before"})
    snapshot = opened(repo)
    write(repo, {"a.yaml": "after"})
    assert snapshot.read("a.yaml") == b"before"


@pytest.mark.parametrize("rules", [("--cone", "agents"), ("--no-cone", "/agents/", "!/agents/x/")])
def test_a_sparse_checkout_deletes_nothing(tmp_path, rules):
    repo = repository(tmp_path / "repo", {"agents/a.yaml": "a", "agents/b.yaml": "b", "far/b.md": "b"})
    git(repo, "sparse-checkout", "set", *rules)
    assert not (repo / "far").exists()
    snapshot = opened(repo)
    assert snapshot.read("far/b.md") == b"b"
    assert not snapshot.revision.dirty
    (repo / "agents/b.yaml").unlink()
    snapshot = opened(repo)
    assert list(snapshot.files) == ["agents/a.yaml", "far/b.md"]
    assert snapshot.revision.dirty


def test_content_kept_in_lfs_is_refused(tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"
    repo = repository(tmp_path / "repo", {"p.md": pointer})
    with pytest.raises(SourceError) as caught:
        opened(repo, ref="main").read("p.md")
    assert str(caught.value) == "`p.md` is kept in Git LFS, which is not read"
    assert caught.value.hint


def test_a_folder_that_git_ignores_is_read_as_it_is(tmp_path):
    repo = repository(tmp_path / "repo", {".gitignore": "rendered/\n", "a.yaml": "a"})
    git(repo, "remote", "add", "origin", "https://github.com/o/r.git")
    write(repo, {"rendered/agents/b.yaml": "b"})
    snapshot = opened(repo / "rendered")
    assert list(snapshot.files) == ["agents/b.yaml"]
    assert (snapshot.scope, snapshot.origin) == ("", "github.com/o/r")
    assert snapshot.revision.commit == git(repo, "rev-parse", "HEAD")


def test_a_ref_reads_what_was_committed(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "one"})
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "tag", "v1")
    commit(repo, {"a.yaml": "two"})
    write(repo, {"a.yaml": "three"})
    snapshot = opened(repo, ref="v1")
    assert snapshot.read("a.yaml") == b"one"
    assert (snapshot.revision.commit, snapshot.revision.ref, snapshot.revision.dirty) == (first, "v1", False)
    with pytest.raises(SourceError, match="no branch, tag or commit `v2`") as caught:
        opened(repo, ref="v2")
    assert caught.value.hint


@pytest.mark.rule("P3")
def test_the_history_tells_ancestors(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "1"})
    first = git(repo, "rev-parse", "HEAD")
    git(repo, "checkout", "-q", "-b", "side")
    side = commit(repo, {"a.yaml": "s"})
    git(repo, "checkout", "-q", "main")
    head = commit(repo, {"a.yaml": "2"})
    is_ancestor = opened(repo).is_ancestor
    assert is_ancestor(head) is True
    assert is_ancestor(first) is True
    assert is_ancestor(side) is False
    assert is_ancestor("1" * 40) is False
    assert is_ancestor("") is None
    assert is_ancestor("not a commit") is None


@pytest.mark.rule("P3")
def test_a_shallow_clone_does_not_know_ancestors(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "1"})
    first = git(repo, "rev-parse", "HEAD")
    head = commit(repo, {"a.yaml": "2"})
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{repo}", "shallow")
    snapshot = opened(tmp_path / "shallow")
    assert snapshot.revision.shallow
    assert snapshot.is_ancestor(first) is None
    assert snapshot.is_ancestor(head) is True


@pytest.mark.parametrize(
    ("remotes", "origin"),
    [
        ({}, ""),
        ({"origin": "git@github.com:o/r.git", "fork": "git@github.com:me/r.git"}, "github.com/o/r"),
        ({"upstream": "git@github.com:o/r.git"}, "github.com/o/r"),
        ({"a": "git@github.com:o/r.git", "b": "git@github.com:me/r.git"}, ""),
        ({"origin": "/srv/r.git"}, ""),
    ],
)
@pytest.mark.rule("M4")
def test_origin(tmp_path, remotes, origin):
    repo = repository(tmp_path / "repo", {"a.yaml": "a"})
    for name, url in remotes.items():
        git(repo, "remote", "add", name, url)
    assert opened(repo).origin == origin


def test_a_bare_repository_is_named_by_its_url(tmp_path):
    bare = tmp_path / "r.git"
    bare.mkdir()
    git(bare, "init", "-q", "--bare")
    with pytest.raises(SourceError) as caught:
        opened(bare)
    assert "is a bare repository" in str(caught.value)
    assert f"file://{bare}" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [("gitdir: /nowhere/at/all\n", "repository"), ("nonsense", "repository")],
)
def test_a_broken_git_folder_is_said(tmp_path, content, words):
    write(tmp_path, {".git": content, "a.yaml": "a"})
    with pytest.raises(SourceError, match=words) as caught:
        opened(tmp_path)
    assert "git status" in caught.value.hint


def test_a_broken_index_is_said(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "a"})
    (repo / ".git/index").write_bytes(b"broken")
    with pytest.raises(SourceError, match="cannot read the Git repository") as caught:
        opened(repo)
    assert caught.value.hint


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")
def test_a_repository_of_another_user_is_refused_with_the_line_that_trusts_it(tmp_path):
    repo = repository(tmp_path / "repo", {"a.yaml": "a"})
    for path in (repo, repo / ".git"):
        os.chown(path, 12345, 12345)
    with pytest.raises(SourceError) as caught:
        opened(repo)
    assert "belongs to another user" in str(caught.value)
    assert f"safe.directory {repo}" in caught.value.hint

"""A source of the service: the newest commit of its ref, and what each Project gains by it."""

from __future__ import annotations

import pytest

from reconciler.resource import Key
from tests.service.source.readers import PROJECT, agent, commit, git, reader, repo


def key(name: str) -> Key:
    return Key("prod", "Agent", name)


def test_the_first_checkout_changes_everything_and_the_next_only_what_was_pushed(tmp_path):
    root = repo(tmp_path / "repo")
    source = reader(tmp_path / "home", root)
    first = source.checkout()
    assert first.commit == source.head() == git(root, "rev-parse", "HEAD")
    assert (first.ref, first.changed) == ("main", {"prod": None})
    assert [desired.key.name for desired in first.loaded.projects[0].resources] == ["a", "b"]

    pushed = commit(root, {"agents/b.yaml": agent("b", "gpt-5"), "agents/c.yaml": agent("c")})
    assert source.head() == pushed
    second = source.checkout(pushed)
    assert second.commit == second.loaded.revision == pushed
    assert second.changed == {"prod": frozenset({key("b"), key("c")})}


def test_settings_of_the_project_change_everything(tmp_path):
    root = repo(tmp_path / "repo")
    source = reader(tmp_path / "home", root)
    source.checkout()
    commit(root, {"project.yaml": PROJECT.replace("owner: tests", "owner: others")})
    assert source.checkout().changed == {"prod": None}


@pytest.mark.parametrize("path", ["./one/two", "one//two/", "one/../one/two"])
def test_a_folder_may_be_written_in_any_way(tmp_path, path):
    root = repo(tmp_path / "repo", {"one/two/project.yaml": PROJECT, "one/two/agents/a.yaml": agent("a")})
    (project,) = reader(tmp_path / "home", root, path=path).checkout().loaded.projects
    assert [desired.key.name for desired in project.resources] == ["a"]


def test_a_dot_is_the_whole_repository(tmp_path):
    root = repo(tmp_path / "repo")
    assert len(reader(tmp_path / "home", root, path=".").checkout().loaded.projects) == 1


@pytest.mark.parametrize("shape", [str.upper, lambda commit: commit[:10].upper(), lambda commit: "HEAD"])
def test_a_ref_may_be_a_commit_in_capitals_or_head(tmp_path, shape):
    root = repo(tmp_path / "repo")
    commit = git(root, "rev-parse", "HEAD")
    source = reader(tmp_path / "home", root, ref=shape(commit))
    assert source.checkout().commit == commit == source.head()


def test_a_checkout_of_what_is_known_is_the_same_value(tmp_path):
    root = repo(tmp_path / "repo")
    source = reader(tmp_path / "home", root)
    first = source.checkout()
    assert source.checkout() is first
    assert source.checkout(first.commit) is first

"""A folder without Git, and what every kind of source promises."""

from __future__ import annotations

import os
import subprocess

import pytest

from reconciler.errors import SourceError
from reconciler.snapshot import blob_id
from reconciler.source import open_source
from tests.source.repos import write


def opened(folder, **options):
    return open_source(str(folder), environ={}, **options)


def test_files_are_sorted_and_tools_leftovers_are_not_among_them(tmp_path):
    write(
        tmp_path,
        {
            "b.yaml": "b",
            "a/z.yaml": "z",
            ".venv/x.yaml": "",
            "a/node_modules/y.yaml": "",
            ".hidden.yaml": "h",
        },
    )
    snapshot = opened(tmp_path)
    assert list(snapshot.files) == [".hidden.yaml", "a/z.yaml", "b.yaml"]
    assert (snapshot.scope, snapshot.origin, snapshot.revision) == ("", "", None)
    assert snapshot.is_ancestor("0" * 40) is None


def test_a_file_has_gits_id_and_its_size(tmp_path):
    write(tmp_path, {"a.yaml": "name: ä\n"})
    snapshot = opened(tmp_path)
    expected = subprocess.run(
        ["git", "hash-object", "a.yaml"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout.strip()
    assert snapshot.files["a.yaml"].blob == expected == blob_id(snapshot.read("a.yaml"))
    assert snapshot.files["a.yaml"].size == 9


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("missing.yaml", "`missing.yaml` is not in the source"),
        ("../outside.yaml", "`../outside.yaml` is not in the source"),
        ("/etc/passwd", "`/etc/passwd` is not in the source"),
        ("link.yaml", "`link.yaml` is a symbolic link"),
    ],
)
def test_nothing_outside_is_read(tmp_path, path, words):
    write(tmp_path, {"outside.yaml": "secret", "in/a.yaml": "a"})
    (tmp_path / "in/link.yaml").symlink_to("../outside.yaml")
    with pytest.raises(SourceError) as caught:
        opened(tmp_path / "in").read(path)
    assert words in str(caught.value)
    assert caught.value.hint


def test_a_link_is_listed_so_that_it_fails_where_it_is_meant_and_a_linked_folder_is_noted(tmp_path):
    write(tmp_path, {"real/a.yaml": "a"})
    (tmp_path / "linked").symlink_to("real")
    (tmp_path / "broken.yaml").symlink_to("nowhere")
    snapshot = opened(tmp_path)
    assert {path: file.link for path, file in snapshot.files.items()} == {
        "broken.yaml": True,
        "linked": True,
        "real/a.yaml": False,
    }
    (note,) = snapshot.notes
    assert str(note).startswith("linked:1:1: left out: a symbolic link to a folder (")
    assert note.note


def test_a_file_that_vanishes_is_named(tmp_path):
    write(tmp_path, {"a.yaml": "a"})
    snapshot = opened(tmp_path)
    (tmp_path / "a.yaml").unlink()
    with pytest.raises(SourceError, match=r"cannot read `a\.yaml`"):
        snapshot.read("a.yaml")


def test_a_name_that_is_not_utf_8_is_noted(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.yaml")).write_text("a")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    snapshot = opened(tmp_path)
    assert not snapshot.files
    assert "its name is not UTF-8" in str(snapshot.notes[0])


@pytest.mark.parametrize(
    ("path", "ref", "words", "hint"),
    [
        ("missing", None, "no folder `", "Check the path"),
        ("a.yaml", None, "is a file", "folder that holds"),
        (".", "main", "is no Git checkout, so there is no ref `main`", "Leave the ref out"),
        ("nul\0", None, "no folder", "Check the path"),
    ],
)
def test_a_path_that_is_no_folder_is_refused(tmp_path, path, ref, words, hint):
    write(tmp_path, {"a.yaml": "a"})
    with pytest.raises(SourceError) as caught:
        opened(f"{tmp_path}/{path}", ref=ref)
    assert words in str(caught.value)
    assert hint in caught.value.hint

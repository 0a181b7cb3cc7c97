"""A folder of code: what belongs to it, and that its id changes exactly when its content does."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.source import open_source
from tests.source.repos import repository, write

FILES = {
    "code/main.py": "print(1)\n",
    "code/lib/a.py": "a = 1\n",
    "code/.env": "TOKEN=x\n",
    "code/.env.local": "TOKEN=x\n",
    "code/Dockerfile": "FROM x\n",
    "code/lib/__pycache__/a.pyc": "x",
    "code-2/other.py": "",
    "agents/a.yaml": "",
}


def opened(folder):
    return open_source(str(folder), environ={})


def names(code):
    return [inside for inside, _ in code.files]


def test_what_a_container_does_not_need_stays_out(tmp_path):
    write(tmp_path, FILES)
    code, problems = opened(tmp_path).code("code")
    assert problems == ()
    assert code.folder == "code"
    assert code.files == (("lib/a.py", "code/lib/a.py"), ("main.py", "code/main.py"))


def test_the_folders_own_rules_come_last(tmp_path):
    write(tmp_path, {**FILES, "code/.agentignore": "lib/\n!Dockerfile\n# comment\n"})
    code, _ = opened(tmp_path).code("code/")
    assert names(code) == ["Dockerfile", "main.py"]


def test_the_whole_source_may_be_the_folder(tmp_path):
    write(tmp_path, {"main.py": "x"})
    code, _ = opened(tmp_path).code("")
    assert (code.folder, names(code)) == (".", ["main.py"])


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("missing", "no files in the folder `missing`"),
        ("../code", "no files in the folder `../code`"),
        ("code/main.py", "`code/main.py` is a file, not a folder"),
        ("cod", "no files in the folder `cod`"),
    ],
)
def test_a_folder_that_is_not_there_is_a_problem_with_a_hint(tmp_path, folder, words):
    write(tmp_path, FILES)
    code, (problem,) = opened(tmp_path).code(folder)
    assert code is None
    assert words in problem.message
    assert problem.hint


def test_a_link_in_a_code_folder_is_a_problem_unless_ignored(tmp_path):
    write(tmp_path, FILES)
    (tmp_path / "code/link.py").symlink_to("/etc/passwd")
    code, (problem,) = opened(tmp_path).code("code")
    assert code is None
    assert str(problem).startswith("code/link.py:1:1: `code/link.py` is a symbolic link in a code folder (")
    write(tmp_path, {"code/.agentignore": "link.py\n"})
    code, problems = opened(tmp_path).code("code")
    assert problems == ()
    assert "link.py" not in names(code)


@pytest.mark.rule("M3")
def test_the_id_is_the_same_in_a_folder_a_checkout_and_a_repository(tmp_path):
    repository(tmp_path / "repo", FILES)
    write(tmp_path / "plain", FILES)
    trees = {
        opened(tmp_path / "plain").code("code")[0].tree,
        opened(tmp_path / "repo").code("code")[0].tree,
        open_source(f"file://{tmp_path}/repo", environ={}, cache=tmp_path / "cache").code("code")[0].tree,
    }
    assert len(trees) == 1


contents = st.dictionaries(
    st.sampled_from(["a.py", "b.py", "d/a.py", "d/b.py"]), st.text("xy\n", max_size=4), min_size=1
)


@given(contents, contents)
@pytest.mark.rule("M3")
def test_two_folders_have_one_id_exactly_when_they_hold_the_same(one, two):
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), {f"one/{path}": content for path, content in one.items()})
        write(Path(folder), {f"two/{path}": content for path, content in reversed(two.items())})
        snapshot = opened(folder)
        assert (snapshot.code("one")[0].tree == snapshot.code("two")[0].tree) == (one == two)

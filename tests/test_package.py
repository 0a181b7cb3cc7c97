"""The code zip: the same files give the same bytes, and what cannot start is said before the upload."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.kinds.agent import package
from reconciler.kinds.agent.package import build, check, oversized
from reconciler.resource import Code
from reconciler.source import open_source

PYTHON = {"runtime": "python_3_13", "entry_point": ["python", "main.py"], "dependency_resolution": "bundled"}
REMOTE = {**PYTHON, "dependency_resolution": "remote_build"}
DOTNET = {"runtime": "dotnet_10", "entry_point": ["dotnet", "App.dll"], "dependency_resolution": "bundled"}


def code(*names):
    return Code("code", "0" * 64, tuple((name, f"code/{name}") for name in names))


def messages(configuration, *names, size=10):
    return [(finding.message, finding.note) for finding in check(code(*names), configuration, lambda _: size)]


def test_a_zip_is_flat_sorted_and_without_times_or_owners():
    content = build(
        code("main.py", "lib/a.py"), {"code/main.py": b"m" * 500, "code/lib/a.py": b"a"}.__getitem__
    )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        assert [entry.filename for entry in entries] == ["lib/a.py", "main.py"]
        assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
        assert {entry.external_attr >> 16 for entry in entries} == {0o100644}
        assert archive.read("main.py") == b"m" * 500
        assert archive.testzip() is None
    assert len(content) < 500


@pytest.mark.parametrize(
    ("configuration", "names", "expected"),
    [
        pytest.param(PYTHON, ("main.py",), [], id="bundled"),
        pytest.param(
            PYTHON, ("main.py", "requirements.txt", "packages/x/__init__.py"), [], id="bundled-packages"
        ),
        pytest.param(REMOTE, ("main.py", "requirements.txt"), [], id="remote"),
        pytest.param(DOTNET, ("App.dll",), [], id="dotnet-bundled"),
        pytest.param(
            {**DOTNET, "dependency_resolution": "remote_build"}, ("src/App.csproj",), [], id="dotnet-remote"
        ),
        pytest.param(
            {**PYTHON, "entry_point": ["python", "-m", "app.main"]}, ("app/main.py",), [], id="module"
        ),
        pytest.param(
            {**PYTHON, "entry_point": ["python", "-m", "app"]}, ("app/__main__.py",), [], id="package"
        ),
        pytest.param({**PYTHON, "entry_point": ["python", "./main.py"]}, ("main.py",), [], id="dot-slash"),
        pytest.param({**PYTHON, "entry_point": ["./start"]}, ("start",), [], id="unknown-kind-of-entry"),
        pytest.param(
            {**PYTHON, "entry_point": "main.py"}, (), ["every file of `code` is ignored"], id="empty"
        ),
        pytest.param(PYTHON, ("app.py",), ["no file `main.py` in the code folder `code`"], id="no-entry"),
        pytest.param(
            {**PYTHON, "entry_point": ["python", "-m", "app"]},
            ("main.py",),
            ["no file `app.py` in"],
            id="no-module",
        ),
        pytest.param(
            REMOTE,
            ("main.py",),
            ["`remote_build` needs `requirements.txt` at the top of `code`"],
            id="no-list",
        ),
        pytest.param(
            REMOTE,
            ("main.py", "src/requirements.txt"),
            ["`remote_build` needs `requirements.txt`"],
            id="list-below",
        ),
        pytest.param(
            {**DOTNET, "dependency_resolution": "remote_build"},
            ("App.cs",),
            ["`remote_build` needs a `.csproj` in `code`"],
            id="no-project",
        ),
        pytest.param(DOTNET, ("App.cs",), ["no file `App.dll`"], id="no-assembly"),
        pytest.param(PYTHON, ("main.py", "x.whl"), ["`x.whl` is a packed wheel"], id="wheel"),
        pytest.param(
            PYTHON, ("main.py", "packages/a.PYD"), ["`packages/a.PYD` is for Windows"], id="windows"
        ),
        pytest.param(
            PYTHON,
            ("main.py", "a.dll", "b.dll", "c.dll", "d.dll", "e.dll"),
            ["`a.dll` is", "`b.dll` is", "`c.dll` is for Windows, and 2 more like it"],
            id="many",
        ),
    ],
)
def test_what_stops_a_start_is_a_finding(configuration, names, expected):
    found = messages(configuration, *names)
    assert len(found) == len(expected), found
    for (message, note), words in zip(found, expected, strict=True):
        assert message.startswith(words)
        assert not note


def test_advice_is_a_note():
    assert messages(PYTHON, "main.py", "requirements.txt") == [
        ("`requirements.txt` is not installed for bundled code, and there is no `packages/`", True)
    ]
    ((message, note),) = messages(PYTHON, "main.py", size=package.MAX_ZIP_BYTES + 1)
    assert note
    assert message == "the files of `code` have 262,144,001 bytes; their zip may have 262,144,000"


def test_findings_point_into_the_spec_and_say_what_to_do():
    (finding,) = check(code("src/main.py"), PYTHON, lambda _: 1)
    assert finding.path == ("definition", "code_configuration", "entry_point")
    assert finding.hint == "Did you mean `src/main.py`? The entry point is relative to the folder."
    (finding,) = check(code("main.py"), REMOTE, lambda _: 1)
    assert finding.path == ("code", "path")
    assert "bundled" in finding.hint


def test_a_zip_that_the_service_would_refuse_says_what_to_do():
    error = oversized(code("main.py"))
    assert str(error) == "the code zip of `code` has more than the 250 MB that the service takes"
    assert ".agentignore" in error.hint


trees = st.dictionaries(
    st.sampled_from(["main.py", "a b.py", "lib/ä.py", "lib/x/y.py", "z"]), st.binary(max_size=20), min_size=1
)


@given(trees, st.randoms(use_true_random=False))
@pytest.mark.rule("M3")
def test_order_and_times_of_files_do_not_change_the_zip(tree, rng):
    zips, ids = set(), set()
    for _ in range(2):
        names = list(tree)
        rng.shuffle(names)
        with tempfile.TemporaryDirectory() as folder:
            for name in names:
                target = Path(folder, "code", name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(tree[name])
                os.utime(target, (rng.randrange(10**9), rng.randrange(10**9)))
            snapshot = open_source(folder, environ={})
            made, _ = snapshot.code("code")
            zips.add(build(made, snapshot.read))
            ids.add(made.tree)
    assert len(zips) == len(ids) == 1


@given(trees, trees)
@pytest.mark.rule("M3")
def test_other_files_make_another_zip(one, two):
    made = [
        build(Code("code", "", tuple((name, name) for name in tree)), tree.__getitem__) for tree in (one, two)
    ]
    assert (made[0] == made[1]) == (one == two)

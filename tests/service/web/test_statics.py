"""The files of pages: what VENDORED.md says they are, kept by browsers, and no others."""

from __future__ import annotations

import hashlib
import re
from importlib.resources import files

import pytest

from reconciler.service.web.statics import address
from tests.service.web.front import Front

FOLDER = files("reconciler.service.web").joinpath("static")


def test_vendored_files_are_what_their_list_says():
    rows = re.findall(
        r"^\| `([^`]+)` \| `[^`]+` \| `([0-9a-f]{64})` \|$", FOLDER.joinpath("VENDORED.md").read_text(), re.M
    )
    assert {name for name, _ in rows} == {file.name for file in FOLDER.iterdir() if ".min." in file.name}
    for name, digest in rows:
        assert hashlib.sha256(FOLDER.joinpath(name).read_bytes()).hexdigest() == digest, name


def test_no_script_of_ours_needs_what_the_policy_forbids():
    script = FOLDER.joinpath("page.js").read_text()
    for word in ("eval(", "Function(", "innerHTML", "insertAdjacentHTML", ".style", "document.write", "http"):
        assert word not in script.replace("htmx:", "")


@pytest.mark.parametrize("name", ["page.css", "page.js", "htmx.min.js", "hx-sse.min.js", "icon.svg"])
async def test_a_file_is_kept_for_as_long_as_it_is_the_same(guarded: Front, name: str):
    answer = await guarded.get(address(name))
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content == FOLDER.joinpath(name).read_bytes()


async def test_an_address_of_another_release_is_answered_and_not_kept(guarded: Front):
    answer = await guarded.get("/static/0123456789ab/page.css")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")


@pytest.mark.parametrize(
    "path",
    [
        "/static/x/VENDORED.md",
        "/static/x/..%2fpages.py",
        "/static/x/../pages.py",
        "/static/x/",
        "/static/",
        "/static/x/a/b",
    ],
)
async def test_nothing_else_is_served(guarded: Front, path: str):
    assert (await guarded.get(path)).status_code in (303, 404)

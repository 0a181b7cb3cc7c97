"""What the text that names a source means, and that no password is in what is shown of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.errors import SourceError
from reconciler.location import origin_of, parse_location, redact


@pytest.mark.parametrize(
    ("text", "url", "folder", "ref"),
    [
        ("https://host/o/r.git", "https://host/o/r.git", "", ""),
        ("https://host/o/r.git//a/b?ref=main", "https://host/o/r.git", "a/b", "main"),
        ("https://host/o/r#v1", "https://host/o/r", "", "v1"),
        ("git::https://host/o/r.git//a", "https://host/o/r.git", "a", ""),
        ("HTTPS://HOST:8443/o/r/", "https://host:8443/o/r", "", ""),
        ("https://bob:pw@host/o/r", "https://host/o/r", "", ""),
        ("git@host:o/r.git", "git@host:o/r.git", "", ""),
        ("git@host:o/r.git//a?ref=x", "git@host:o/r.git", "a", "x"),
        ("ssh://git@host:22/o/r", "ssh://git@host:22/o/r", "", ""),
        ("file:///srv/r.git//a", "file:///srv/r.git", "a", ""),
        ("https://[::1]:80/r", "https://[::1]:80/r", "", ""),
        ("git@ssh.dev.azure.com:v3/org/proj/repo", "git@ssh.dev.azure.com:v3/org/proj/repo", "", ""),
    ],
)
def test_git_urls(text, url, folder, ref):
    found = parse_location(text)
    assert found is not None
    assert (found.url, found.folder, found.ref) == (url, folder, ref)


@pytest.mark.parametrize("text", [".", "manifests", "/srv/x", "C:\\x", "a:b", "./git@host", "../x#y"])
def test_everything_else_is_a_path(text):
    assert parse_location(text) is None


def test_the_ref_of_the_flag_and_of_the_url_may_agree():
    found = parse_location("https://host/r?ref=main", "main")
    assert found is not None
    assert found.ref == "main"


@pytest.mark.parametrize(
    ("text", "ref", "words"),
    [
        ("https://host/r?ref=a", "b", "two refs for one source: `a`, `b`"),
        ("https://host/r?ref=a#b", None, "two refs"),
        ("https://host/r?branch=a", None, "unknown `branch`"),
        ("git://host/r", None, "`git://` is not a way to read Git"),
        ("https://host/", None, "names no repository"),
        ("https:///r", None, "names no repository"),
        ("https://host:port/r", None, "cannot read the Git URL"),
        ("https://host/r//../x", None, "leaves the repository"),
        ("https://u:s3cr3t@host:port/r", None, "cannot read the Git URL `https://host:port/r`"),
    ],
)
def test_bad_urls_are_refused_with_a_hint_and_no_password(text, ref, words):
    with pytest.raises(SourceError) as caught:
        parse_location(text, ref)
    assert words in str(caught.value)
    assert caught.value.hint
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://GitHub.com/o/R.git", "github.com/o/R"),
        ("https://bob:pw@github.com:443/o/R/", "github.com/o/R"),
        ("ssh://git@github.com:22/o/R.git", "github.com/o/R"),
        ("git@github.com:o/R.git", "github.com/o/R"),
        ("https://org@dev.azure.com/org/proj/_git/repo", "dev.azure.com/org/proj/_git/repo"),
        ("https://dev.azure.com/org/_git/repo", "dev.azure.com/org/repo/_git/repo"),
        ("https://org.visualstudio.com/proj/_git/repo", "dev.azure.com/org/proj/_git/repo"),
        ("https://org.visualstudio.com/DefaultCollection/proj/_git/repo", "dev.azure.com/org/proj/_git/repo"),
        ("git@ssh.dev.azure.com:v3/org/proj/repo", "dev.azure.com/org/proj/_git/repo"),
        ("org@vs-ssh.visualstudio.com:v3/org/proj/repo", "dev.azure.com/org/proj/_git/repo"),
        ("https://dev.azure.com/org/My%20Project/_git/repo", "dev.azure.com/org/My%20Project/_git/repo"),
        ("git@ssh.dev.azure.com:v3/org/My%20Project/repo", "dev.azure.com/org/My%20Project/_git/repo"),
        ("file:///srv/r.git", ""),
        ("/srv/r.git", ""),
        ("../r", ""),
    ],
)
@pytest.mark.rule("M4")
def test_one_repository_has_one_origin(url, origin):
    assert origin_of(url) == origin


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://a:b@h/x and https://c@h/y", "https://h/x and https://h/y"),
        ("ssh://git:pw@h/x", "ssh://git@h/x"),
        ("ssh://git@h/x", "ssh://git@h/x"),
        ("https://h/a@b", "https://h/a@b"),
        ("git@h:x", "git@h:x"),
    ],
)
@pytest.mark.rule("P11")
def test_redact(text, shown):
    assert redact(text) == shown


@given(
    st.from_regex(r"[A-Za-z0-9._~-]{1,20}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9%~!]{6,30}", fullmatch=True),
)
@pytest.mark.rule("P11")
def test_a_password_is_in_nothing_that_is_shown(user, password):
    text = f"https://{user}:{password}@zzz/q"
    found = parse_location(text)
    assert found is not None
    assert found.url == "https://zzz/q"
    assert password not in repr(found)
    assert redact(text) == "https://zzz/q"

"""What we answer to a Git server, and to which one."""

from __future__ import annotations

from types import SimpleNamespace

import pygit2
import pytest
from pygit2.enums import CredentialType

from reconciler.errors import SourceError
from reconciler.git_credentials import Callbacks, login_for
from reconciler.location import parse_location

HTTPS = "https://git.example.com/o/r"
SSH = "git@git.example.com:o/r"


def callbacks(url, **environ):
    location = parse_location(url)
    return Callbacks(location, login_for(location, environ))


def asked(url, allowed, **environ):
    made = callbacks(url, **environ)
    return made.credentials(url if "://" in url else SSH, None, allowed)


@pytest.mark.parametrize(
    ("url", "environ", "user", "secret"),
    [
        (HTTPS, {"RECONCILER_GIT_TOKEN": "t"}, "x-access-token", "t"),
        (HTTPS, {"RECONCILER_GIT_TOKEN": "t", "RECONCILER_GIT_USERNAME": "oauth2"}, "oauth2", "t"),
        (HTTPS, {"RECONCILER_GIT_USERNAME": "u", "RECONCILER_GIT_PASSWORD": "p"}, "u", "p"),
        (HTTPS.replace("git.", "u:p@git."), {"RECONCILER_GIT_TOKEN": "t"}, "u", "p"),
        (HTTPS.replace("git.", "t@git."), {}, "x-access-token", "t"),
        (HTTPS.replace("git.", "org@git."), {"RECONCILER_GIT_TOKEN": "t"}, "org", "t"),
        (HTTPS.replace("git.", "u:p%40ss@git."), {}, "u", "p@ss"),
    ],
)
def test_login(url, environ, user, secret):
    login = login_for(parse_location(url), environ)
    assert (login.user, login.secret) == (user, secret)
    assert f"'{secret}'" not in repr(login)


def test_a_token_is_sent_as_a_password():
    found = asked(HTTPS, CredentialType.USERPASS_PLAINTEXT, RECONCILER_GIT_TOKEN="t")
    assert found.credential_tuple == ("x-access-token", "t")


def test_ssh_uses_the_key_that_was_named(tmp_path):
    key = tmp_path / "id"
    key.write_text("key")
    environ = {"RECONCILER_GIT_SSH_KEY": str(key), "RECONCILER_GIT_SSH_PASSPHRASE": "p"}
    found = asked(SSH, CredentialType.SSH_KEY, **environ)
    assert found.credential_tuple == ("git", None, str(key), "p")


def test_ssh_uses_the_agent_without_a_key():
    found = asked(SSH, CredentialType.SSH_KEY)
    assert isinstance(found, pygit2.KeypairFromAgent)


def test_a_question_for_the_user_name_is_no_attempt():
    made = callbacks(SSH)
    for _ in range(5):
        assert made.credentials(SSH, None, CredentialType.USERNAME).credential_tuple == ("git",)
    assert not made.refused


def test_the_same_answer_is_given_twice_at_most():
    made = callbacks(HTTPS, RECONCILER_GIT_TOKEN="t")
    for _ in range(2):
        made.credentials(HTTPS, None, CredentialType.USERPASS_PLAINTEXT)
    with pytest.raises(pygit2.AuthError):
        made.credentials(HTTPS, None, CredentialType.USERPASS_PLAINTEXT)
    assert made.refused


@pytest.mark.rule("P11")
def test_another_host_gets_nothing():
    made = callbacks(HTTPS, RECONCILER_GIT_TOKEN="t0ken")
    with pytest.raises(SourceError, match=r"redirects to https://evil\.example") as caught:
        made.credentials("https://u:pw@evil.example/o/r", None, CredentialType.USERPASS_PLAINTEXT)
    assert "pw" not in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_a_transfer_without_end_is_stopped():
    made = callbacks(HTTPS)
    made.transfer_progress(SimpleNamespace(received_bytes=10))
    with pytest.raises(SourceError, match="sends more than 2 GiB") as caught:
        made.transfer_progress(SimpleNamespace(received_bytes=3 * 1024**3))
    assert caught.value.hint

"""The newest commit is used only when a trusted key signed it; git and its helpers make the signatures."""

from __future__ import annotations

import base64
import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from reconciler.errors import SourceError
from reconciler.service.signatures import Unsigned, signed_commit
from reconciler.service.signatures_ssh import SshKey, fingerprint, keys_in, read_signature
from tests.service.source.readers import agent, commit, git, reader, repo
from tests.service.source.signing import gpg_person, needs_gpg, needs_ssh, ssh_person

pytestmark = needs_ssh


@pytest.fixture
def root(tmp_path):
    return repo(tmp_path / "repo")


def refused(source) -> Unsigned:
    with pytest.raises(Unsigned) as caught:
        source.checkout()
    return caught.value


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "ed25519"),
        ("-t", "rsa", "-b", "2048"),
        ("-t", "ecdsa", "-b", "256"),
        ("-t", "ecdsa", "-b", "384"),
        ("-t", "ecdsa", "-b", "521"),
    ],
    ids=lambda options: "-".join(options[1::2]),
)
def test_a_commit_that_a_trusted_ssh_key_signed_is_used(tmp_path, root, options):
    ada = ssh_person(tmp_path / "keys", "ada", *options)
    head = ada.commit(root, {"agents/c.yaml": agent("c")})
    source = reader(tmp_path / "home", root, signatures={"ssh": [ada.public]})
    assert source.checkout().commit == head


@pytest.mark.parametrize(
    "line",
    [
        "{public}",
        "# people\n\nada@example.com {public}",
        'ada@example.com,*@example.com namespaces="git,file" {public}',
        'from="10.0.0.0/8",command="echo hi there" {public}',
        'ada@example.com valid-after="20200101",valid-before="20990101Z" {public}',
    ],
    ids=["authorized-keys", "allowed-signers", "namespaces", "options", "times"],
)
def test_keys_in_a_file_may_have_either_form(tmp_path, root, line):
    ada = ssh_person(tmp_path / "keys")
    ada.commit(root, {})
    (tmp_path / "trusted").write_text(line.format(public=ada.public) + "\n")
    source = reader(tmp_path / "home", root, signatures={"ssh": [str(tmp_path / "trusted")]})
    assert source.checkout().commit


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('ada namespaces="file" {public}', "no key is trusted|is not trusted|no SSH key"),
        ('ada valid-before="20200101Z" {public}', "after that key was valid"),
        ('ada valid-after="20990101Z" {public}', "before that key was valid"),
    ],
    ids=["other-namespace", "over", "not-yet"],
)
def test_a_key_counts_only_for_what_its_line_says(tmp_path, root, line, found):
    ada, bob = ssh_person(tmp_path / "keys"), ssh_person(tmp_path / "keys", "bob")
    ada.commit(root, {})
    (tmp_path / "trusted").write_text(f"{line.format(public=ada.public)}\n{bob.public}\n")
    source = reader(tmp_path / "home", root, signatures={"ssh": [str(tmp_path / "trusted")]})
    with pytest.raises(Unsigned, match=found):
        source.checkout()


def test_an_unsigned_head_is_refused_and_nothing_of_it_is_used(tmp_path, root):
    ada = ssh_person(tmp_path / "keys")
    good = ada.commit(root, {})
    source = reader(tmp_path / "home", root, signatures={"ssh": [ada.public]})
    first = source.checkout()
    head = commit(root, {"agents/c.yaml": agent("c")})
    error = refused(source)
    assert str(error) == f"commit {head[:12]} of file://{root} is not signed"
    assert ada.fingerprint in error.hint
    assert "Nothing of this commit is used" in error.hint

    after = ada.commit(root, {"agents/d.yaml": agent("d")})
    second = source.checkout()
    assert (first.commit, second.commit) == (good, after)
    assert {key.name for key in second.changed["prod"]} == {"c", "d"}


def test_a_key_that_is_not_trusted_is_named(tmp_path, root):
    ada, eve = ssh_person(tmp_path / "keys"), ssh_person(tmp_path / "keys", "eve")
    eve.commit(root, {})
    error = refused(reader(tmp_path / "home", root, signatures={"ssh": [ada.public]}))
    assert f"signed by the SSH key {eve.fingerprint}, which is not trusted" in str(error)
    assert f"{ada.fingerprint} ada" in error.hint


def test_a_key_that_is_taken_out_of_its_file_counts_no_more(tmp_path, root):
    ada, bob = ssh_person(tmp_path / "keys"), ssh_person(tmp_path / "keys", "bob")
    trusted = tmp_path / "trusted"
    trusted.write_text(f"{ada.public}\n{bob.public}\n")
    source = reader(tmp_path / "home", root, signatures={"ssh": [str(trusted)]})
    ada.commit(root, {})
    assert source.checkout()
    trusted.write_text(bob.public)
    ada.commit(root, {})
    assert "which is not trusted" in str(refused(source))


@pytest.mark.parametrize("part", ["message", "tree", "signature"])
def test_a_commit_that_was_changed_after_it_was_signed_is_refused(tmp_path, root, part):
    ada = ssh_person(tmp_path / "keys")
    ada.commit(root, {"agents/c.yaml": agent("c")})
    raw = git(root, "cat-file", "commit", "HEAD") + "\n"
    if part == "message":
        raw = raw.replace("Signed", "Forged")
    elif part == "tree":
        raw = raw.replace(git(root, "rev-parse", "HEAD^{tree}"), git(root, "rev-parse", "HEAD~^{tree}"))
    else:
        lines = raw.split("\n")
        at = next(index for index, line in enumerate(lines) if "END SSH" in line) - 2
        lines[at] = lines[at][:9] + ("A" if lines[at][9] != "A" else "B") + lines[at][10:]
        raw = "\n".join(lines)
    forged = git(root, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw)
    git(root, "update-ref", "refs/heads/main", forged)
    error = refused(reader(tmp_path / "home", root, signatures={"ssh": [ada.public]}))
    assert "does not fit the commit" in str(error) or "cannot be read" in str(error)


def test_a_signature_for_something_else_is_refused(tmp_path, root):
    """`ssh-keygen -Y sign -n file` of the same bytes: what signs files must not sign commits."""
    ada = ssh_person(tmp_path / "keys")
    raw = git(root, "cat-file", "commit", "HEAD") + "\n"
    done = subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-n", "file", "-f", str(ada.key)],
        input=raw.encode(),
        capture_output=True,
        check=True,
    )
    head, _, message = raw.partition("\n\n")
    signature = done.stdout.decode().strip().replace("\n", "\n ")
    forged = git(
        root, "hash-object", "-t", "commit", "-w", "--stdin", stdin=f"{head}\ngpgsig {signature}\n\n{message}"
    )
    git(root, "update-ref", "refs/heads/main", forged)
    error = refused(reader(tmp_path / "home", root, signatures={"ssh": [ada.public]}))
    assert "has an SSH signature for `file`, not for Git" in str(error)


def test_two_signatures_in_one_commit_are_refused():
    with pytest.raises(ValueError, match="two signatures"):
        signed_commit(b"tree x\ngpgsig a\n b\ngpgsig c\n\nm\n")


def test_what_was_signed_is_the_commit_without_its_signature():
    found = signed_commit(b"tree x\ngpgsig a\n b\n \nother c\n\nm\n\ngpgsig d\n")
    assert (found.signature, found.payload) == (b"a\nb\n\n", b"tree x\nother c\n\nm\n\ngpgsig d\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "no type and key"),
        ("ssh-ed25519 AAAA", "cut off|damaged"),
        ("ssh-rsa {ed25519}", "of another type"),
        ("@cert-authority ssh-ed25519 {ed25519}", "certificate authorities"),
        ('* valid-after="soon" ssh-ed25519 {ed25519}', "is no time"),
        ("{weak}", "less than 2048 bits"),
    ],
    ids=["nonsense", "cut", "type", "authority", "time", "weak"],
)
def test_a_line_that_is_no_key_is_said_with_its_place(tmp_path, root, line, message):
    ada = ssh_person(tmp_path / "keys")
    weak = ssh_person(tmp_path / "keys", "weak", "-t", "rsa", "-b", "1024")
    (tmp_path / "trusted").write_text(ada.public)
    source = reader(tmp_path / "home", root, signatures={"ssh": [str(tmp_path / "trusted")]})
    (tmp_path / "trusted").write_text(
        "# keys\n" + line.format(ed25519=ada.public.split()[1], weak=weak.public) + "\n"
    )
    with pytest.raises(SourceError, match=message) as caught:
        source.checkout()
    assert f"{tmp_path}/trusted:2 is no SSH key that can be trusted" in str(caught.value)
    assert ".pub" in caught.value.hint


def _text(*values: bytes) -> bytes:
    return b"".join(len(value).to_bytes(4, "big") + value for value in values)


@pytest.mark.parametrize(("flags", "holds"), [(1, True), (5, True), (0, False)])
def test_a_security_key_counts_when_it_was_touched(flags, holds):
    """Made by hand after PROTOCOL.u2f: there is no such key in a test machine."""
    private, application = Ed25519PrivateKey.generate(), b"ssh:"
    type_ = b"sk-ssh-ed25519@openssh.com"
    blob = _text(type_, private.public_key().public_bytes_raw(), application)
    payload = b"tree x\n\nm\n"
    message = b"SSHSIG" + _text(b"git", b"", b"sha512", hashlib.sha512(payload).digest())
    rest = bytes([flags]) + (7).to_bytes(4, "big")
    said = hashlib.sha256(application).digest() + rest + hashlib.sha256(message).digest()
    signature = _text(type_, private.sign(said)) + rest
    raw = b"SSHSIG\0\0\0\1" + _text(blob, b"git", b"", b"sha512", signature)
    armoured = b"-----BEGIN SSH SIGNATURE-----\n" + base64.encodebytes(raw) + b"-----END SSH SIGNATURE-----\n"
    (key,) = keys_in(f"{type_.decode()} {base64.b64encode(blob).decode()} token", lambda _: None)
    found = read_signature(armoured)
    if holds:
        assert found.by([key], payload, 0) == fingerprint(blob)
        with pytest.raises(ValueError, match="does not fit"):
            found.by([key], payload + b"x", 0)
    else:
        with pytest.raises(ValueError, match="does not fit"):
            found.by([key], payload, 0)
        assert found.by([SshKey(key.type, key.blob, touch=False)], payload, 0)


@needs_gpg
class TestGpg:
    def test_a_commit_that_a_trusted_gpg_key_signed_is_used(self, tmp_path, root):
        with gpg_person() as ada, gpg_person("Eve") as eve:
            keys = {"gpg": [str(ada.public(tmp_path / "ada.asc"))]}
            source = reader(tmp_path / "home", root, signatures=keys)
            head = ada.commit(root, {"agents/c.yaml": agent("c")})
            assert source.checkout().commit == head

            eve.commit(root, {})
            error = refused(source)
            assert f"is signed by the GPG key {eve.fingerprint[-16:]}, which is not trusted" in str(error)
            assert ada.fingerprint in error.hint

            (tmp_path / "ada.asc").write_text("")
            with pytest.raises(SourceError, match="no GPG public key in") as caught:
                source.checkout()
            assert "--export" in caught.value.hint

    def test_a_key_that_has_expired_counts_no_more(self, tmp_path, root):
        with gpg_person(past=True) as ada:
            source = reader(
                tmp_path / "home", root, signatures={"gpg": [str(ada.public(tmp_path / "ada.asc"))]}
            )
            ada.commit(root, {})
            assert f"GPG key {ada.fingerprint[-16:]}, which has expired" in str(refused(source))

    def test_a_forged_commit_and_a_revoked_key_are_refused(self, tmp_path, root):
        with gpg_person() as ada:
            file = ada.public(tmp_path / "ada.asc")
            source = reader(tmp_path / "home", root, signatures={"gpg": [str(file)]})
            ada.commit(root, {})
            raw = git(root, "cat-file", "commit", "HEAD").replace("Signed", "Forged") + "\n"
            forged = git(root, "hash-object", "-t", "commit", "-w", "--stdin", stdin=raw)
            git(root, "update-ref", "refs/heads/main", forged)
            assert "does not fit the commit" in str(refused(source))

            ada.commit(root, {})
            revoked = (ada.home / f"openpgp-revocs.d/{ada.fingerprint}.rev").read_text()
            ada.gpg("--import", stdin=revoked.replace(":-----BEGIN", "-----BEGIN"))
            ada.public(file)
            assert "which was revoked" in str(refused(source))

    def test_without_gpg_the_remedy_is_said(self, tmp_path, root, monkeypatch):
        with gpg_person() as ada:
            file = ada.public(tmp_path / "ada.asc")
            source = reader(tmp_path / "home", root, signatures={"gpg": [str(file)]})
            ada.commit(root, {})
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(SourceError, match="the program gpg is not installed") as caught:
            source.checkout()
        assert "apt-get install" in caught.value.hint

    def test_ssh_and_gpg_are_told_apart(self, tmp_path, root):
        bob = ssh_person(tmp_path / "keys")
        with gpg_person() as ada:
            ada.commit(root, {})
            by_ssh = reader(tmp_path / "home", root, signatures={"ssh": [bob.public]})
            assert "is signed by GPG, and no GPG key is trusted" in str(refused(by_ssh))
            bob.commit(root, {})
            by_gpg = reader(
                tmp_path / "other", root, signatures={"gpg": [str(ada.public(tmp_path / "a.asc"))]}
            )
            error = refused(by_gpg)
            assert "is signed by SSH, and no SSH key is trusted" in str(error)
            assert "GPG keys in" in error.hint

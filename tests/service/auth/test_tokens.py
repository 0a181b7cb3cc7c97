"""The token file: its form, its changes while the service runs, and guessing."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from reconciler.cli import app
from reconciler.errors import InvalidInput
from reconciler.service.auth.tokens import (
    TokenFile,
    hash_of,
    hash_of_passphrase,
    new_token,
    read_tokens,
)
from tests.service.api.world import TOKENS, Front

SHA = hash_of("t")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param("- a\n", "expected names and hashes", id="list"),
        pytest.param("ci: rct_secret-in-the-file\n", "the value of `ci` is no hash", id="plain"),
        pytest.param(f"'a b': {SHA}\n", "a name has letters", id="name"),
        pytest.param(f"a: {SHA}\na: {SHA}\n", "tokens.yaml:2:1", id="twice"),
        pytest.param("a: sha256:abc\n", "no hash", id="short"),
        pytest.param("a: {hash: x}\n", "no hash", id="mapping"),
        pytest.param("a: [\n", "tokens.yaml:", id="no-yaml"),
        pytest.param(
            "".join(f"n{i}: scrypt:{'0' * 32}:{'0' * 64}\n" for i in range(21)),
            "at most 20",
            id="passphrases",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_told_where_and_why(content: str, said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_tokens(content.encode(), "tokens.yaml")

    told = "\n".join(map(str, caught.value.problems))
    assert said in told
    assert "rct_secret" not in told
    assert "reconciler token NAME" in caught.value.hint


def test_lines_and_comments_are_taken() -> None:
    content = f"# scripts\nci: {SHA}  # of the pipeline\nann@example.com: scrypt:{'0' * 32}:{'f' * 64}\n"

    assert set(read_tokens(content.encode(), "f")) == {"ci", "ann@example.com"}
    assert read_tokens(b"", "f") == {}


def write(file: Path, content: str) -> None:
    """Write a file so that its time differs, however coarse the clock of the disk is."""
    file.write_text(content)
    file.chmod(0o600)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file, tokens = tmp_path / "t.yaml", TokenFile()
    write(file, f"ci: {hash_of('one')}\n")
    assert tokens.by_hash(file, "one") == "ci"
    write(file, f"ci: {hash_of('two')}\nann: {hash_of('three')}\n")
    assert (tokens.by_hash(file, "one"), tokens.by_hash(file, "two")) == ("", "ci")


def test_a_file_that_broke_keeps_the_last_good_state_and_says_so(tmp_path: Path) -> None:
    file, tokens = tmp_path / "t.yaml", TokenFile()
    write(file, f"ci: {hash_of('one')}\n")
    assert tokens.by_hash(file, "one") == "ci"
    write(file, "ci: [\n")
    assert tokens.by_hash(file, "one") == "ci"
    assert str(file) in tokens.problem
    write(file, f"ci: {hash_of('one')}\nb: {hash_of('b')}\n")
    assert tokens.by_hash(file, "b") == "b"
    assert tokens.problem == ""


def test_a_file_that_is_gone_has_no_tokens(tmp_path: Path) -> None:
    file, tokens = tmp_path / "t.yaml", TokenFile()
    write(file, f"ci: {hash_of('one')}\n")
    assert tokens.by_hash(file, "one") == "ci"
    file.unlink()
    assert tokens.by_hash(file, "one") == ""
    assert "cannot read the token file" in tokens.problem
    write(file, f"ci: {hash_of('one')}\n")
    assert tokens.by_hash(file, "one") == "ci"


def test_a_file_that_everybody_can_read_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.yaml"
    write(file, f"ci: {hash_of('one')}\n")
    file.chmod(0o644)

    assert TokenFile().by_hash(file, "one") == "ci"

    told = capsys.readouterr()
    assert "token_file_open_to_all" in told.out + told.err
    assert f"chmod 600 {file}" in told.out + told.err


async def test_a_passphrase_is_found_and_then_remembered(tmp_path: Path) -> None:
    file, tokens = tmp_path / "t.yaml", TokenFile()
    write(file, f"ann: {hash_of_passphrase('correct horse battery staple')}\nci: {hash_of('one')}\n")

    assert tokens.by_hash(file, "correct horse battery staple") == ""
    assert await tokens.by_passphrase(file, "correct horse") == ""
    assert await tokens.by_passphrase(file, "correct horse battery staple") == "ann"
    started = time.perf_counter()
    assert tokens.by_hash(file, "correct horse battery staple") == "ann"
    assert time.perf_counter() - started < 0.02
    write(file, f"ann: {hash_of_passphrase('another one of that sort')}\n")
    assert tokens.by_hash(file, "correct horse battery staple") == ""


def test_the_same_passphrase_has_another_hash_each_time() -> None:
    assert hash_of_passphrase("x" * 20) != hash_of_passphrase("x" * 20)


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "bearer", f"Token {TOKENS['root']}", "Bearer " + "x" * 5000],
)
async def test_what_is_no_token_of_ours_is_refused(guarded: Front, header: str) -> None:
    async with guarded.client() as client:
        answer = await client.get("/api/v1/projects", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="reconciler"'
    assert answer.json()["hint"]


async def test_guessing_is_slowed_down_and_keeps_nobody_else_out(guarded: Front) -> None:
    async with guarded.client("rct_wrong", peer="192.0.2.1") as guesser:
        answers = [(await guesser.get("/api/v1/projects")) for _ in range(15)]
    async with (
        guarded.client("root", peer="192.0.2.1") as right,
        guarded.client("rct_b", peer="192.0.2.2") as other,
    ):
        behind_the_same_address = await right.get("/api/v1/projects")
        elsewhere = await other.get("/api/v1/projects")

    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 5
    assert int(answers[-1].headers["retry-after"]) > 0
    assert behind_the_same_address.status_code == 200
    assert elsewhere.status_code == 401
    guarded.clock[0] += 60
    assert (await guarded.get("/projects", "rct_wrong")).status_code == 401


def test_the_command_makes_a_token_and_its_line() -> None:
    result = CliRunner().invoke(app, ["token", "ci"])

    assert result.exit_code == 0
    token = result.stderr.strip().rpartition(" ")[2]
    hashes = read_tokens(result.stdout.encode(), "f")
    assert hashes == {"ci": hash_of(token)}
    assert token not in result.stdout
    assert len(token) > 40
    assert new_token() != new_token()


def test_the_command_hashes_a_passphrase() -> None:
    result = CliRunner().invoke(app, ["token", "ann", "--passphrase"], input="correct horse battery\n")

    assert result.exit_code == 0
    assert list(read_tokens(result.stdout.encode(), "f")) == ["ann"]


@pytest.mark.parametrize(
    ("args", "typed", "said"),
    [
        (["a b"], "", "'a b' is no name for a token"),
        (["ann", "--passphrase"], "short\n", "fewer than 16 characters"),
    ],
)
def test_the_command_refuses_what_would_not_work(args: list[str], typed: str, said: str) -> None:
    result = CliRunner().invoke(app, ["token", *args], input=typed)

    assert isinstance(result.exception, InvalidInput)
    assert said in str(result.exception)
    assert result.exception.hint

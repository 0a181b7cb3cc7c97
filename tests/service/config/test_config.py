"""The configuration file: what is taken, and what every mistake in it is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reconciler.errors import InvalidInput, explain
from reconciler.service.config import load_config
from reconciler.service.config_spec import Secret, seconds
from reconciler.service.config_text import check_text
from tests.service.config.files import LEAST, SOURCE, loaded, problems, secret_file, write
from tests.service.config.mistakes import MISTAKES, source

HASH = "sha256:" + "0" * 64
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
WHOLE = """\
    listen: 0.0.0.0:8443
    public_url: https://agents.example.com/reconciler
    store: postgresql://reconciler@db.example.com/reconciler?sslmode=require
    sources:
    - name: agents
      url: https://github.com/acme/agents.git
      ref: main
      path: foundry
      interval: 5m
      jitter_percent: 20
      projects: [prod-*, stage]
      webhook: {provider: github, secret: {env: HOOK}}
      credentials: {token: {file: token}}
      signatures: {ssh: [PUBLIC_KEY, keys.pub], gpg: [keys.asc]}
      limits: {megabytes: 50, files: 1000, timeout: 30s}
      forge: {provider: github, repository: acme/agents, token: {env: STATUS}}
    - name: partners
      url: git@git.example.com:partners/agents.git
      credentials: {ssh_key: id, ssh_passphrase: {env: PASSPHRASE}}
      webhook: {provider: generic, secret: {env: HOOK}, header: X-Signature}
    limits: {reconciles: 4, webhooks_per_minute: 60}
    backoff: {first: 10s, longest: 30m}
    retention: {runs: 50, days: 30, audit_days: 365}
    notify:
    - {name: chat, url: {env: CHAT}, on: [drift, failure], projects: [prod-*], repeat_after: 1h}
    cloud_events: {url: https://events.example.com/in, secret: {env: HOOK}}
    auth:
      tokens: tokens.yaml
      oidc: {issuer: https://login.microsoftonline.com/t/v2.0, client_id: id, client_secret: {env: CLIENT}}
      roles:
      - {role: admin, groups: [platform], tokens: [ci]}
      - {role: viewer, projects: [prod-*], users: [ann@example.com]}
      session_key: {env: SESSION}
    log: warning
    """.replace("PUBLIC_KEY", KEY)
ENVIRON = {
    "HOOK": "hook-secret-of-test",
    "STATUS": "status-token-of-test",
    "PASSPHRASE": "passphrase-of-test",
    "CHAT": "json://chat.example.com/room",
    "CLIENT": "client-secret-of-test",
    "SESSION": "s" * 40,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in (("token", "token-of-test\n"), ("id", "PRIVATE"), ("tokens.yaml", f"ci: {HASH}\n")):
        secret_file(tmp_path, name, text)
    (tmp_path / "keys.pub").write_text(f"{KEY} of a test\n")
    (tmp_path / "keys.asc").write_text("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")
    return tmp_path


def test_the_least_that_works(tmp_path: Path) -> None:
    config = loaded(tmp_path, LEAST)

    assert config.spec.listen == "127.0.0.1:8080"
    (source,) = config.spec.sources
    assert (source.name, source.projects, seconds(source.interval)) == ("agents", ("*",), 60)
    assert config.secrets == {}


def test_everything_that_may_be_said(folder: Path) -> None:
    config = loaded(folder, WHOLE, ENVIRON)

    assert config.secret(Secret(file="token")) == "token-of-test"
    assert config.secret(Secret(env="HOOK")) == "hook-secret-of-test"
    assert config.file("keys.pub") == folder / "keys.pub"
    assert config.file("/etc/keys") == Path("/etc/keys")
    assert config.spec.sources[1].webhook is not None


def test_the_check_says_what_would_be_watched_and_no_secret(folder: Path) -> None:
    text = check_text(loaded(folder, WHOLE, ENVIRON))

    for part in (
        "Watches 2 sources:",
        "agents: https://github.com/acme/agents.git at main, folder foundry, every 5m",
        "Projects `prod-*` and `stage`",
        "webhook of github at /hooks/agents, variable HOOK",
        "token from file token",
        "commits signed by one of 3 keys",
        "results on github acme/agents",
        "SSH key id",
        "Listens at 0.0.0.0:8443.",
        "50 runs of each Project, 30 days",
        "OpenID Connect (https://login.microsoftonline.com/t/v2.0) and tokens of tokens.yaml",
        "admin of all Projects, viewer of Projects `prod-*`",
        "Tells chat of `drift` and `failure` for Projects `prod-*`.",
        "Sends every event to https://events.example.com/in, signed.",
    ):
        assert part in text
    for secret in (*ENVIRON.values(), "token-of-test"):
        assert secret not in text
    assert "for this machine only" in check_text(loaded(folder, LEAST))


def test_secrets_are_in_no_text_of_the_configuration(folder: Path) -> None:
    config = loaded(folder, WHOLE, ENVIRON)

    for secret in (*ENVIRON.values(), "token-of-test"):
        assert secret not in repr(config)
        assert secret not in config.masker().text(f"a line with {secret} in it")


@pytest.mark.parametrize(("text", "expected"), MISTAKES)
def test_every_mistake_has_a_place_and_a_remedy(tmp_path: Path, text: str, expected: str) -> None:
    for name, content, mode in (
        ("blank", "\n", 0o600),
        ("open", "secret-secret", 0o644),
        ("worse", "secret-secret", 0o602),
        ("big", "x" * 70_000, 0o600),
        ("tokens", f"ci: {HASH}\n", 0o600),
        ("badtokens", "ci: plain-text-token\n", 0o600),
    ):
        secret_file(tmp_path, name, content, mode)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "binary").chmod(0o600)
    environ = {**ENVIRON, "EMPTY": " ", "SHORT": "abc", "HALF": "onlyuser:", "WHSEC": "whsec_%%%"}

    found = problems(tmp_path, text, environ)

    assert any(expected in problem for problem in found), found
    assert all(problem.startswith("reconciler.yaml:") for problem in found)
    assert all(problem.endswith(")") for problem in found), "a problem without a remedy"
    assert "hunter2" not in " ".join(found)
    assert "plain-text-token" not in " ".join(found)


def test_a_secret_pasted_where_its_variable_belongs_is_not_shown_again(tmp_path: Path) -> None:
    pasted = "gh-very-secret-value!"
    (problem,) = problems(tmp_path, source(f"webhook: {{provider: github, secret: {{env: {pasted}}}}}"))

    assert pasted not in problem
    assert "this is no name of an environment variable" in problem


@pytest.mark.parametrize("written", ["plain-words-of-mine", "1234567890123", "[plain-words-of-mine]"])
def test_a_secret_written_into_the_file_is_not_shown_again(tmp_path: Path, written: str) -> None:
    (problem,) = problems(tmp_path, source(f"webhook: {{provider: github, secret: {written}}}"))

    assert written.strip("[]") not in problem
    assert "sources.0.webhook.secret: a secret is not written here (Write `{env: NAME}` or" in problem


def test_all_problems_come_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
        listen: 0.0.0.0:80
        stroe: sqlite:///x
        sources:
        - name: one
          url: https://github.com/acme/agents.git
          webhook: {provider: github, secret: {env: NOT_SET}}
        - name: one
          url: https://github.com/acme/agents.git
          interval: soon
        - name: one
          url: https://example.com/other.git
          signatures: {ssh: [gone]}
        """
    found = problems(tmp_path, text)

    starts = [":".join(problem.split(":")[1:4]) for problem in found]
    assert [problem.split(": ")[1] for problem in found] == [
        "`store` is missing (Add it.)",
        "listen",
        "stroe",
        "sources.0.webhook.secret.env",
        "sources.1.interval",
        "sources.2.name",
        "sources.2.signatures.ssh.0",
    ]
    assert starts == sorted(starts, key=lambda at: [int(number) for number in at.split(":")[:1]])


@pytest.mark.parametrize(
    ("first", "second", "overlap"),
    [
        pytest.param("[prod-*]", "[stage-*]", False, id="apart"),
        pytest.param("['*-eu']", "[prod-*]", True, id="ends-and-begins"),
        pytest.param("['prod-?']", "['prod-??']", False, id="lengths"),
        pytest.param("['[a-m]*']", "['[n-z]*']", False, id="ranges"),
        pytest.param("[prod]", "['p*d', other]", True, id="one-of-many"),
    ],
)
def test_one_repository_may_be_watched_twice_for_different_projects(
    tmp_path: Path, first: str, second: str, overlap: bool
) -> None:
    text = SOURCE + f"  projects: {first}\n- name: others\n  url: https://github.com/acme/agents.git\n"
    text += f"  projects: {second}\n"

    if overlap:
        assert "the same Projects" in problems(tmp_path, text)[0]
    else:
        assert len(loaded(tmp_path, text).spec.sources) == 2


@pytest.mark.parametrize("more", ["  ref: v2\n", "  path: other\n"])
def test_other_refs_and_folders_are_other_sources(tmp_path: Path, more: str) -> None:
    text = SOURCE + f"  path: mine\n- name: others\n  url: https://github.com/acme/agents.git\n{more}"

    assert len(loaded(tmp_path, text).spec.sources) == 2


def test_a_file_that_is_not_there_is_told_with_the_flag(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_config(tmp_path / "gone.yaml", {})

    assert "cannot read the configuration" in str(caught.value)
    assert "--config" in caught.value.hint
    assert len(explain(caught.value)) == 1, "the reason is told once"


def test_a_check_shows_where_a_relative_store_would_be(tmp_path: Path) -> None:
    text = check_text(loaded(tmp_path, SOURCE))

    assert f"Keeps history in {Path.cwd()}/store.db:" in text


def test_mounted_secrets_may_be_readable_for_everybody_in_the_container(tmp_path: Path) -> None:
    """Kubernetes mounts with mode 0644 by default, as links into a folder `..data`."""
    (tmp_path / "..2026").mkdir()
    secret_file(tmp_path / "..2026", "token", "from-kubernetes", 0o644)
    (tmp_path / "..data").symlink_to("..2026")
    (tmp_path / "token").symlink_to("..data/token")

    config = loaded(tmp_path, source("credentials: {token: {file: token}}"))

    assert config.secret(Secret(file="token")) == "from-kubernetes"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a file that root may read and nobody else")
def test_a_home_of_nobody_is_no_crash(tmp_path: Path) -> None:
    found = problems(tmp_path, source("credentials: {token: {file: ~nobody-at-all/token}}"))

    assert "there is no file" in found[0]


@pytest.mark.parametrize("listen", ["127.0.0.1:0", "localhost:8080", "[::1]:8080", "127.8.9.1:80"])
def test_loopback_needs_no_sign_in(tmp_path: Path, listen: str) -> None:
    assert loaded(tmp_path, SOURCE + f"listen: '{listen}'\n").spec.listen == listen


def test_the_copied_address_of_azure_devops_is_no_secret(tmp_path: Path) -> None:
    text = SOURCE.replace("github.com/acme/agents.git", "org@dev.azure.com/org/proj/_git/agents")

    assert loaded(tmp_path, text).spec.sources[0].url.startswith("https://org@")


def test_a_hidden_file_name_in_the_message_is_the_one_given(tmp_path: Path) -> None:
    path = write(tmp_path, "store: 5\n", "service.yaml")
    with pytest.raises(InvalidInput) as caught:
        load_config(path, {})

    assert str(caught.value).endswith(f"in the configuration {path}")
    assert "--check" in caught.value.hint

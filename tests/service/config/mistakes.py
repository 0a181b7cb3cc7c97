# ruff: noqa: E501 - a table is read by its columns
"""Every mistake that a configuration can hold, and what is said of it."""

from __future__ import annotations

import pytest

from tests.service.config.files import SOURCE

TWO = SOURCE + "- name: others\n"


def source(more: str) -> str:
    """The least configuration with more lines in its one source."""
    return SOURCE + "".join(f"  {line}\n" for line in more.splitlines())


# The text of the file, and a part of what is said of it.
MISTAKES = [
    pytest.param("", "1:1: the configuration is empty (Write at least `store`", id="empty"),
    pytest.param("- a\n", "1:1: expected a mapping (Write `store: …`", id="list"),
    pytest.param(SOURCE + "---\nstore: x\n", "6:1: a second document (Keep one", id="two-documents"),
    pytest.param("store: [\n", "a `[` or `{` that is not closed", id="yaml"),
    pytest.param(SOURCE + "store: y\n", "5:1: the key `store` is here twice", id="twice"),
    pytest.param("store: sqlite:///x\n", "1:1: `sources` is missing (Add it.)", id="no-sources"),
    pytest.param("store: sqlite:///x\nsources: []\n", "2:10: sources: no source is named (List", id="empty-sources"),
    pytest.param(SOURCE + "retenton: {runs: 5}\n", "5:1: retenton: unknown key `retenton` (Did you mean `retention`?)", id="key"),
    pytest.param(source("intervall: 5m"), "sources.0.intervall: unknown key `intervall` (Did you mean `interval`?)", id="inner-key"),
    pytest.param(source("interval: 5"), "5:13: sources.0.interval: `5` is no span of time (Write `30s`", id="number"),
    pytest.param(source("ref: 5"), "5:8: sources.0.ref: expected text, found `5` (Quote it.)", id="number-as-text"),
    pytest.param(SOURCE.replace("sqlite:///", "sqlite://"), "`postgresql://USER@HOST/DATABASE`", id="user-in-remedy"),
    pytest.param(source("interval: 5 min"), "`5 min` is no span of time (Write `30s`", id="span"),
    pytest.param(source("jitter_percent: 120"), "`120` is more than 100 (Lower it.)", id="percent"),
    pytest.param(SOURCE.replace("agents\n", "My Agents\n", 1), "3:9: sources.0.name: `My Agents` is no name", id="name"),
    pytest.param(SOURCE.replace("https://github.com/acme/agents.git", "./agents"), "sources.0.url: this is a path", id="path"),
    pytest.param(SOURCE.replace("https://", "ftp://"), "`ftp://` is not a way to read Git (Write a folder", id="scheme"),
    pytest.param(SOURCE.replace("https://", "https://ann:hunter2hunter2@"), "sources.0.url: the address holds a password or token (Take it out", id="password"),
    pytest.param(SOURCE.replace("https://", "https://ghp_0123456789abcdef0123456789@"), "the address holds a password or token", id="token"),
    pytest.param(SOURCE.replace("agents.git", "agents.git//sub"), "names a folder (Write it as `path`", id="folder"),
    pytest.param(SOURCE.replace("agents.git", "agents.git?ref=v1"), "names a ref (Write it as `ref`", id="ref-in-url"),
    pytest.param(source("ref: a..b"), "`a..b` is no ref of Git", id="ref"),
    pytest.param(source("ref: release/*"), "5:8: sources.0.ref: `release/*` is no ref of Git (Write a branch", id="ref-pattern"),
    pytest.param(SOURCE.replace("https://github.com/acme/agents.git", '"https://github.com/acme/\\a.git"'), "4:8: sources.0.url: a control character (Remove it.)", id="url-control"),
    pytest.param(SOURCE.replace("https://github.com", "file://srv"), "`file://` reads no other machine (Write file:///PATH, with three slashes.)", id="file-host"),
    pytest.param(source("path: ../other"), "`../other` leaves the repository", id="leaves"),
    pytest.param(source("projects: ['[z-a]']"), "5:14: sources.0.projects.0: `[z-a]` is no glob", id="glob"),
    pytest.param(source("projects: [a/b]"), "`a/b` matches no name of a Project", id="glob-with-slash"),
    pytest.param(source("webhook: {provider: githb, secret: {env: X}}"), "(Did you mean `github`?)", id="provider"),
    pytest.param(source("webhook: {provider: github}"), "sources.0.webhook: `secret` is missing", id="no-secret"),
    pytest.param(source("webhook: {provider: github, secret: {env: UNSET}}"), "sources.0.webhook.secret.env: the variable UNSET is not set (Set it", id="unset"),
    pytest.param(source("webhook: {provider: github, secret: {env: EMPTY}}"), "the variable EMPTY is empty", id="empty-variable"),
    pytest.param(source("webhook: {provider: github, secret: {env: SHORT}}"), "fewer than 8 characters (Make one with `openssl", id="short"),
    pytest.param(source("webhook: {provider: github, secret: {env: A, file: b}}"), "a secret has either `env` or `file`", id="both"),
    pytest.param(source("webhook: {provider: github, secret: {env: HOOK}, header: X-A}"), "github has a header of its own", id="header"),
    pytest.param(source("webhook: {provider: generic, secret: {env: HOOK}, header: 'X A'}"), "`X A` is no name of a header", id="header-name"),
    pytest.param(source("webhook: {provider: azure-devops, secret: {env: HALF}}"), "the secret is no `user:password`", id="azure"),
    pytest.param(source("webhook: {provider: gitlab, secret: {env: WHSEC}}"), "the signing token is cut short", id="gitlab"),
    pytest.param(source("credentials: {token: {file: nothing}}"), "sources.0.credentials.token.file: there is no file nothing", id="no-file"),
    pytest.param(source("credentials: {token: {file: .}}"), " is no file (Name a file", id="folder-as-file"),
    pytest.param(source("credentials: {token: {file: blank}}"), "blank is empty", id="empty-file"),
    pytest.param(source("credentials: {token: {file: open}}"), "everybody may read open (Run `chmod 600 open`.)", id="world-readable"),
    pytest.param(source("credentials: {token: {file: worse}}"), "everybody may change worse", id="world-writable"),
    pytest.param(source("credentials: {token: {file: binary}}"), "binary is not UTF-8 text", id="binary"),
    pytest.param(source("credentials: {token: {file: big}}"), "big has more than 64 KiB", id="big"),
    pytest.param(source("credentials: {ssh_key: blank}"), "https takes no SSH key", id="key-for-https"),
    pytest.param(SOURCE.replace("https://github.com/", "git@github.com:") + "  credentials: {token: {env: HOOK}}\n", "SSH takes no token (Name a key", id="token-for-ssh"),
    pytest.param(SOURCE.replace("https://", "ssh://git@") + "  credentials: {ssh_key: nothing}\n", "sources.0.credentials.ssh_key: there is no file nothing", id="no-key"),
    pytest.param(SOURCE.replace("https://", "http://") + "  credentials: {token: {env: HOOK}}\n", "without encryption (Use https.)", id="plain-http"),
    pytest.param(source("credentials: {ssh_passphrase: {env: HOOK}}"), "a passphrase without its key", id="passphrase"),
    pytest.param(source("signatures: {ssh: [keys]}"), "sources.0.signatures.ssh.0: cannot read the key keys: No such file", id="signature-key"),
    pytest.param(source("signatures: {gpg: [blank]}"), "the key blank is empty (Name a file", id="empty-key"),
    pytest.param(source("signatures: {}"), "no key is named (List keys", id="no-keys"),
    pytest.param(SOURCE.replace("github.com", "git.corp.example") + "  forge: {provider: github, repository: a/b, token: {env: HOOK}}\n", "`git.corp.example` is not github.com, and its API is not named (Add `url`", id="forge"),
    pytest.param(source("forge: {provider: github, repository: a/b, token: {env: HOOK}, url: 'http://api.example'}"), "plain http would send secrets in the open", id="forge-http"),
    pytest.param(source("forge: {provider: github, repository: b, token: {env: HOOK}}"), "`b` is no repository (Write `owner/name`", id="repository"),
    pytest.param(TWO.replace("others", "agents") + "  url: https://a.example/b.git\n", "5:9: sources.1.name: the name `agents` is already that of source 1", id="same-name"),
    pytest.param(TWO + "  url: git@github.com:acme/agents.git\n", "5:3: sources.1.projects: the same Projects of the same repository as in source `agents`", id="same-source"),
    pytest.param(TWO + "  url: https://github.com/acme/agents\n  path: prod\n", "the same Projects of the same repository", id="folder-within"),
    pytest.param(SOURCE.replace("sqlite:///store.db", "mysql://x/y"), "1:8: store: `store` is an address of `mysql://`", id="store"),
    pytest.param(SOURCE.replace("sqlite:///store.db", "postgresql://u:hunter2hunter2@h/d"), "store: the address holds a password (Take it out, and set PGPASSWORD", id="store-password"),
    pytest.param(SOURCE.replace("sqlite:///store.db", "postgresql://h/d?user=u&password=hunter2hunter2"), "store: the address holds a password", id="store-query"),
    pytest.param(SOURCE + "listen: 8080\n", "listen: `8080` is nothing to listen at (Write HOST:PORT", id="port-only"),
    pytest.param(SOURCE + "listen: 'localhost'\n", "`localhost` is nothing to listen at (Write HOST:PORT", id="no-port"),
    pytest.param(SOURCE + "listen: '127.0.0.1:99999'\n", "is nothing to listen at", id="port-too-high"),
    pytest.param(SOURCE + "listen: '[127:::1]:80'\n", "`127:::1` is no address", id="no-address"),
    pytest.param(SOURCE + "listen: 0.0.0.0:8080\n", "5:9: listen: listening at 0.0.0.0:8080 without sign-in, where everybody would be admin (Add `auth`", id="exposed"),
    pytest.param(SOURCE + "auth: {}\n", "5:7: auth: nobody can sign in (Name a file", id="no-way-in"),
    pytest.param(SOURCE + "auth: {tokens: tokens}\n", "nobody has a role, so nobody could look at anything", id="no-roles"),
    pytest.param(SOURCE + "auth: {tokens: tokens, roles: [{role: admin}]}\n", "auth.roles.0: nobody can have this role", id="empty-role"),
    pytest.param(SOURCE + "auth: {tokens: tokens, roles: [{role: admin, users: [a]}]}\n", "`users` come from the sign-in, and none is set", id="users-without-oidc"),
    pytest.param(SOURCE + "auth: {tokens: tokens, roles: [{role: admin, tokens: [c]}]}\n", "auth.roles.0.tokens.0: the file of tokens has no `c`", id="unknown-token"),
    pytest.param(SOURCE + "auth: {tokens: badtokens, roles: [{role: admin, tokens: [c]}]}\n", "5:16: auth.tokens: badtokens:1:1: the value of `ci` is no hash", id="bad-tokens"),
    pytest.param(SOURCE + "auth: {oidc: {issuer: 'http://login.example', client_id: a, client_secret: {env: HOOK}}, roles: [{role: admin, users: [a]}]}\n", "auth.oidc.issuer: plain http would send secrets in the open", id="issuer"),
    pytest.param(SOURCE + "auth: {tokens: tokens, session_key: {env: HOOK}, roles: [{role: admin, tokens: [ci]}]}\n", "the key has fewer than 32 characters", id="session-key"),
    pytest.param(SOURCE + "notify: [{name: a, url: {env: HOOK}}]\n", "5:25: notify.0.url: the secret is no address that apprise knows", id="apprise"),
    pytest.param(SOURCE + "notify: [{name: a, url: {env: CHAT}}, {name: a, url: {env: CHAT}}]\n", "notify.1.name: the name `a` is already that of notification 1", id="notify-name"),
    pytest.param(SOURCE + "backoff: {first: 1h, longest: 5m}\n", "backoff.first: the first pause is longer than the longest, 5m", id="backoff"),
    pytest.param(SOURCE + "public_url: ftp://x\n", "public_url: this is no web address", id="public-url"),
    pytest.param(SOURCE + "cloud_events: {url: 'https://u:hunter2hunter2@x/'}\n", "the address holds a login (Take it out.)", id="events-login"),
    pytest.param(SOURCE + "log: verbose\n", "log: `verbose` is not one of `debug`", id="log"),
]  # fmt: skip

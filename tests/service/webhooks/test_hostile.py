"""Whatever anybody sends: no exception, no 5xx, and no trigger without the secret."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from . import deliveries
from .world import SECRETS, Hooks, signed

OWN = [
    "x-hub-signature-256", "x-hub-signature", "x-gitea-signature", "x-forgejo-signature", "x-gogs-signature",
    "x-signature", "x-gitlab-token", "x-hook-key", "webhook-id", "webhook-timestamp", "webhook-signature",
    "authorization", "content-type", "content-length", "transfer-encoding", "x-github-event",
    "x-gitlab-event", "x-event-key", "x-gitea-event", "x-github-delivery", "x-request-id", "expect",
]  # fmt: skip
shapes = st.sampled_from(
    [
        b"sha256=",
        b"sha1=",
        b"v1,",
        b"Basic ",
        b"Bearer ",
        b"push",
        b"ping",
        b"0" * 64,
        b"1700000000",
        b"application/",
    ]
)
values = st.lists(st.one_of(st.binary(max_size=20), shapes), max_size=4).map(b"".join)
names = st.one_of(st.sampled_from([name.encode() for name in OWN]), st.binary(min_size=1, max_size=12))
headers = st.lists(st.tuples(names, values), max_size=8)

json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=12),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
PAYLOADS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "github": ("x-github-event", "push", deliveries.github()),
    "gitlab-signed": ("x-gitlab-event", "System Hook", deliveries.gitlab_system("refs/heads/main")),
    "azure-devops": ("x-none", "", deliveries.azure_devops("refs/heads/main", "refs/tags/x")),
    "bitbucket": ("x-event-key", "repo:push", deliveries.bitbucket()),
    "bitbucket-server": ("x-event-key", "repo:refs_changed", deliveries.bitbucket_server()),
}
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(hooks: Hooks, source: str, sent: list[tuple[bytes, bytes]], body: bytes) -> int:
    with capture_logs() as lines:
        answer = asyncio.run(hooks.send(f"/hooks/{source}", sent, [body]))
    assert answer.status < 500
    assert json.loads(answer.content)["result"]
    for line in lines:
        assert all(value.isascii() and value.isprintable() and len(value) <= 100 for value in line.values())
    return answer.status


@quick
@given(st.sampled_from([*SECRETS, "quiet", "nobody"]), headers, st.binary(max_size=200))
def test_no_bytes_trigger_without_the_secret(
    source: str, sent: list[tuple[bytes, bytes]], body: bytes
) -> None:
    hooks = Hooks()

    status = run(hooks, source, [(name.lower(), value) for name, value in sent], body)

    assert status in {400, 401, 404, 413, 429}
    assert hooks.engine.tries == 0


@quick
@given(
    st.sampled_from(list(SECRETS)), headers, st.one_of(st.binary(max_size=200), json_values.map(json.dumps))
)
def test_no_believed_bytes_break_anything(
    source: str, sent: list[tuple[bytes, bytes]], body: bytes | str
) -> None:
    hooks = Hooks()
    content = body if isinstance(body, bytes) else body.encode()
    known = [(name.lower().encode(), value.encode()) for name, value in signed(source, content).items()]
    ours = {name for name, _ in known} | {b"content-length"}

    assert run(hooks, source, [*known, *(pair for pair in sent if pair[0].lower() not in ours)], content) in {
        200, 202, 400, 401,
    }  # fmt: skip


@st.composite
def bent(draw: st.DrawFn) -> tuple[str, Any]:
    """A real payload in which up to three values, at any depth, are something else or gone."""
    source = draw(st.sampled_from(list(PAYLOADS)))
    body = json.loads(json.dumps(PAYLOADS[source][2]))
    for _ in range(draw(st.integers(1, 3))):
        node: Any = body
        parents: list[tuple[Any, Any]] = []
        while isinstance(node, dict | list) and node and (not parents or draw(st.integers(0, 3))):
            key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
            parents.append((node, key))
            node = node[key]
        if parents:
            parent, key = parents[-1]
            if draw(st.booleans()):
                parent[key] = draw(json_values)
            else:
                del parent[key]
    return source, body


@quick
@given(bent())
def test_no_bent_payload_breaks_anything(case: tuple[str, Any]) -> None:
    source, body = case
    hooks = Hooks()
    header, event, _ = PAYLOADS[source]
    content = json.dumps(body).encode()
    sent = {**signed(source, content), header: event}

    status = run(
        hooks, source, [(name.lower().encode(), value.encode()) for name, value in sent.items()], content
    )

    assert status in {200, 202}
    assert (status == 202) == bool(hooks.engine.triggers)


@pytest.mark.parametrize("name", ["%00", "a%0d%0ab", "é", "..", "github ", "GITHUB", "a" * 70_000])
async def test_no_name_of_a_source_breaks_anything(name: str) -> None:
    hooks = Hooks()

    assert (await hooks.post(name, b"")).status == 404
    assert hooks.counted("unknown", "not-found") == 1

"""Where a request comes from: tables for this machine, other pages, and ways back after a sign-in."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service.auth.origin import from_other_page, host_name, is_local, own_path
from tests.service.api.world import Front

OURS = "https://reconciler.example.com"


@pytest.mark.parametrize(
    ("peer", "host", "expected"),
    [
        ("127.0.0.1", "127.0.0.1:8080", True),
        ("127.0.0.1", "localhost:8080", True),
        ("127.0.0.1", "LOCALHOST", True),
        ("127.9.9.9", "127.0.0.2", True),
        ("::1", "[::1]:8080", True),
        ("::ffff:127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "evil.example.com:8080", False),
        ("127.0.0.1", "localhost.evil.example.com", False),
        ("127.0.0.1", "127.0.0.1.evil.example.com", False),
        ("127.0.0.1", "127.0.0.1@evil.example.com", False),
        ("127.0.0.1", "2130706433", False),
        ("127.0.0.1", "0x7f.1", False),
        ("127.0.0.1", "0.0.0.0:8080", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "127.0.0.1:8080, evil", False),
        ("127.0.0.1", "[::1", False),
        ("192.0.2.7", "127.0.0.1:8080", False),
        ("10.0.0.1", "localhost", False),
        ("", "localhost", False),
        ("unix", "localhost", False),
    ],
)
async def test_only_this_machine_by_its_own_name_is_local(
    local: Front, peer: str, host: str, expected: bool
) -> None:
    assert is_local(peer, {"host": host}) is expected
    async with local.client(peer=peer) as client:
        for path in ("/api/v1/projects", "/page", "/auth/sign-in", "/nowhere"):
            answer = await client.get(path, headers={"Host": host})
            assert (answer.status_code in (400, 403)) is not expected
        # A tunnel brings webhooks from outside; their signature says whose they are.
        hook = await client.post("/hooks/agents", headers={"Host": host})
        assert hook.status_code == (200 if not host or host_name(host) else 400)


@pytest.mark.parametrize("host", ["[::1", "a, b", "a/b", "a@b", "a b", "[x]", "a:b", "ä"])
async def test_a_host_that_is_none_breaks_nothing(guarded: Front, host: str) -> None:
    async with guarded.client("root") as client:
        for path in ("/api/v1/projects", "/auth/sign-in", "/auth/oidc", "/page"):
            answer = await client.get(path, headers={"Host": host.encode()})
            assert answer.status_code == 400
            assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Forwarded-Host"])
async def test_a_proxy_in_front_lets_nobody_in(local: Front, header: str) -> None:
    async with local.client() as client:
        answer = await client.get("/api/v1/projects", headers={header: "127.0.0.1"})

    assert answer.status_code == 403
    assert "Only this machine is served" in answer.text
    assert "add `auth`" in answer.text


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, False, id="a-script"),
        pytest.param({"sec-fetch-site": "same-origin"}, False, id="ours"),
        pytest.param({"sec-fetch-site": "none"}, False, id="typed"),
        pytest.param({"sec-fetch-site": "cross-site"}, True, id="another-site"),
        pytest.param({"sec-fetch-site": "same-site"}, True, id="a-sibling"),
        pytest.param({"sec-fetch-site": ""}, True, id="empty"),
        pytest.param({"sec-fetch-site": "cross-site", "origin": OURS}, True, id="both"),
        pytest.param({"origin": OURS}, False, id="our-origin"),
        pytest.param({"origin": "https://internal:8443"}, False, id="asked-for"),
        pytest.param({"origin": "null"}, True, id="null"),
        pytest.param({"origin": "https://evil.example.com"}, True, id="other-origin"),
        pytest.param({"origin": f"{OURS}.evil.example.com"}, True, id="longer"),
        pytest.param({"origin": f"{OURS}:444"}, True, id="other-port"),
    ],
)
def test_pages_of_others_are_told_apart(headers: dict[str, str], expected: bool) -> None:
    assert from_other_page({"host": "internal:8443", **headers}, OURS) is expected


@given(st.text(max_size=40) | st.from_regex(r"[/\\:@a-z.\t\n]{1,12}", fullmatch=True))
def test_after_the_sign_in_nobody_lands_elsewhere(wanted: str) -> None:
    path = own_path(wanted)

    landed = urlsplit(urljoin(f"{OURS}/auth/callback", path))
    assert (landed.scheme, landed.netloc) == ("https", "reconciler.example.com")
    assert path.startswith("/")
    assert not path.startswith(("//", "/\\"))


@pytest.mark.parametrize(
    "path", ["/", "/projects/prod?health=failed", "/projects/a%20b#x", "/events?after=/x//y"]
)
def test_paths_of_ours_are_kept(path: str) -> None:
    assert own_path(path) == path


@pytest.mark.parametrize("path", ["/auth/sign-in", "/auth/sign-out", "/" + "x" * 1001])
def test_a_sign_in_does_not_lead_to_itself(path: str) -> None:
    assert own_path(path) == "/"


@pytest.mark.parametrize("path", ["/page%00", "/api/v1/projects/%00", "/page?next=a%00b", "/hooks/a%00"])
async def test_a_nul_in_an_address_goes_no_further(guarded: Front, path: str) -> None:
    """PostgreSQL takes no such text, and that would look like an outage of the store."""
    async with guarded.client("root") as client:
        answer = await client.get(path)

    assert answer.status_code == 400
    assert "NUL" in answer.text


async def test_a_nul_in_a_form_is_refused(guarded: Front) -> None:
    async with guarded.client() as client:
        answer = await client.post("/auth/token", data={"token": "a\x00b"})

    assert answer.status_code == 400

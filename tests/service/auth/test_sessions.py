"""Cookies of browsers: how they are made, what ends them, and every way to misuse them."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.service.auth.sessions import Leaving, Seal, Session, same
from tests.service.api.world import NOW, ROLES, TOKENS, Front, fill, front

COOKIE = "reconciler-session"
SESSION = Session("oidc", "ann", ("ann", "s1"), ("operators",), "csrf", NOW + 60)
SAME = {"Sec-Fetch-Site": "same-origin"}


@asynccontextmanager
async def signed_in(front: Front, who: str = "operator") -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    """A browser in which somebody pasted their token, and what its forms carry."""
    async with front.client() as browser:
        answer = await browser.post("/auth/token", data={"token": TOKENS[who]}, headers=SAME)
        assert answer.status_code == 303, answer.text
        yield browser, (await browser.get("/page")).text.split()[1]


async def test_a_pasted_token_signs_in(guarded: Front) -> None:
    async with guarded.client() as browser:
        answer = await browser.post("/auth/token", data={"token": f" {TOKENS['operator']} ", "next": "/page"})

        assert answer.headers["location"] == "/page"
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith(f"{COOKIE}=")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Secure" not in cookie, "plain http, on this machine"
        assert TOKENS["operator"] not in cookie
        assert (await browser.get("/page")).text.startswith("token:operator ")


@pytest.mark.parametrize(
    ("headers", "with_token", "status"),
    [
        pytest.param(SAME, True, 200, id="ours"),
        pytest.param({"Origin": "http://127.0.0.1:8080"}, True, 200, id="older-browser"),
        pytest.param({}, True, 200, id="token-alone"),
        pytest.param(SAME, False, 403, id="no-token"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, True, 403, id="another-site"),
        pytest.param({"Sec-Fetch-Site": "same-site"}, True, 403, id="a-sibling"),
        pytest.param({"Origin": "https://evil.example.com"}, True, 403, id="another-origin"),
        pytest.param({"Origin": "null"}, True, 403, id="no-origin"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, False, 403, id="another-site-without"),
    ],
)
async def test_a_write_with_a_cookie_needs_our_page(
    guarded: Front, headers: dict[str, str], with_token: bool, status: int
) -> None:
    async with signed_in(guarded) as (browser, csrf):
        sent = headers | ({"X-CSRF-Token": csrf} if with_token else {})
        answer = await browser.post("/api/v1/projects/prod/sync", headers=sent)

    assert answer.status_code == status
    assert bool(guarded.engine.asked) is (status == 200)


async def test_the_form_of_another_session_is_not_taken(guarded: Front) -> None:
    async with signed_in(guarded) as (browser, csrf), signed_in(guarded) as (_, other):
        assert csrf != other
        answer = await browser.post("/api/v1/projects/prod/sync", headers=SAME | {"X-CSRF-Token": other})

    assert answer.status_code == 403
    assert "not from this session" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        pytest.param({}, 200, id="a-script"),
        pytest.param(SAME, 403, id="a-page-without-token"),
        pytest.param({"Sec-Fetch-Site": "cross-site"}, 403, id="another-site"),
        pytest.param({"Origin": "https://evil.example.com"}, 403, id="another-origin"),
    ],
)
async def test_without_sign_in_pages_of_others_cannot_write_either(
    local: Front, headers: dict[str, str], status: int
) -> None:
    async with local.client() as browser:
        answer = await browser.post("/api/v1/projects/prod/sync", headers=headers)
        csrf = (await browser.get("/page")).text.split()[1]
        ours = await browser.post("/api/v1/projects/prod/sync", headers=SAME | {"X-CSRF-Token": csrf})

    assert answer.status_code == status
    assert ours.status_code == 200


async def test_a_token_needs_no_form(guarded: Front) -> None:
    async with guarded.client("operator", headers={"Sec-Fetch-Site": "cross-site"}) as script:
        assert (await script.post("/api/v1/projects/prod/sync")).status_code == 200


async def test_another_site_cannot_sign_somebody_in_as_another(guarded: Front) -> None:
    async with guarded.client() as browser:
        answer = await browser.post(
            "/auth/token", data={"token": TOKENS["operator"]}, headers={"Sec-Fetch-Site": "cross-site"}
        )

        assert answer.status_code == 403
        assert COOKIE not in browser.cookies


def flipped(cookie: str) -> str:
    content = bytearray(base64.urlsafe_b64decode(cookie))
    content[20] ^= 1
    return base64.urlsafe_b64encode(bytes(content)).decode()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(flipped, id="one-bit"),
        pytest.param(lambda cookie: cookie[:-8], id="cut"),
        pytest.param(lambda cookie: cookie * 30, id="long"),
        pytest.param(lambda cookie: "", id="empty"),
        pytest.param(lambda cookie: Seal("o" * 40, "session").sealed(SESSION), id="another-key"),
        pytest.param(lambda cookie: base64.urlsafe_b64encode(b'{"name": "root"}').decode(), id="plain"),
    ],
)
async def test_a_cookie_that_we_did_not_make_is_nobody(guarded: Front, change: Callable[[str], str]) -> None:
    async with signed_in(guarded) as (browser, _):
        made = change(browser.cookies[COOKIE])
        browser.cookies.clear()
        answer = await browser.get("/api/v1/projects", headers={"Cookie": f"{COOKIE}={made}"})

    assert answer.status_code == 401


async def test_a_session_ends_in_time(guarded: Front) -> None:
    async with signed_in(guarded) as (browser, _):
        guarded.clock[0] += 8 * 3600 - 1
        assert (await browser.get("/page")).status_code == 200
        guarded.clock[0] += 2
        assert (await browser.get("/api/v1/projects")).status_code == 401


async def test_a_session_ends_with_the_line_of_its_token(guarded: Front) -> None:
    async with signed_in(guarded) as (browser, _):
        file = guarded.folder / "tokens.yaml"
        file.write_text("\n".join(line for line in file.read_text().splitlines() if "operator" not in line))

        assert (await browser.get("/api/v1/projects")).status_code == 401


async def test_a_key_of_the_configuration_keeps_sign_ins_over_replicas(tmp_path: Path) -> None:
    auth = {"tokens": "tokens.yaml", "roles": ROLES, "session_key": {"env": "KEY"}}
    async with front(tmp_path, auth) as one:
        await fill(one)
        async with signed_in(one) as (browser, _):
            kept = browser.cookies[COOKIE]
    async with front(tmp_path, auth) as two, two.client() as browser:
        answer = await browser.get("/api/v1/projects", headers={"Cookie": f"{COOKIE}={kept}"})
        assert answer.status_code == 200
    async with front(tmp_path, auth | {"session_key": {"env": "OTHER"}}) as three, three.client() as browser:
        answer = await browser.get("/api/v1/projects", headers={"Cookie": f"{COOKIE}={kept}"})
        assert answer.status_code == 401


async def test_a_wrong_token_is_told_and_not_shown(guarded: Front) -> None:
    async with guarded.client() as browser:
        answer = await browser.post("/auth/token", data={"token": "rct_wrong-token-abc"})

    assert answer.status_code == 401
    assert "not known here" in answer.text
    assert "rct_wrong-token-abc" not in answer.text


@pytest.mark.parametrize(
    ("content", "content_type", "said"),
    [
        pytest.param(b"token=%ff", "application/x-www-form-urlencoded", "cannot be read", id="bytes"),
        pytest.param(b"\xff", "application/x-www-form-urlencoded", "cannot be read", id="no-ascii"),
        pytest.param(b"a=1&" * 60, "application/x-www-form-urlencoded", "cannot be read", id="fields"),
        pytest.param(b"x" * 70_000, "application/x-www-form-urlencoded", "64 KiB", id="large"),
        pytest.param(b"{}", "application/json", "is not application/x-www-form", id="type"),
    ],
)
async def test_a_form_that_is_none_is_refused(
    guarded: Front, content: bytes, content_type: str, said: str
) -> None:
    async with guarded.client() as browser:
        answer = await browser.post("/auth/token", content=content, headers={"Content-Type": content_type})

    assert answer.status_code == 400
    assert said in answer.text


async def test_signing_out_without_a_session_is_no_error(guarded: Front) -> None:
    async with guarded.client() as browser:
        answer = await browser.post("/auth/sign-out", data={"csrf_token": ""})

    assert answer.status_code == 200
    assert "Signed out" in answer.text


async def test_every_answer_tells_browsers_to_load_nothing_of_others(guarded: Front) -> None:
    async with guarded.client("root") as client:
        for path in ("/api/v1/projects", "/auth/sign-in", "/nowhere", "/api/v1/openapi.json"):
            headers = (await client.get(path)).headers
            assert headers["content-security-policy"] == (
                "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
                " form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
            )
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in headers


async def test_the_sign_in_page_offers_what_there_is(guarded: Front, local: Front) -> None:
    async with guarded.client() as browser:
        page = await browser.get("/auth/sign-in", params={"next": '/x?"><script>'})
    async with local.client() as browser:
        nothing = await browser.get("/auth/sign-in", params={"next": "/page"})
        pasted = await browser.post("/auth/token", data={"token": "x"})
        provider = await browser.get("/auth/oidc")

    assert 'name="token"' in page.text
    assert "organisation" not in page.text
    assert "<script>" not in page.text
    assert nothing.headers["location"] == "/page"
    assert (pasted.status_code, provider.status_code) == (400, 400)


@given(
    st.builds(
        Session,
        st.sampled_from(["oidc", "token"]),
        st.text(max_size=30),
        st.lists(st.text(max_size=30), max_size=4).map(tuple),
        st.lists(st.text(max_size=30), max_size=4).map(tuple),
        st.text(max_size=30),
        st.floats(NOW + 1, NOW + 1e6),
    )
)
def test_what_was_sealed_is_opened_the_same_and_only_for_its_purpose(session: Session) -> None:
    # Lone halves of characters are in no name: tokens come in as UTF-8.
    if any("\ud800" <= char <= "\udfff" for text in (session.name, session.csrf) for char in text):
        return
    seal, other = Seal("k" * 40, "session"), Seal("k" * 40, "sign-in")

    text = seal.sealed(session)

    assert seal.opened(Session, text, NOW) == session
    assert other.opened(Session, text, NOW) is None
    assert seal.opened(Leaving, text, NOW) is None
    assert seal.opened(Session, text, session.ends_at) is None
    assert seal.opened(Session, seal.sealed(replace(session, ends_at=0)), NOW) is None


@pytest.mark.parametrize(("one", "other", "expected"), [("a", "a", True), ("a", "b", False), ("", "", False)])
def test_secrets_are_compared(one: str, other: str, expected: bool) -> None:
    assert same(one, other) is expected

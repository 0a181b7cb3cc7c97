"""Sign-in by a provider: the way there and back, who somebody then is, and every way to forge it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import ssl
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from reconciler.service.auth.oidc import signed
from tests.service.api.world import NOW, Front
from tests.service.auth.conftest import HTTPS
from tests.service.auth.provider import CLIENT, OTHER_KEY, Provider, b64

SESSION = "__Host-reconciler-session"
TLS = ssl.create_default_context()
LEAVING = "__Host-reconciler-sign-in"


async def leave(browser: httpx.AsyncClient, next_: str = "/page") -> str:
    """Start a sign-in; where the provider sends the browser back to."""
    answer = await browser.get("/auth/oidc", params={"next": next_})
    assert answer.status_code == 303, answer.text
    async with httpx.AsyncClient(verify=TLS) as client:
        at_provider = await client.get(answer.headers["location"])
    assert at_provider.status_code == 302
    return at_provider.headers["location"]


async def sign_in(browser: httpx.AsyncClient, next_: str = "/page") -> httpx.Response:
    return await browser.get(await leave(browser, next_))


async def test_somebody_signs_in_and_is_who_the_provider_says(signing: Front, provider: Provider) -> None:
    provider.claims["groups"] = ["operators", "unrelated"]
    async with signing.client(base=HTTPS) as browser:
        back = await sign_in(browser, "/page?a=1")

        assert back.status_code == 303
        assert back.headers["location"] == "/page?a=1"
        cookie = next(line for line in back.headers.get_list("set-cookie") if line.startswith(SESSION))
        for word in ("HttpOnly", "Path=/", "SameSite=lax", "Secure", "Max-Age=28800"):
            assert word in cookie
        assert "Domain" not in cookie
        assert LEAVING not in browser.cookies
        page = await browser.get("/page")
        assert page.text.split()[0] == "ann@example.com"
        answer = await browser.get("/api/v1/projects")
        assert [item["name"] for item in answer.json()["items"]] == ["prod"]
    audits, _ = await signing.deps.store.audits()
    assert [(line.actor, line.action, line.detail["kind"]) for line in audits] == [
        ("ann@example.com", "sign-in", "oidc")
    ]


async def test_the_provider_is_asked_for_itself_and_its_keys_once(signing: Front, provider: Provider) -> None:
    provider.claims["groups"] = ["operators"]
    for _ in range(3):
        async with signing.client(base=HTTPS) as browser:
            assert (await sign_in(browser)).status_code == 303

    assert provider.requests.count("/.well-known/openid-configuration") == 1
    assert provider.requests.count("/keys") == 1


async def test_new_keys_of_the_provider_are_fetched_when_they_are_used(
    signing: Front, provider: Provider
) -> None:
    provider.claims["groups"] = ["operators"]
    async with signing.client(base=HTTPS) as browser:
        assert (await sign_in(browser)).status_code == 303
        signing.clock[0] += 61
        provider.key, provider.kid = OTHER_KEY, "k2"
        assert (await sign_in(browser)).status_code == 303


async def test_a_strange_key_keeps_nobody_out(signing: Front, provider: Provider) -> None:
    provider.claims["groups"] = ["operators"]
    provider.extra_keys = [{"kty": "XYZ", "kid": "x"}, {"kty": "oct", "kid": "o", "k": "AAAA"}]
    async with signing.client(base=HTTPS) as browser:
        assert (await sign_in(browser)).status_code == 303


def no_algorithm(token: str) -> str:
    header = b64(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header}.{token.split('.')[1]}."


def by_public_key(provider: Provider) -> Callable[[str], str]:
    def forge(token: str) -> str:
        header = b64(json.dumps({"alg": "HS256", "kid": provider.kid}).encode())
        first = f"{header}.{token.split('.')[1]}"
        return f"{first}.{b64(hmac.digest(provider.public_pem(), first.encode(), hashlib.sha256))}"

    return forge


def other_claims(token: str) -> str:
    header, claims, signature = token.split(".")
    pad = claims + "=" * (-len(claims) % 4)
    value = json.loads(base64.urlsafe_b64decode(pad)) | {
        "groups": ["operators"],
        "preferred_username": "root",
    }
    return f"{header}.{b64(json.dumps(value).encode())}.{signature}"


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        pytest.param({"iss": "https://evil.example.com"}, {}, id="issuer"),
        pytest.param({"iss": None}, {}, id="no-issuer"),
        pytest.param({"aud": "another-app"}, {}, id="audience"),
        pytest.param({"aud": None}, {}, id="no-audience"),
        pytest.param({"aud": [CLIENT, "another-app"]}, {}, id="several-audiences"),
        pytest.param({"aud": [CLIENT, "another-app"], "azp": "another-app"}, {}, id="another-party"),
        pytest.param({"azp": "another-app"}, {}, id="party"),
        pytest.param({"nonce": "replayed"}, {}, id="nonce"),
        pytest.param({"nonce": None}, {}, id="no-nonce"),
        pytest.param({"exp": NOW - 121}, {}, id="expired"),
        pytest.param({"exp": None}, {}, id="no-end"),
        pytest.param({"iat": NOW + 3600}, {}, id="from-the-future"),
        pytest.param({"nbf": NOW + 3600}, {}, id="not-yet"),
        pytest.param({"sub": None}, {}, id="no-subject"),
        pytest.param({}, {"kid": "unknown"}, id="unknown-key"),
        pytest.param({}, {"crit": ["exp"]}, id="critical-header"),
    ],
)
async def test_a_token_that_is_not_ours_signs_nobody_in(
    signing: Front, provider: Provider, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    provider.claims |= {"groups": ["operators"], **claims}
    provider.header = header
    async with signing.client(base=HTTPS) as browser:
        back = await sign_in(browser)

        assert back.status_code == 403
        assert "token is not valid" in back.text
        assert SESSION not in browser.cookies
        assert (await browser.get("/api/v1/projects")).status_code == 401


@pytest.mark.parametrize("forgery", ["none", "hmac", "claims", "other-key", "garbage", "unsigned", "missing"])
async def test_a_forged_token_signs_nobody_in(signing: Front, provider: Provider, forgery: str) -> None:
    provider.claims["groups"] = ["operators"]
    makers: dict[str, Callable[[str], Any]] = {
        "none": no_algorithm,
        "hmac": by_public_key(provider),
        "claims": other_claims,
        "other-key": lambda token: provider.signed({"nonce": "n"}, OTHER_KEY),
        "garbage": lambda token: "a.b.c",
        "unsigned": lambda token: token.rpartition(".")[0] + ".",
        "missing": lambda token: None,
    }
    provider.forge = makers[forgery]
    async with signing.client(base=HTTPS) as browser:
        back = await sign_in(browser)

        assert back.status_code == 403
        assert SESSION not in browser.cookies


async def test_clocks_may_differ_by_two_minutes(signing: Front, provider: Provider) -> None:
    provider.claims |= {"groups": ["operators"], "exp": NOW - 100, "iat": NOW + 100}
    async with signing.client(base=HTTPS) as browser:
        assert (await sign_in(browser)).status_code == 303


# The way there and back


async def test_a_code_without_the_sign_in_that_asked_for_it_is_worth_nothing(
    signing: Front, provider: Provider
) -> None:
    """Somebody sends a victim the end of their own sign-in, to have them work under their name."""
    provider.claims["groups"] = ["operators"]
    async with signing.client(base=HTTPS) as attacker, signing.client(base=HTTPS) as victim:
        back = await leave(attacker)
        answer = await victim.get(back)
        other = await leave(victim)
        mixed = await victim.get(back)

        assert answer.status_code == mixed.status_code == 403
        assert "was not started here" in answer.text
        assert SESSION not in victim.cookies
        assert (await victim.get(other)).status_code == 303


async def test_a_sign_in_counts_once(signing: Front, provider: Provider) -> None:
    provider.claims["groups"] = ["operators"]
    async with signing.client(base=HTTPS) as browser:
        back = await leave(browser)
        kept = browser.cookies[LEAVING]
        assert (await browser.get(back)).status_code == 303
        again = await browser.get(back, headers={"Cookie": f"{LEAVING}={kept}"})

        assert again.status_code == 403
        assert "was not started here" in again.text


async def test_a_sign_in_that_took_too_long_is_started_again(signing: Front, provider: Provider) -> None:
    async with signing.client(base=HTTPS) as browser:
        back = await leave(browser)
        signing.clock[0] += 601
        answer = await browser.get(back)

        assert answer.status_code == 403
        assert "Start the sign-in again" in answer.text


async def test_failing_again_and_again_is_slowed_down(signing: Front) -> None:
    async with signing.client(base=HTTPS) as browser:
        answers = []
        for _ in range(12):
            back = httpx.URL(await leave(browser, "/page"))
            answers.append(await browser.get(back.copy_set_param("code", "guessed")))

    assert [answer.status_code for answer in answers] == [403] * 10 + [429] * 2
    assert int(answers[-1].headers["retry-after"]) > 0


async def test_strangers_behind_the_same_proxy_keep_nobody_out(signing: Front) -> None:
    async with signing.client(base=HTTPS) as stranger:
        for _ in range(15):
            await stranger.get("/auth/callback", params={"state": "x", "code": "y"})
            await stranger.post("/auth/token", data={"token": "guessed"})
    async with signing.client(base=HTTPS) as browser:
        assert (await browser.get("/auth/callback", params={"state": "x", "code": "y"})).status_code == 403
        assert (await sign_in(browser)).headers.get("location") != "/auth/sign-in"


async def test_each_sign_in_has_secrets_of_its_own(signing: Front) -> None:
    async with signing.client(base=HTTPS) as browser:
        queries = [
            parse_qs(urlsplit((await browser.get("/auth/oidc")).headers["location"]).query) for _ in range(2)
        ]

    for name in ("state", "nonce", "code_challenge"):
        values = {query[name][0] for query in queries}
        assert len(values) == 2
        assert all(len(value) >= 32 for value in values)
    assert queries[0]["redirect_uri"] == [f"{HTTPS}/auth/callback"]


@pytest.mark.parametrize(
    "next_",
    [
        "https://evil.example.com/",
        "//evil.example.com",
        "/\\evil.example.com",
        "\\\\evil.example.com",
        "/\t/evil.example.com",
        "javascript:alert(1)",
        "http:evil.example.com",
        "/x\r\nSet-Cookie: a=b",
        " /page",
        "",
    ],
)
async def test_a_sign_in_leads_nowhere_else(signing: Front, provider: Provider, next_: str) -> None:
    provider.claims["groups"] = ["operators"]
    async with signing.client(base=HTTPS) as browser:
        back = await sign_in(browser, next_)
        token = await browser.post(
            "/auth/token", data={"token": "rct_root-0123456789", "next": next_}, follow_redirects=False
        )

    assert back.headers["location"] == "/"
    assert token.status_code == 303
    assert token.headers["location"] == "/"


async def test_what_the_provider_refuses_is_told_without_its_markup(signing: Front) -> None:
    async with signing.client(base=HTTPS) as browser:
        state = parse_qs(urlsplit(await leave(browser)).query)["state"][0]
        answer = await browser.get(
            "/auth/callback",
            params={"state": state, "error": "access_denied", "error_description": "<script>\x1b[2J no"},
        )

    assert answer.status_code == 403
    assert "access_denied: &lt;script&gt;\\x1b[2J no" in answer.text


@pytest.mark.parametrize(
    ("path", "said"),
    [
        pytest.param("/.well-known/openid-configuration", "answered 503", id="discovery"),
        pytest.param("/token", "does not answer", id="token"),
        pytest.param("/keys", "answered 503", id="keys"),
    ],
)
async def test_a_provider_that_is_down_is_said(
    signing: Front, provider: Provider, path: str, said: str
) -> None:
    provider.claims["groups"] = ["operators"]
    provider.failing = frozenset({path})
    async with signing.client(base=HTTPS) as browser:
        started = await browser.get("/auth/oidc")
        if started.status_code == 303:
            started = await sign_in(browser)

    assert started.status_code in (403, 503)
    assert said in started.text
    assert "shh-shh" not in started.text


async def test_a_provider_that_was_there_and_is_gone_is_remembered(
    signing: Front, provider: Provider
) -> None:
    provider.claims["groups"] = ["operators"]
    async with signing.client(base=HTTPS) as browser:
        assert (await sign_in(browser)).status_code == 303
        signing.clock[0] += 3601
        provider.failing = frozenset({"/.well-known/openid-configuration", "/keys"})
        assert (await sign_in(browser)).status_code == 303


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        pytest.param({"issuer": "https://evil.example.com"}, "exactly as the provider does", id="issuer"),
        pytest.param(
            {"issuer": "https://login.microsoftonline.com/{tenantid}/v2.0"}, "id of your tenant", id="common"
        ),
        pytest.param({"token_endpoint": "file:///etc/passwd"}, "no usable token_endpoint", id="scheme"),
        pytest.param({"jwks_uri": 7}, "no usable jwks_uri", id="type"),
    ],
)
async def test_a_provider_that_is_another_one_is_refused(
    signing: Front, provider: Provider, metadata: dict[str, Any], said: str
) -> None:
    provider.metadata = metadata
    async with signing.client(base=HTTPS) as browser:
        answer = await browser.get("/auth/oidc")

    assert answer.status_code == 503
    assert said in answer.text.replace("&#39;", "'")


# Who somebody is


async def test_without_a_role_nobody_gets_in(signing: Front, provider: Provider) -> None:
    async with signing.client(base=HTTPS) as browser:
        answer = await sign_in(browser)

        assert answer.status_code == 403
        assert "no role here for ann@example.com" in answer.text
        assert SESSION not in browser.cookies


async def test_too_many_groups_are_explained(signing: Front, provider: Provider) -> None:
    provider.claims |= {
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://x"}},
    }
    async with signing.client(base=HTTPS) as browser:
        answer = await sign_in(browser)

    assert answer.status_code == 403
    assert "more groups than the provider lists" in answer.text
    assert "application roles" in answer.text


async def test_a_role_that_is_taken_away_ends_the_session(signing: Front, provider: Provider) -> None:
    provider.claims["groups"] = ["operators"]
    async with signing.client(base=HTTPS) as browser:
        await sign_in(browser)
        current = signing.deps.configured.current
        auth = current.spec.auth
        assert auth is not None
        less = current.spec.model_copy(update={"auth": auth.model_copy(update={"roles": auth.roles[1:]})})
        object.__setattr__(current, "spec", less)

        assert (await browser.get("/api/v1/projects")).status_code == 403


@pytest.mark.parametrize(
    ("claims", "name", "names"),
    [
        pytest.param({}, "s", ("s",), id="subject-alone"),
        pytest.param(
            {"oid": "o", "preferred_username": "ann@x"}, "ann@x", ("ann@x", "o", "s"), id="user-and-object"
        ),
        pytest.param({"email": "root@x", "email_verified": False}, "s", ("s",), id="unverified"),
        pytest.param({"email": "root@x", "email_verified": "true"}, "s", ("s",), id="not-really-verified"),
        pytest.param({"email": "ann@x", "email_verified": True}, "ann@x", ("ann@x", "s"), id="verified"),
        pytest.param({"sub": "local"}, "user:local", ("local",), id="like-this-machine"),
        pytest.param({"sub": "token:ci"}, "user:token:ci", ("token:ci",), id="like-a-token"),
        pytest.param({"sub": "a\x1b[2J\u202e"}, "a\\x1b[2J\\u202e", ("a\x1b[2J\u202e",), id="control"),
    ],
)
def test_who_the_claims_say_it_is(claims: dict[str, Any], name: str, names: tuple[str, ...]) -> None:
    found = signed({"sub": "s"} | claims, "groups")

    assert (found.name, found.names) == (name, names)


@pytest.mark.parametrize(
    ("claims", "groups", "overage"),
    [
        pytest.param({"groups": ["one"], "roles": ["two", 3]}, {"one", "two"}, False, id="groups-and-roles"),
        pytest.param({"groups": "one"}, {"one"}, False, id="one"),
        pytest.param({"groups": {"a": 1}}, set(), False, id="odd"),
        pytest.param({"hasgroups": True}, set(), True, id="has-groups"),
        pytest.param({"_claim_names": {"groups": "src1"}}, set(), True, id="elsewhere"),
        pytest.param({"_claim_names": {"other": "src1"}}, set(), False, id="other-elsewhere"),
    ],
)
def test_which_groups_the_claims_say(claims: dict[str, Any], groups: set[str], overage: bool) -> None:
    found = signed({"sub": "s"} | claims, "groups")

    assert (found.groups, found.overage) == (groups, overage)


async def test_signing_out_forgets_the_session_and_names_the_providers_own(
    signing: Front, provider: Provider
) -> None:
    provider.claims["groups"] = ["operators"]
    async with signing.client(base=HTTPS) as browser:
        await sign_in(browser)
        csrf = (await browser.get("/page")).text.split()[1]
        forged = await browser.post("/auth/sign-out", data={"csrf_token": "x"})
        assert forged.status_code == 403
        assert (await browser.get("/page")).status_code == 200
        out = await browser.post("/auth/sign-out", data={"csrf_token": csrf})

        assert out.status_code == 200
        assert f"{provider.issuer}/logout?client_id={CLIENT}" in out.text
        assert SESSION not in browser.cookies
        assert (await browser.get("/api/v1/projects")).status_code == 401

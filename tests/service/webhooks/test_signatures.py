"""Who is believed, for every provider, and what comes close and is not."""

from __future__ import annotations

import base64

import pytest
from starlette.datastructures import Headers

from reconciler.service.webhooks.providers import PROVIDERS
from reconciler.service.webhooks.signatures import Refusal, Signed

from .world import NOW, SECRETS, SIGNING_KEY, SIGNING_TOKEN, SOURCES, hexed, signed, standard

BODY = b'{"ref":"refs/heads/main"}'
# Made with `openssl dgst -hmac`, so that a mistake of ours does not agree with itself.
SHA256 = "20e39c32577f001c7391212d523ded316e1ca181b2e79d373e2665d90d8c63fa"
SHA512 = (
    "07890e13fd1e2f3ff3f0f63eba5e658a3758620fc3db6a46391b7f14e459cbe9"
    "969a492c5ffc8ffebc4d7d682fd0edce842b3a7c34d886b9cd5cbaca6404c227"
)
UNICODE = "fb8f40e2cd14337ad7bb0518285a82c7f7bb167d4f49358c32b8bbc0aa8ff450"
STANDARD = "8gBmyd40g2bcnz0keQ3R/wGV9/hljFVsGX1p5FUWUJ4="

Pairs = list[tuple[str, str]]


def verified(
    provider: str, secret: str, headers: Pairs, *, body: bytes = BODY, header: str = ""
) -> Refusal | None:
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return PROVIDERS[provider].verify(Signed(Headers(raw=raw), body, secret, NOW, header))


@pytest.mark.parametrize(
    ("provider", "headers"),
    [
        pytest.param("github", [("X-Hub-Signature-256", f"sha256={SHA256}")], id="github"),
        pytest.param(
            "github",
            [("X-Hub-Signature", "sha1=" + "0" * 40), ("X-Hub-Signature-256", f"sha256={SHA256}")],
            id="github-beside-sha1",
        ),
        pytest.param("bitbucket", [("X-Hub-Signature", f"sha256={SHA256}")], id="bitbucket"),
        pytest.param("bitbucket-server", [("X-Hub-Signature", f"sha256={SHA256}")], id="bitbucket-server"),
        pytest.param("gitea", [("X-Gitea-Signature", SHA256)], id="gitea"),
        pytest.param("gitea", [("X-Hub-Signature-256", f"sha256={SHA256}")], id="gitea-as-github"),
        pytest.param("forgejo", [("X-Forgejo-Signature", SHA256)], id="forgejo"),
        pytest.param("forgejo", [("X-Gitea-Signature", SHA256)], id="forgejo-as-gitea"),
        pytest.param("gogs", [("X-Gogs-Signature", SHA256)], id="gogs"),
        pytest.param("generic", [("X-Signature", f"sha256={SHA256}")], id="generic-256"),
        pytest.param("generic", [("X-Signature", f"sha512={SHA512}")], id="generic-512"),
        pytest.param(
            "github", [("X-Hub-Signature-256", f"sha256={SHA256.upper()}")], id="digits-in-capitals"
        ),
        pytest.param("gitlab", [("X-Gitlab-Token", "correct horse")], id="gitlab"),
    ],
)
def test_who_knows_the_secret_is_believed(provider: str, headers: Pairs) -> None:
    assert verified(provider, "correct horse", headers) is None


@pytest.mark.parametrize(
    ("provider", "headers", "refusal"),
    [
        pytest.param("github", [], Refusal.MISSING, id="none"),
        pytest.param("github", [("X-Hub-Signature-256", "")], Refusal.MISSING, id="empty"),
        pytest.param("github", [("X-Hub-Signature", f"sha256={SHA256}")], Refusal.MISSING, id="other-header"),
        pytest.param("github", [("X-Hub-Signature", "sha1=" + "ab" * 20)], Refusal.SHA1, id="sha1-header"),
        pytest.param("github", [("X-Hub-Signature-256", "sha1=" + "ab" * 20)], Refusal.SHA1, id="sha1-value"),
        pytest.param(
            "bitbucket", [("X-Hub-Signature", "sha1=" + "ab" * 20)], Refusal.SHA1, id="sha1-bitbucket"
        ),
        pytest.param("generic", [("X-Signature", "sha1=" + "ab" * 20)], Refusal.SHA1, id="sha1-generic"),
        pytest.param("github", [("X-Hub-Signature-256", SHA256)], Refusal.MALFORMED, id="no-prefix"),
        pytest.param("gitea", [("X-Gitea-Signature", f"sha256={SHA256}")], Refusal.MALFORMED, id="prefix"),
        pytest.param(
            "github",
            [("X-Hub-Signature-256", f"SHA256={SHA256}")],
            Refusal.MALFORMED,
            id="prefix-in-capitals",
        ),
        pytest.param(
            "github", [("X-Hub-Signature-256", f"sha256={SHA256[:-2]}")], Refusal.MALFORMED, id="short"
        ),
        pytest.param("github", [("X-Hub-Signature-256", "sha256=")], Refusal.MALFORMED, id="only-prefix"),
        pytest.param("github", [("X-Hub-Signature-256", f"sha256={SHA256}00")], Refusal.MALFORMED, id="long"),
        pytest.param("github", [("X-Hub-Signature-256", f"sha256={SHA256} ")], Refusal.MALFORMED, id="blank"),
        pytest.param(
            "github",
            [("X-Hub-Signature-256", f"sha256={SHA256[:-1]}é")],
            Refusal.MALFORMED,
            id="letter-no-digit",
        ),
        pytest.param(
            "github",
            [("X-Hub-Signature-256", f"sha256={SHA256},sha256={SHA256}")],
            Refusal.MALFORMED,
            id="list",
        ),
        pytest.param(
            "github",
            [("X-Hub-Signature-256", f"sha256={SHA256}"), ("X-Hub-Signature-256", "sha256=" + "0" * 64)],
            Refusal.REPEATED,
            id="two-headers",
        ),
        pytest.param("generic", [("X-Signature", f"sha512={SHA256}")], Refusal.MALFORMED, id="other-length"),
        pytest.param("generic", [("X-Signature", f"md5={SHA256[:32]}")], Refusal.MALFORMED, id="md5"),
        pytest.param(
            "github", [("X-Hub-Signature-256", "sha256=" + "0" * 64)], Refusal.MISMATCH, id="wrong-digits"
        ),
        # The first header that is there decides: a right one further down does not make up for it.
        pytest.param(
            "forgejo",
            [("X-Forgejo-Signature", "0" * 64), ("X-Gitea-Signature", SHA256)],
            Refusal.MISMATCH,
            id="wrong-before-right",
        ),
        pytest.param("gitlab", [], Refusal.MISSING, id="no-token"),
        pytest.param(
            "gitlab", [("X-Gitlab-Token", "Correct horse")], Refusal.MISMATCH, id="token-in-other-case"
        ),
        pytest.param("gitlab", [("X-Gitlab-Token", "correct hors")], Refusal.MISMATCH, id="half-a-token"),
        pytest.param(
            "gitlab", [("X-Gitlab-Token", "correct horse ")], Refusal.MISMATCH, id="token-and-blank"
        ),
    ],
)
def test_what_comes_close_is_refused(provider: str, headers: Pairs, refusal: Refusal) -> None:
    assert verified(provider, "correct horse", headers) is refusal


@pytest.mark.parametrize("name", SECRETS)
def test_each_provider_refuses_another_secret_and_another_body(name: str) -> None:
    provider, header = next((provider, header) for source, provider, _, header in SOURCES if source == name)
    headers = list(signed(name, BODY).items())
    bears_the_secret = name in ("gitlab", "azure-devops", "azure-devops-header")

    assert verified(provider, SECRETS[name], headers, header=header or "") is None
    assert verified(provider, "something else", headers, header=header or "") is not None
    other_body = verified(provider, SECRETS[name], headers, body=BODY + b" ", header=header or "")
    assert other_body is (None if bears_the_secret else Refusal.MISMATCH)


def test_a_secret_may_have_any_letters() -> None:
    assert verified("github", "clé-ñ-密", [("X-Hub-Signature-256", f"sha256={UNICODE}")]) is None
    token = "clé-ñ-密".encode().decode("latin-1")
    assert verified("gitlab", "clé-ñ-密", [("X-Gitlab-Token", token)]) is None


def test_a_secret_may_hold_bytes_that_are_no_text() -> None:
    """The environment gives them as lone surrogates, which plain UTF-8 cannot write."""
    secret = b"\xff\xfe key".decode("utf-8", "surrogateescape")

    assert verified("gitlab", secret, [("X-Gitlab-Token", b"\xff\xfe key".decode("latin-1"))]) is None
    assert verified("github", secret, [("X-Hub-Signature-256", "sha256=" + "0" * 64)]) is Refusal.MISMATCH


# GitLab's signing tokens


def gitlab_headers(signature: str, *, id: str = "msg_1", at: str = "1700000000") -> Pairs:
    return [("webhook-id", id), ("webhook-timestamp", at), ("webhook-signature", signature)]


@pytest.mark.parametrize(
    ("headers", "refusal"),
    [
        pytest.param(gitlab_headers(f"v1,{STANDARD}"), None, id="right"),
        pytest.param(gitlab_headers(f"v1,{'A' * 43}= v1,{STANDARD}"), None, id="one-of-two-keys"),
        pytest.param(gitlab_headers(f"v1a,{STANDARD} v1,{STANDARD}"), None, id="beside-another-scheme"),
        pytest.param(gitlab_headers(f"v1,{'A' * 43}="), Refusal.MISMATCH, id="wrong"),
        pytest.param(gitlab_headers(f"v2,{STANDARD}"), Refusal.MALFORMED, id="other-version"),
        pytest.param(gitlab_headers(STANDARD), Refusal.MALFORMED, id="no-version"),
        pytest.param(gitlab_headers(f"v1,{STANDARD[:-1]}"), Refusal.MALFORMED, id="short"),
        pytest.param(gitlab_headers(" ".join([f"v1,{STANDARD}"] * 9)), Refusal.MALFORMED, id="nine"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}", id="msg_2"), Refusal.MISMATCH, id="other-id"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}", at="1700000001"), Refusal.MISMATCH, id="other-time"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}", at="17e8"), Refusal.MALFORMED, id="no-number"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}", at="9" * 5000), Refusal.MALFORMED, id="huge-number"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}", at="\xb9"), Refusal.MALFORMED, id="odd-digit"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}")[1:], Refusal.MISSING, id="no-id"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}")[:2], Refusal.MISSING, id="no-signature"),
        pytest.param([("X-Gitlab-Token", SIGNING_TOKEN)], Refusal.MISSING, id="only-a-token"),
        pytest.param(gitlab_headers(f"v1,{STANDARD}") * 2, Refusal.REPEATED, id="twice"),
    ],
)
def test_a_signing_token_asks_for_a_signature(headers: Pairs, refusal: Refusal | None) -> None:
    assert verified("gitlab", SIGNING_TOKEN, headers) is refusal


@pytest.mark.parametrize(
    ("off_s", "refusal"), [(300, None), (-300, None), (301, Refusal.STALE), (-301, Refusal.STALE)]
)
def test_a_signed_time_is_good_for_five_minutes(off_s: int, refusal: Refusal | None) -> None:
    at = NOW + off_s

    assert (
        verified("gitlab", SIGNING_TOKEN, gitlab_headers(standard(BODY, at=at), at=str(int(at)))) is refusal
    )


def test_only_a_right_signature_learns_that_its_time_is_old() -> None:
    wrong = standard(BODY, at=1, key=SIGNING_KEY[::-1])

    assert verified("gitlab", SIGNING_TOKEN, gitlab_headers(wrong, at="1")) is Refusal.MISMATCH


@pytest.mark.parametrize("rest", ["", "not base64!", "YQ"])
def test_a_signing_token_without_a_key_believes_nobody(rest: str) -> None:
    empty = standard(BODY, key=b"")

    assert verified("gitlab", "whsec_" + rest, gitlab_headers(empty)) is Refusal.SECRET


# Azure DevOps


def basic(text: str) -> Pairs:
    return [("Authorization", "Basic " + base64.b64encode(text.encode()).decode())]


@pytest.mark.parametrize(
    ("secret", "headers", "refusal"),
    [
        pytest.param("robin:pw", basic("robin:pw"), None, id="user-and-password"),
        pytest.param("robin:p:w", basic("robin:p:w"), None, id="colon-in-password"),
        pytest.param("pw", basic("robin:pw"), None, id="any-user"),
        pytest.param("pw", basic(":pw"), None, id="no-user"),
        pytest.param("pw", basic("pw"), Refusal.MISMATCH, id="no-colon"),
        pytest.param("robin:pw", basic("robin:PW"), Refusal.MISMATCH, id="case"),
        pytest.param("robin:pw", basic("kim:pw"), Refusal.MISMATCH, id="other-user"),
        pytest.param("robin:pw", basic(":pw"), Refusal.MISMATCH, id="user-left-out"),
        pytest.param("robin:pw", basic("robin:pé"), Refusal.MISMATCH, id="unicode"),
        pytest.param("robin:pé", basic("robin:pé"), None, id="unicode-password"),
        pytest.param(
            "robin:pw", [("Authorization", "basic cm9iaW46cHc=")], None, id="scheme-in-small-letters"
        ),
        pytest.param("robin:pw", [("Authorization", "Bearer robin:pw")], Refusal.MALFORMED, id="bearer"),
        pytest.param(
            "robin:pw", [("Authorization", "Bearer cm9iaW46cHc=")], Refusal.MALFORMED, id="bearer-of-basic"
        ),
        pytest.param("robin:pw", [("Authorization", "Basic robin:pw")], Refusal.MALFORMED, id="no-base64"),
        pytest.param("robin:pw", [("Authorization", "Basic")], Refusal.MISMATCH, id="nothing"),
        pytest.param("robin:pw", [], Refusal.MISSING, id="no-header"),
        pytest.param("robin:pw", basic("robin:pw") * 2, Refusal.REPEATED, id="twice"),
    ],
)
def test_azure_devops_signs_in(secret: str, headers: Pairs, refusal: Refusal | None) -> None:
    assert verified("azure-devops", secret, headers) is refusal


def test_a_configured_header_takes_the_place_of_the_usual_one() -> None:
    ours = [("X-Hook-Key", "pw")]
    own_hmac = [("X-Our-Mac", f"sha256={hexed('pw', BODY)}")]

    assert verified("azure-devops", "pw", ours, header="X-Hook-Key") is None
    assert verified("azure-devops", "pw", ours, header="x-hook-key") is None
    assert verified("azure-devops", "a:pw", basic("a:pw"), header="X-Hook-Key") is Refusal.MISSING
    assert verified("generic", "pw", own_hmac, header="X-Our-Mac") is None
    assert verified("generic", "pw", own_hmac) is Refusal.MISSING
    assert verified("generic", "pw", own_hmac, header="X-密") is Refusal.MISSING

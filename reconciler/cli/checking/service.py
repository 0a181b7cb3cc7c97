"""Checks of the service: sign-in, reading, clock, api-version, previews. Pure: answers in, checks out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Final

from reconciler.cli.checking.check import Check, failed, ok, skipped, warning
from reconciler.masking import Masker
from reconciler.remedies import remedy

if TYPE_CHECKING:
    from reconciler.foundry.probe import Answer, SignIn

# Foundry User: enough to create versions and to move traffic (hosted agents docs).
ROLE: Final = "53ca6127-db72-4b80-b1b0-d745d6d5456d"
_AUDIENCES: Final = frozenset({"https://ai.azure.com", "https://ai.azure.com/"})
# Tokens are refused when their times are off by more than this.
_MOST_SKEW_S: Final = 300
_SOON_S: Final = 300
_MOST_CHARS: Final = 200
_mask = Masker()

_GRANT: Final = (
    f"Give the identity the role Foundry User on the project: az role assignment create --role {ROLE} "
    "--assignee OBJECT_ID --scope PROJECT_RESOURCE_ID. A new grant takes some minutes."
)
_LOGIN: Final = (
    "On a laptop: az login. In GitHub Actions: azure/login with `id-token: write`. In a pod: workload "
    "identity. Else set AZURE_TENANT_ID, AZURE_CLIENT_ID and a secret or certificate."
)


def signed_in(found: SignIn, now: float) -> Check:
    """A token that came, judged by what it says."""
    tried = "get a token for https://ai.azure.com/.default"
    left_min = int((found.expires_at - now) / 60)
    facts = [found.credential, f"expires in {left_min} min"]
    facts += [f"audience {found.audience}"] if found.audience else []
    facts += [f"tenant {found.tenant}"] if found.tenant else []
    facts += [f"identity {found.identity}"] if found.identity else []
    text = ", ".join(facts)
    if found.audience and found.audience not in _AUDIENCES:
        return failed("sign-in", tried, text, "The token is for another service; sign in again.")
    if left_min * 60 < _SOON_S:
        return warning("sign-in", tried, text, "It ends soon; sign in again before a long run.")
    return ok("sign-in", tried, text)


def not_signed_in(tried_lines: Iterable[str]) -> Check:
    """No token came."""
    lines = [_mask.text(line) for line in tried_lines]
    found = "\n".join(["no credential gave a token", *lines])
    return failed("sign-in", "get a token for https://ai.azure.com/.default", found, _LOGIN)


def no_token_needed() -> Check:
    """Plain http on this machine goes without a token."""
    return skipped("sign-in", "get a token", "plain http on this machine takes none")


def listing(endpoint: str, answer: Answer) -> Check:
    """Whether the identity may list agents, and whether it is a Foundry project that answers."""
    tried = f"list agents at {endpoint}"
    code, detail = _said(answer)
    said = f"HTTP {answer.status}" + (f", {code}" if code else "") + (f": {detail}" if detail else "")
    if answer.status == 200:
        if isinstance(answer.payload, dict) and isinstance(answer.payload.get("data"), list):
            what = "there are agents" if answer.payload["data"] else "there are no agents yet"
            return ok("reading", tried, f"HTTP 200 in {answer.took_s:.2f} s; {what}")
        return _something_else(tried, answer)
    match answer.status:
        case 401:
            plain = "Plain http carries no token: use https, or a sandbox with `auth: off`."
            fix = remedy(code, 401) if endpoint.startswith("https://") else plain
        case 403:
            fix = _GRANT
        case 404:
            fix = "Check the project's name in `endpoint`: https://ACCOUNT.services.ai.azure.com/api/projects/NAME."
        case status if not answer.error and status < 500:
            return _something_else(tried, answer)
        case status:
            fix = remedy(code, status)
    if answer.status == 429:
        return warning("reading", tried, said, fix)
    return failed("reading", tried, said + _request_id(answer), fix)


def _something_else(tried: str, answer: Answer) -> Check:
    kind = answer.headers.get("content-type", "no content type").split(";")[0]
    found = f"HTTP {answer.status}, but no list of agents ({kind}): something else answers there"
    fix = "Check the path of `endpoint` (/api/projects/NAME), and proxies that put in a page of their own."
    return failed("reading", tried, found, fix)


def _said(answer: Answer) -> tuple[str, str]:
    code = str(answer.error.get("code") or "")[:_MOST_CHARS]
    return _mask.text(code), _mask.text(str(answer.error.get("message") or ""))[:_MOST_CHARS]


def _request_id(answer: Answer) -> str:
    names = ("x-request-id", "apim-request-id")
    found = next((answer.headers[name] for name in names if answer.headers.get(name)), "")
    return f" (request id {_mask.text(found)[:80]})" if found else ""


def clock(answer: Answer, now: float) -> Check:
    """This machine's clock against the service's: tokens are refused where they differ."""
    tried = "compare this clock with the Date of an answer"
    try:
        theirs = parsedate_to_datetime(answer.headers.get("date", ""))
    except ValueError:
        return skipped("clock", tried, "the answer has no Date")
    skew_s = int(now - theirs.replace(tzinfo=theirs.tzinfo or UTC).timestamp())
    word = "ahead" if skew_s > 0 else "behind"
    if abs(skew_s) > _MOST_SKEW_S:
        local = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC")
        found = f"{abs(skew_s):,} s {word}: it is {local} here"
        return failed(
            "clock", tried, found, "Set the clock (turn time synchronisation on): tokens are refused."
        )
    return ok("clock", tried, f"{abs(skew_s)} s {word}" if abs(skew_s) > 1 else "the same")


def api_version(answer: Answer) -> Check:
    """Whether the service takes the api-version that we speak."""
    tried = "api-version v1"
    _, detail = _said(answer)
    if answer.status == 400 and "api" in detail.lower() and "version" in detail.lower():
        return failed(
            "api-version", tried, detail, "Install a newer reconciler; check the region of the account."
        )
    if answer.status == 200:
        return ok("api-version", tried, "accepted")
    return skipped("api-version", tried, "reading failed before it mattered")


def previews(needed: Mapping[str, str], answer: Answer | None) -> Check:
    """Whether the previews that the manifests need may be asked for. `needed`: kind to feature."""
    tried = "send Foundry-Features"
    if not needed:
        return skipped("previews", tried, "no manifest needs a preview")
    features = ", ".join(sorted(needed.values()))
    if answer is None:
        return skipped("previews", tried, f"reading failed before {features} could be tried")
    if answer.status == 200:
        return ok("previews", tried, f"{features}: accepted")
    code, detail = _said(answer)
    fix = (
        "Ask for access to the preview, or leave agents of these kinds out: "
        + ", ".join(sorted(needed))
        + "."
    )
    return failed("previews", tried, f"{features}: HTTP {answer.status} {code} {detail}".strip(), fix)


def writing() -> Check:
    """What writes need; not tried, since a doctor changes nothing."""
    found = f"not tried, since nothing is written here; it needs the role Foundry User ({ROLE})"
    return skipped("writing", "create a version", found)


def needed_previews(forms: Iterable[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
    """The previews that these definitions need, by kind."""
    kinds = {str(form.get("definition", {}).get("kind")) for form in forms}
    return {kind: known[kind] for kind in sorted(kinds & known.keys())}

"""Actions on pages: asked first, done once, only from our own form, and with words for everything."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import httpx
import pytest

from reconciler.service.records import Health, ResourceRecord, Retry
from tests.service.api.world import TOKENS
from tests.service.web import seed
from tests.service.web.front import Front
from tests.service.web.html import Read

ORIGIN: Final = "http://127.0.0.1:8080"
FORMS: Final = {
    "sync": {},
    "suspend": {"why": "Holiday"},
    "rollback": {"why": "Broken", "resource": "Agent/support-triage", "version": "7", "for": "24h"},
    "unpin": {"resource": "Agent/support-router"},
    "retry": {"resource": "Agent/invoice-reader"},
}


async def form(client: httpx.AsyncClient, path: str) -> dict[str, str]:
    """The hidden fields of a form, as a browser would send them."""
    read = Read((await client.get(path)).text)
    return {
        field["name"]: field.get("value", "")
        for field in read.of("input")
        if field.get("type") == "hidden" and field["name"] not in ("project",)
    }


async def sign_in(client: httpx.AsyncClient, token: str) -> None:
    answer = await client.post("/auth/token", data={"token": TOKENS[token]}, headers={"Origin": ORIGIN})
    assert answer.status_code == 303, answer.text


@pytest.mark.parametrize("action", sorted(FORMS))
async def test_an_action_is_done_and_told_on_a_page_of_its_own(local: Front, action: str):
    async with local.client(Origin=ORIGIN) as client:
        hidden = await form(client, f"/projects/prod/do/{action}")
        answer = await client.post(f"/projects/prod/do/{action}", data=hidden | FORMS[action])
    assert answer.status_code == 200
    read = Read(answer.text)
    assert read.faults == []
    assert "Go on" in read.said
    assert ("project/prod" in {key for key, _ in local.engine.asked}) is True
    line = (await local.store.audits(project="prod"))[0][0]
    assert (line.action, line.actor) == (action, "local")


@pytest.mark.parametrize("action", sorted(FORMS))
async def test_a_form_without_its_token_does_nothing(local: Front, action: str):
    async with local.client(Origin=ORIGIN) as client:
        for token in ({"why": "x"}, {"csrf_token": ""}, {"csrf_token": "wrong"}):
            answer = await client.post(f"/projects/prod/do/{action}", data=FORMS[action] | token)
            assert answer.status_code == 403
    assert local.engine.asked == []


async def test_a_form_of_another_site_does_nothing(local: Front):
    async with local.client() as client:
        hidden = await form(client, "/projects/prod/do/sync")
        for headers in (
            {"Origin": "https://evil.example"},
            {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
        ):
            answer = await client.post("/projects/prod/do/sync", data=hidden, headers=headers)
            assert answer.status_code == 403
            assert "another site's page sent this request" in Read(answer.text).said.casefold()
    assert local.engine.asked == []


async def test_the_token_of_another_session_does_nothing(guarded: Front):
    async with guarded.client(Origin=ORIGIN) as one, guarded.client(Origin=ORIGIN) as other:
        await sign_in(one, "operator")
        await sign_in(other, "root")
        hidden = await form(one, "/projects/prod/do/sync")
        assert (await other.post("/projects/prod/do/sync", data=hidden)).status_code == 403
        assert (await one.post("/projects/prod/do/sync", data=hidden)).status_code == 200


@pytest.mark.parametrize(
    ("action", "data", "status", "said"),
    [
        ("suspend", {}, 400, "Suspending needs a reason."),
        ("suspend", {"why": "  "}, 400, "Suspending needs a reason."),
        ("suspend", {"why": "x" * 501}, 400, "more than 500 characters"),
        ("resume", {}, 409, "Project prod is not suspended."),
        (
            "rollback",
            {"why": "b", "resource": "Agent/support-triage", "version": "99"},
            409,
            "has no version 99",
        ),
        (
            "rollback",
            {"why": "b", "resource": "Agent/support-triage", "version": "a b"},
            400,
            "is no version",
        ),
        (
            "rollback",
            {"why": "b", "resource": "Agent/support-triage", "version": "7", "for": "x"},
            400,
            "no span",
        ),
        ("rollback", {"why": "b", "resource": "Agent/nope", "version": "7"}, 404, "has no resource"),
        (
            "rollback",
            {"why": "b", "resource": "Agent/playground", "version": "1"},
            409,
            "has no manifest in Git",
        ),
        ("unpin", {"resource": "Agent/support-triage"}, 409, "No rollback holds"),
        ("retry", {"resource": "Agent/support-triage"}, 409, "version 8 is active"),
        ("retry", {"resource": "Agent/nope"}, 404, "has no resource"),
        ("retry", {"resource": "Agent/playground"}, 409, "has no manifest in Git"),
        ("approve", {"why": "b", "digest": "0" * 64}, 409, "asks for no approval"),
        ("explode", {}, 404, "Nothing is called 'explode'"),
    ],
)
async def test_a_refusal_names_its_reason_and_changes_nothing(
    local: Front, action: str, data: dict[str, str], status: int, said: str
):
    async with local.client(Origin=ORIGIN) as client:
        hidden = await form(client, "/projects/prod/do/sync")
        answer = await client.post(f"/projects/prod/do/{action}", data=hidden | data)
    assert answer.status_code == status
    read = Read(answer.text)
    assert said in read.said
    assert read.faults == []
    if (
        status in (400, 409)
        and data.get("why", "").strip()
        and len(data["why"]) < 500
        and action != "approve"
    ):
        assert data["why"] in {field.get("value") for field in read.of("input")}
    assert local.engine.asked == []
    assert await local.store.suspension("prod") is None


async def test_an_approval_names_the_plan_that_was_looked_at(local: Front):
    async with local.client(Origin=ORIGIN) as client:
        hidden = await form(client, "/projects/sales-us/do/approve")
        assert hidden["digest"] == "8d1f3a90" * 8
        answer = await client.post("/projects/sales-us/do/approve", data=hidden | {"why": "Checked with Ana"})
        assert "Approved once for Project sales-us: deletions beyond the limit" in Read(answer.text).said
        page = Read((await client.get("/projects/sales-us")).text).said
        assert "local approved it now" in page
        late = await client.post(
            "/projects/sales-us/do/approve", data=hidden | {"why": "b", "digest": "f" * 64}
        )
        assert late.status_code == 409
        assert "has changed since you looked at it" in Read(late.text).said


async def test_an_approval_says_what_would_be_done_to_which_agents(local: Front):
    said = Read((await local.get("/projects/sales-us/do/approve")).text).said
    assert said.count("Delete ") == 12
    assert "Delete finance-answers Delete finance-triage" in said
    rows, _ = await local.store.resources("sales-us", health="refused")
    more = [replace(row, resource=f"{row.resource}-{n}") for row in rows for n in range(2)]
    moved = ResourceRecord("sales-us", "Agent/zoo", Health.DRIFTED, "redirected", serving="3")
    protected = {"verdicts": [{"severity": "refuse", "rule": "protected", "message": "zebra is protected"}]}
    rename = {"verdicts": [{"severity": "refuse", "rule": "rename-loses-identity", "message": "it was zoo"}]}
    renamed = ResourceRecord(
        "sales-us", "Agent/a-new-name", Health.REFUSED, "missing", "create", detail=rename
    )
    kept = ResourceRecord("sales-us", "Agent/a-zebra", Health.REFUSED, "removed", "delete", detail=protected)
    failed = ResourceRecord("sales-us", "Agent/mule", Health.FAILED, "failed", "update")
    await local.store.put_resources("sales-us", [*more, moved, kept, failed, renamed], ())

    said = Read((await local.get("/projects/sales-us/do/approve")).text).said
    assert said.count("Delete ") == 20
    assert "and 19 more agents" in said
    await local.store.put_resources("sales-us", [], [row.resource for row in (*rows, *more)])
    said = Read((await local.get("/projects/sales-us/do/approve")).text).said
    assert "Move back the traffic of zoo somebody moved it" in said
    assert "Create a-new-name it was zoo Still refused: a-zebra zebra is protected" in said
    assert "mule" not in said


async def test_an_agent_is_tried_again_only_while_it_is_failed(local: Front):
    path = "/projects/prod/Agent/invoice-reader"
    assert "Try again" in Read((await local.get(path)).text).said
    await local.store.retry(
        Retry("prod", "Agent/invoice-reader", "ann", "it is back", seed.NOW, seed.NOW + 60)
    )
    said = Read((await local.get(path)).text).said
    assert "ann asked to try again now : it is back. The next run that may write does it" in said
    assert "Try again once the cause" not in said
    local.clock[0] += 61
    assert "Try again once the cause" in Read((await local.get(path)).text).said
    row = await local.store.resource("prod", "Agent/invoice-reader")
    assert row is not None
    await local.store.put_resources("prod", [replace(row, health=Health.WAITING)], ())

    assert "Try again" not in Read((await local.get(path)).text).said


async def test_roles_hold_for_forms_too(guarded: Front):
    async with guarded.client(Origin=ORIGIN) as client:
        await sign_in(client, "viewer")
        asked = Read((await client.get("/projects/prod/do/sync")).text)
        assert "Your role does not allow this on Project prod." in asked.said
        sign_out = next(field["value"] for field in asked.of("input") if field.get("name") == "csrf_token")
        answer = await client.post("/projects/prod/do/sync", data={"csrf_token": sign_out})
        assert answer.status_code == 403
        assert "the role operator is needed, yours is viewer" in Read(answer.text).said
        unseen = await client.post("/projects/finance/do/sync", data={"csrf_token": sign_out})
        assert unseen.status_code == 404
    async with guarded.client(Origin=ORIGIN) as client:
        await sign_in(client, "operator")
        hidden = await form(client, "/projects/prod/do/sync")
        assert (await client.post("/projects/prod/do/sync", data=hidden)).status_code == 200
        answer = await client.post(
            "/projects/prod/do/approve", data=hidden | {"why": "b", "digest": "0" * 64}
        )
        assert answer.status_code == 403
    assert [key for key, _ in guarded.engine.asked] == ["project/prod"]


async def test_nobody_acts_without_signing_in(guarded: Front):
    async with guarded.client(Origin=ORIGIN) as client:
        answer = await client.post("/projects/prod/do/sync", data={"csrf_token": "x"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/auth/sign-in")


async def test_a_dialog_gets_pieces_and_never_a_page(local: Front):
    async with local.client(Origin=ORIGIN, **{"HX-Request": "true"}) as client:
        asked = await client.get("/projects/prod/do/suspend")
        assert "<html" not in asked.text
        token = re.search(r'name="csrf_token" value="([^"]+)"', asked.text)
        assert token is not None
        again = await client.post("/projects/prod/do/suspend", data={"csrf_token": token[1]})
        # htmx leaves out answers with an error's status, and the person would see nothing.
        assert again.status_code == 200
        assert "Suspending needs a reason." in Read(again.text).said
        done = await client.post("/projects/prod/do/suspend", data={"csrf_token": token[1], "why": "Holiday"})
        assert (done.headers["hx-retarget"], done.headers["hx-trigger"]) == ("#told", "acted")
        assert "Project prod is suspended" in Read(done.text).said


@pytest.mark.parametrize(
    ("body", "type_", "said"),
    [
        (b"x" * 70_000, "application/x-www-form-urlencoded", "more than 64 KiB"),
        (b"{}", "application/json", "The body is not application/x-www-form-urlencoded"),
        (b"\xff\xfe=1", "application/x-www-form-urlencoded", "cannot be read"),
        (b"&".join([b"a=1"] * 60), "application/x-www-form-urlencoded", "cannot be read"),
    ],
)
async def test_what_is_no_form_is_refused_before_it_is_read(local: Front, body: bytes, type_: str, said: str):
    async with local.client(Origin=ORIGIN) as client:
        answer = await client.post("/projects/prod/do/sync", content=body, headers={"Content-Type": type_})
    assert answer.status_code == 400
    assert said in Read(answer.text).said


async def test_every_seeded_state_offers_what_fits_it(local: Front):
    async def offered(path: str) -> set[str]:
        return {
            link["href"].split("/do/")[1].split("?")[0]
            for link in Read((await local.get(path)).text).of("a")
            if "data-dialog" in link
        }

    assert await offered("/projects/prod") == {"sync", "suspend"}
    assert await offered("/projects/sales-eu") == {"sync", "resume"}
    assert await offered("/projects/sales-us") == {"sync", "suspend", "approve"}
    assert await offered("/projects/prod/Agent/support-triage") == {"sync", "rollback"}
    assert await offered("/projects/prod/Agent/support-router") == {"sync", "rollback", "unpin"}
    assert await offered("/projects/prod/Agent/playground") == {"sync"}

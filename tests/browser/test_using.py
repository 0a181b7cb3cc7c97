"""What people do on the dashboard, with a mouse, a finger, a keyboard, and without scripts."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from playwright.async_api import expect

from reconciler.service.records import Health, ResourceRecord
from tests.browser.conftest import Visit, sign_in
from tests.service.web.front import Front
from tests.service.web.seed import HEAD, NOW, agents

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

Shown = tuple[Front, str]
AGENT = "/projects/prod/Agent/support-triage"
ROUTERS = sum("router" in row.resource for row in agents(NOW))


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_signing_in_leads_back_to_where_one_wanted_to_go(guarded: Shown, visit: Visit, size: str):
    _, url = guarded
    async with visit(url, size) as visitor:
        page = await visitor.open(AGENT)
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        await page.get_by_label("Token").fill("rct_wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_contain_text("This token is not known here")
        await visitor.open(AGENT)
        await sign_in(visitor, "operator")
        await expect(page.get_by_role("heading", name="support-triage", exact=True)).to_be_visible()
        await page.get_by_role("button", name="Sign out").click()
        await expect(page.get_by_role("heading", name="Signed out")).to_be_visible()
        await visitor.open("/")
        await expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_a_page_changes_without_a_reload(local: Shown, visit: Visit, size: str):
    made, url = local
    async with visit(url, size) as visitor:
        page = await visitor.live("/projects/stage")
        await page.evaluate("window.same = true")
        await expect(page.locator(".title .badge")).to_have_text("In sync")
        row = await made.store.project("stage")
        assert row is not None
        await made.store.put_project(replace(row, health=Health.DRIFTED, reason="1 agent was changed"))
        await expect(page.locator(".title .badge")).to_have_text("Drifted")
        await expect(page.locator(".reason")).to_have_text("1 agent was changed")
        assert await page.evaluate("window.same") is True


async def test_what_changed_while_the_page_loaded_is_not_missed(local: Shown, visit: Visit):
    made, url = local
    async with visit(url) as visitor:
        row = await made.store.project("stage")
        assert row is not None

        async def late(route: Any) -> None:
            await made.store.put_project(replace(row, health=Health.FAILED))
            await route.continue_()

        await visitor.page.route("**/stream?*", late)
        page = await visitor.live("/projects/stage")
        await expect(page.locator(".title .badge")).to_have_text("Failed")


async def test_searching_keeps_the_focus_and_lives_on(local: Shown, visit: Visit):
    made, url = local
    async with visit(url) as visitor:
        page = await visitor.live("/projects/prod")
        search = page.get_by_role("searchbox")
        await search.press_sequentially("router", delay=20)
        await expect(page.locator("tbody tr")).to_have_count(ROUTERS)
        await expect(search).to_be_focused()
        await expect(page).to_have_url(re.compile("search=router&health=&kind=&sort=$"))
        new = ResourceRecord("prod", "Agent/new-router", Health.WAITING, changed_at=1.0)
        await made.store.put_resources("prod", [new], ())
        await expect(page.locator("tbody tr")).to_have_count(ROUTERS + 1)
        await expect(search).to_be_focused()
        await expect(search).to_have_value("router")
        await page.get_by_label("Health").select_option("waiting")
        await expect(page.locator("tbody tr")).to_have_count(1)
        await page.get_by_role("link", name="Reset").click()
        await expect(page.locator("tbody tr")).to_have_count(50)


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_a_difference_can_be_read(local: Shown, visit: Visit, size: str):
    _, url = local
    async with visit(url, size) as visitor:
        page = await visitor.open("/projects/prod?search=support-triage")
        await page.get_by_role("link", name="support-triage", exact=True).click()
        section = page.locator(".diff").first
        await expect(section.locator("caption")).to_contain_text("/definition/instructions")
        await expect(section.locator("ins").first).to_contain_text("returns")
        await expect(section.locator("del").first).to_contain_text("Offer")
        assert await page.evaluate("document.documentElement.scrollWidth") <= (
            390 if size == "phone" else 1280
        )


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_rolling_back_asks_first_and_says_what_was_done(local: Shown, visit: Visit, size: str):
    made, url = local
    async with visit(url, size) as visitor:
        page = await visitor.live(AGENT)
        button = page.locator("#v-6").get_by_role("link", name="Roll back")
        await button.click()
        dialog = page.get_by_role("dialog", name="Roll back: Agent/support-triage")
        await expect(dialog.get_by_label("Version")).to_have_value("6")
        await expect(dialog.get_by_label("Reason")).to_be_focused()
        await dialog.get_by_role("button", name="Roll back").click()
        assert await made.store.pins("prod") != ()  # the one of the seed
        await expect(dialog).to_be_visible()
        await dialog.get_by_label("Reason").fill("Answers are <b>wrong</b>")
        await dialog.get_by_label("Holds for").select_option("7d")
        await dialog.get_by_role("button", name="Roll back").click()
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("status")).to_contain_text("From the next run on version 6")
        await expect(page.get_by_role("status")).to_contain_text("a CI run of reconciler apply would undo it")
        await expect(page.locator(".note.info")).to_contain_text("local")
        await expect(page.locator(".note.info")).to_contain_text("Answers are <b>wrong</b>")
        pins = {pin.resource: pin for pin in await made.store.pins("prod")}
        assert pins["Agent/support-triage"].version == "6"
        assert ("project/prod", "manual by local") in made.engine.asked
        await page.get_by_role("button", name="Dismiss").click()
        await expect(page.get_by_role("status")).to_be_empty()


async def test_a_failed_version_is_tried_again_where_its_error_is_shown(local: Shown, visit: Visit):
    made, url = local
    async with visit(url, "phone") as visitor:
        page = await visitor.live("/projects/prod")
        await page.locator(".list tbody tr").first.get_by_role("link", name="invoice-reader").click()
        await page.locator(".note.bad").get_by_role("link", name="Try again").click()
        dialog = page.get_by_role("dialog", name="Try again: Agent/invoice-reader")
        await expect(dialog).to_contain_text("The failed one is deleted first")
        await dialog.get_by_label("Reason").fill("The registry is back")
        await dialog.get_by_role("button", name="Try again").click()
        await expect(dialog).to_be_hidden()
        await expect(page.get_by_role("status")).to_contain_text("The next run makes version 4")
        assert [order.why for order in await made.store.retries("prod")] == ["The registry is back"]
        assert ("project/prod", "manual by local") in made.engine.asked


async def test_a_refused_action_keeps_what_was_typed(local: Shown, visit: Visit):
    _, url = local
    async with visit(url) as visitor:
        page = await visitor.live(AGENT)
        await page.locator(".title").get_by_role("link", name="Roll back").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_label("Version").fill("99")
        await dialog.get_by_label("Reason").fill("Because")
        await dialog.get_by_role("button", name="Roll back").click()
        await expect(dialog.get_by_role("alert")).to_contain_text("Agent/support-triage has no version 99")
        await expect(dialog.get_by_role("alert")).to_contain_text("Its versions are 8, 7, 6")
        await expect(dialog.get_by_label("Reason")).to_have_value("Because")


async def test_a_dialog_gives_the_focus_back(local: Shown, visit: Visit):
    made, url = local
    async with visit(url) as visitor:
        page = await visitor.live("/projects/prod")
        link = page.get_by_role("link", name="Suspend")
        await link.focus()
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
        # What comes in behind the dialog takes nothing away from it.
        row = await made.store.project("prod")
        assert row is not None
        await page.keyboard.type("half a sen")
        await made.store.put_project(replace(row, reason="Something else"))
        await expect(page.locator(".reason")).to_have_text("Something else")
        await expect(page.get_by_role("dialog").get_by_label("Reason")).to_have_value("half a sen")
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("dialog")).to_be_hidden()
        await expect(link).to_be_focused()


async def test_the_keyboard_alone_is_enough(local: Shown, visit: Visit):
    made, url = local
    async with visit(url) as visitor:
        page = await visitor.live("/")
        await page.keyboard.press("Tab")
        await expect(page.get_by_text("Skip to the content")).to_be_focused()
        await expect(page.get_by_text("Skip to the content")).to_be_in_viewport()
        await page.keyboard.press("Enter")
        await expect(page.locator("#main")).to_be_focused()
        await _tab_to(page, "finance")
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/projects/finance")
        await _tab_to(page, "Sync now")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("dialog").get_by_label("Reason")).to_be_focused()
        await page.keyboard.type("Friday")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("status")).to_contain_text("Project finance is looked at now.")
        assert made.engine.asked == [("project/finance", "manual by local")]
        assert (await made.store.audits(project="finance"))[0][0].why == "Friday"


async def _tab_to(page: Any, text: str) -> None:
    for _ in range(60):
        await page.keyboard.press("Tab")
        if (await page.evaluate("document.activeElement.textContent.trim()")) == text:
            return
    raise AssertionError(f"no way to {text} by keyboard")


async def test_everything_works_without_scripts(local: Shown, visit: Visit):
    made, url = local
    async with visit(url, java_script_enabled=False, still=False) as visitor:
        page = await visitor.open("/projects/prod")
        await expect(page.locator("#stream")).to_be_hidden()
        await page.get_by_role("searchbox").fill("router")
        await page.get_by_role("button", name="Filter").click()
        await expect(page.locator("tbody tr")).to_have_count(ROUTERS)
        await visitor.open("/projects/prod")
        await page.get_by_role("link", name="Suspend").click()
        await expect(page.get_by_role("heading", name="Suspend: prod")).to_be_visible()
        await page.get_by_label("Reason").fill("Migration")
        await page.get_by_role("button", name="Suspend").click()
        await expect(page.get_by_text("Project prod is suspended")).to_be_visible()
        await page.get_by_role("link", name="Go on").click()
        await expect(page.locator(".note.hold")).to_contain_text("Migration")
        suspension = await made.store.suspension("prod")
        assert suspension is not None
        assert suspension.why == "Migration"


async def test_whoever_may_only_look_finds_nothing_to_press(guarded: Shown, visit: Visit):
    _, url = guarded
    async with visit(url) as visitor:
        page = await visitor.open("/projects/prod")
        await sign_in(visitor, "viewer")
        await expect(page.get_by_role("heading", name="prod", exact=True)).to_be_visible()
        assert await page.locator("a[data-dialog]").count() == 0
        await visitor.open("/")
        await expect(page.locator("tbody tr")).to_have_count(2)
        await visitor.open("/projects/finance")
        await expect(page.get_by_role("heading")).to_have_text("There is no such page")


HOSTILE = '<img src=x onerror="alert(1)">\u202e\x1b[31m"><script>alert(1)</script>'


async def test_hostile_text_is_only_shown(local: Shown, visit: Visit):
    made, url = local
    field = {"op": "replace", "path": HOSTILE, "desired": HOSTILE, "live": HOSTILE + HOSTILE}
    change = {
        "action": "update",
        "reason": HOSTILE,
        "fields": [field],
        "steps": {"now": [HOSTILE]},
        "notes": [HOSTILE],
    }
    row = ResourceRecord(
        "prod",
        "Agent/hostile",
        Health.DRIFTED,
        reason=HOSTILE,
        labels={HOSTILE: HOSTILE, "x" * 63: "y" * 200},
        place="javascript:alert(1)",
        references=(f"Agent/{HOSTILE}",),
        detail={"change": change},
        definition_kind=HOSTILE,
        changed_at=1.0,
    )
    await made.store.put_resources("prod", [row], ())
    async with visit(url, "phone") as visitor:
        visitor.page.on("dialog", lambda dialog: visitor.said.append("a script ran"))
        for path in ("/projects/prod/Agent/hostile", "/projects/prod?search=hostile", "/projects/prod/graph"):
            page = await visitor.open(path)
            assert await page.locator("img, #main script, a[href^='javascript']").count() == 0
            assert await page.evaluate("document.documentElement.scrollWidth") <= 390
            assert "\u202e" not in await page.locator("#main").inner_text()
        await visitor.open("/projects/prod/Agent/hostile")
        await expect(page.locator(".reason")).to_contain_text('<img src=x onerror="alert(1)">⟨U+202E⟩␛[31m')


async def test_a_page_that_lost_the_service_says_so_and_comes_back(local: Shown, visit: Visit):
    made, url = local
    async with visit(url) as visitor:
        page = await visitor.live("/projects/stage")
        await made.pages.pulses.close()
        await expect(page.locator("#stream")).not_to_have_text("Live")
        assert HEAD[:8] in await page.locator("#main").inner_text()

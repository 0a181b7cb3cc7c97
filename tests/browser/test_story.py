"""The whole way with the real service: sign in, watch a sync, read a difference, roll back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from reconciler.service.auth.tokens import hash_of
from tests.browser.conftest import Visit
from tests.service.living import Living, living
from tests.world import World, prompt

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

TOKEN = "rct_a-token-for-the-story-of-the-page"
AUTH: dict[str, Any] = {"tokens": "tokens.yaml", "roles": [{"role": "admin", "tokens": ["ana"]}]}


@pytest.mark.parametrize("size", ["desktop", "phone"])
async def test_a_day_on_the_dashboard(world: World, tmp_path: Path, visit: Visit, size: str):
    (tmp_path / "tokens.yaml").write_text(f"ana: {hash_of(TOKEN)}\n")
    (tmp_path / "tokens.yaml").chmod(0o600)
    world.agent("triage", prompt("Answer briefly."))
    world.commit()
    async with (
        living(world, tmp_path, auth=AUTH) as life,
        visit(life.service.url, size, still=False) as visitor,
    ):
        page = await visitor.open("/projects/prod")
        page.set_default_timeout(15_000)
        await page.get_by_label("Token").fill(TOKEN)
        await page.get_by_role("button", name="Sign in").click()
        await page.evaluate("window.same = true")
        await expect(badge(page)).to_have_text("In sync")
        await watch_a_sync(life, page)
        await page.get_by_role("link", name="triage", exact=True).click()
        await expect(page.locator("#v-2")).to_contain_text("Reconciler")
        await read_a_difference(life, page)
        await roll_back(life, page)
        await life.health("in-sync")
        await asyncio.to_thread(world.in_sync)


async def watch_a_sync(life: Living, page: Page) -> None:
    """A push appears by itself."""
    life.world.agent("triage", prompt("Answer at length."))
    life.world.agent("billing")
    commit = await life.push()
    await expect(page.locator(".facts .commit").first).to_have_text(commit[:8])
    await expect(page.get_by_role("link", name="billing", exact=True)).to_be_visible()
    await expect(badge(page)).to_have_text("In sync")
    assert await page.evaluate("window.same") is True


async def read_a_difference(life: Living, page: Page) -> None:
    """Somebody edits in the portal while writes are stopped; the page shows both sides."""
    await page.get_by_role("link", name="prod", exact=True).click()
    await act(page, "Suspend", why="Looking into it")
    await expect(page.locator(".note.hold")).to_contain_text("token:ana stopped all writes")
    life.world.edit("triage", instructions="Answer rudely.")
    await act(page, "Sync now")
    await expect(badge(page)).to_have_text("Drifted")
    await page.get_by_role("link", name="triage", exact=True).click()
    await expect(page.locator(".diff ins").first).to_have_text("at length")
    await expect(page.locator(".diff del").first).to_have_text("rudely")
    await expect(page.locator("#v-3")).to_contain_text("Unknown author")
    await page.get_by_role("link", name="prod", exact=True).click()
    await act(page, "Resume")
    await expect(badge(page)).to_have_text("In sync")
    await page.get_by_role("link", name="triage", exact=True).click()


async def roll_back(life: Living, page: Page) -> None:
    """An older version serves, and Git again afterwards; the page follows both."""
    await page.locator("#v-1").get_by_role("link", name="Roll back").click()
    await page.get_by_role("dialog").get_by_label("Reason").fill("The answers are too long")
    await page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
    await expect(page.get_by_role("status")).to_contain_text("version 1 of prod/Agent/triage serves")
    await expect(page.locator(".note.info")).to_contain_text("Rolled back to version 1")
    await expect(page.locator("#v-1")).to_contain_text("Serves")
    assert life.world.traffic("triage") == [("1", 100)]
    await act(page, "End the rollback")
    await expect(page.locator(".note.info")).to_have_count(0)
    await expect(page.locator("#v-1")).not_to_contain_text("Serves")


async def act(page: Page, name: str, why: str = "") -> None:
    """Press, say why, and confirm."""
    await page.get_by_role("link", name=name).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason").fill(why)
    await dialog.get_by_role("button", name=name).click()
    await expect(dialog).to_be_hidden()
    await page.get_by_role("button", name="Dismiss").click()


def badge(page: Page) -> Locator:
    """How the Project or agent of a page is."""
    return page.locator(".title .badge")

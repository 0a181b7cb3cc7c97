"""Every page in both schemes and sizes: for everybody, within its policy, no wider than the screen."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import Page

from tests.browser.conftest import SIZES, Visit
from tests.service.web.front import Front

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")

PAGES: Final = {
    "projects": "/",
    "project": "/projects/prod?search=support",
    "approval": "/projects/sales-us",
    "empty": "/projects/demo",
    "graph": "/projects/prod/graph",
    "agent": "/projects/prod/Agent/support-triage",
    "failed-agent": "/projects/prod/Agent/invoice-reader",
    "refused-agent": "/projects/prod/Agent/refund-clerk",
    "runs": "/runs?result=applied",
    "run": "/runs/run-prod",
    "events": "/events",
    "audit": "/audit",
    "approving": "/projects/sales-us/do/approve",
    "question": "/projects/prod/do/rollback?resource=Agent/support-triage&version=7",
    "missing": "/nowhere",
}
# The pages of the README and of `docs/`, in the scheme and size they are shown in.
PICTURES: Final = (
    ("projects", "desktop", False),
    ("projects", "desktop", True),
    ("projects", "phone", False),
    ("project", "desktop", False),
    ("agent", "desktop", False),
    ("agent", "desktop", True),
    ("agent", "phone", True),
    ("failed-agent", "desktop", False),
    ("graph", "desktop", False),
    ("approval", "desktop", False),
    ("runs", "desktop", False),
    ("question", "phone", False),
)
PICTURED: Final = {"project": "/projects/prod", "runs": "/runs"}
PICTURE_FOLDER: Final = Path(__file__).parents[2] / "docs" / "screenshots"
_MOST_PICTURE_BYTES: Final = 150_000

Shown = tuple[Front, str]


@pytest.mark.parametrize(("size", "dark"), [("desktop", False), ("phone", True)], ids=["light", "dark-phone"])
async def test_every_page_is_for_everybody(local: Shown, visit: Visit, axe: str, size: str, dark: bool):
    made, url = local
    made.deps.configured.rejected = ("service.yaml:12:5: sources.1.ref: expected text",)
    made.deps.configured.rejected_at = made.clock[0] - 40
    found = {}
    async with visit(url, size, dark=dark) as visitor:
        for name, path in PAGES.items():
            page = await visitor.open(path)
            found[name] = await _barriers(page, axe)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= SIZES[size]["width"], f"{name} is {width} wide"
            assert await visitor.complaints() == [], name
    assert {name: barriers for name, barriers in found.items() if barriers} == {}


async def test_the_dialog_and_what_it_says_are_for_everybody(local: Shown, visit: Visit, axe: str):
    _, url = local
    async with visit(url) as visitor:
        page = await visitor.live("/projects/finance")
        await page.get_by_role("link", name="Suspend").click()
        await page.get_by_role("dialog").wait_for()
        assert await _barriers(page, axe) == []
        await page.get_by_label("Reason").fill("Holiday")
        await page.get_by_role("button", name="Suspend").click()
        await page.get_by_role("button", name="Dismiss").wait_for()
        assert await _barriers(page, axe) == []


async def test_the_sign_in_page_is_for_everybody(guarded: Shown, visit: Visit, axe: str):
    _, url = guarded
    for dark in (False, True):
        async with visit(url, "phone", dark=dark) as visitor:
            page = await visitor.open("/")
            assert await _barriers(page, axe) == []


async def _barriers(page: Page, axe: str) -> list[str]:
    """What keeps people out, as axe-core finds it: WCAG 2.2 A and AA, and its best practices."""
    await page.evaluate(axe)
    result: dict[str, Any] = await page.evaluate(
        """axe.run({
            runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
            resultTypes: ['violations'],
        })"""
    )
    return [
        f"{violation['impact']} {violation['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for violation in result["violations"]
        for node in violation["nodes"][:3]
    ]


@pytest.mark.skipif("RECONCILER_SCREENSHOTS" not in os.environ, reason="pictures are made on request")
async def test_pictures_for_the_documentation(local: Shown, visit: Visit):
    _, url = local
    PICTURE_FOLDER.mkdir(parents=True, exist_ok=True)
    for name, size, dark in PICTURES:
        async with visit(url, size, dark=dark) as visitor:
            page = await visitor.live(PICTURED.get(name, PAGES[name]))
            file = PICTURE_FOLDER / f"{name}-{size}{'-dark' if dark else ''}.png"
            await page.screenshot(path=file)
            assert file.stat().st_size <= _MOST_PICTURE_BYTES, file.name

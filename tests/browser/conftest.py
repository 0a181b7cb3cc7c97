"""Debian's Chromium, one for all tests, in front of a dashboard over real HTTP.

Every page that a test opens is watched: nothing may break the policy of what may run or load, and no script
may fail.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.service.api.world import TOKENS
from tests.service.web import seed
from tests.service.web.front import SIGN_IN, Front, front, serving

DESKTOP: Final = {"width": 1280, "height": 800}
PHONE: Final = {"width": 390, "height": 844}
SIZES: Final = {"desktop": DESKTOP, "phone": PHONE}

_WATCH: Final = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => {
  window.violations.push(`${event.violatedDirective} ${event.blockedURI}`);
});
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process has the browser, and one loop."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("browser"))
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Where Chromium is. Without it these tests are left out; in CI they fail."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        message = "Chromium is not installed: run script/bootstrap --browser"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    # Chromium refuses its sandbox to root, which is who runs in most CI systems.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as play:
        browser = await play.chromium.launch(executable_path=chromium, args=arguments)
        yield browser
        await browser.close()


@dataclass
class Visitor:
    """Somebody with a browser. `said` collects what pages complained about."""

    url: str
    context: BrowserContext
    page: Page
    said: list[str] = field(default_factory=list)

    async def open(self, path: str) -> Page:
        """A page, once it listens for changes."""
        await self.page.goto(self.url + path)
        return self.page

    async def live(self, path: str) -> Page:
        """A page, once it is live."""
        await self.open(path)
        await self.page.locator("#stream[data-state=live]").wait_for(state="attached", timeout=5_000)
        return self.page

    async def complaints(self) -> list[str]:
        """What broke the policy, or failed."""
        found = [] if self.page.is_closed() else await self.page.evaluate("window.violations || []")
        return [*self.said, *found]


Visit = Callable[..., AbstractAsyncContextManager[Visitor]]


@pytest.fixture
def visit(browser: Browser) -> Visit:
    """Opens a browser at an address: `async with visit(url, size="phone", dark=True) as visitor`."""

    @asynccontextmanager
    async def opened(
        url: str, size: str = "desktop", *, dark: bool = False, still: bool = True, **more: Any
    ) -> AsyncIterator[Visitor]:
        context = await browser.new_context(
            viewport=SIZES[size],  # type: ignore[arg-type]
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            **more,
        )
        context.set_default_timeout(5_000)
        page = await context.new_page()
        visitor = Visitor(url, context, page)
        await page.add_init_script(_WATCH)
        page.on("pageerror", lambda error: visitor.said.append(f"script failed: {error}"))
        page.on(
            "console", lambda message: visitor.said.append(message.text) if _is_complaint(message) else None
        )
        page.on(
            "requestfailed",
            lambda request: (
                visitor.said.append(f"not loaded: {request.url}")
                if request.resource_type in ("script", "stylesheet", "image")
                else None
            ),
        )
        if still:
            await page.clock.set_fixed_time(seed.NOW * 1000)
        yield visitor
        assert await visitor.complaints() == []
        await context.close()

    return opened


def _is_complaint(message: Any) -> bool:
    # Browsers also log answers with an error's status, which tests ask for.
    return message.type in ("error", "warning") and "Failed to load resource" not in message.text


@pytest_asyncio.fixture(loop_scope="session")
async def local(tmp_path: Path) -> AsyncIterator[tuple[Front, str]]:
    """A busy dashboard that serves this machine, and its address."""
    async with front(tmp_path) as made, serving(made) as url:
        await seed.fill(made.store)
        made.agents.update(seed.lives())
        yield made, url


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(tmp_path: Path) -> AsyncIterator[tuple[Front, str]]:
    """A busy dashboard where people sign in, and its address."""
    async with front(tmp_path, SIGN_IN) as made, serving(made) as url:
        await seed.fill(made.store)
        made.agents.update(seed.lives())
        yield made, url


async def sign_in(visitor: Visitor, token: str) -> None:
    """Sign in with a token, from wherever the page is."""
    await visitor.page.get_by_label("Token").fill(TOKENS[token])
    await visitor.page.get_by_role("button", name="Sign in").click()


@pytest.fixture(scope="session")
def axe() -> str:
    """The source of axe-core."""
    return (Path(__file__).parent / "axe.min.js").read_text()

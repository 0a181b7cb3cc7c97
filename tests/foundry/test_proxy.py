"""Which way requests leave the machine."""

from __future__ import annotations

import pytest

from reconciler.errors import ServiceUnreachable
from reconciler.foundry.pipeline import open_pipe
from reconciler.foundry.reads import Reader
from tests.foundry.recorder import Told, always, recording

ENDPOINT = "http://127.0.0.1:9/api/projects/p"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the machine that tests is left alone."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


async def _read() -> object:
    async with open_pipe(ENDPOINT, repeats=0) as pipe:
        return await Reader(pipe).get("read agent a", f"{ENDPOINT}/agents/a")


async def test_requests_go_through_the_proxy_of_the_environment_with_its_password(monkeypatch):
    async with recording(always(Told(200, {"name": "a"}))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url.replace("://", "://me:secret@"))
        assert await _read() == {"name": "a"}
    assert proxy.lines == [f"GET {ENDPOINT}/agents/a"]
    assert proxy.asked[0].headers["Proxy-Authorization"].startswith("Basic ")


async def test_a_host_in_no_proxy_is_asked_directly(monkeypatch):
    async with recording(always(Told(200, {"name": "a"}))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        with pytest.raises(ServiceUnreachable, match="cannot read agent a"):
            await _read()
    assert proxy.lines == []

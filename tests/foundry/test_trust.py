"""Whoever may write a manifest must not get the token of whoever reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from reconciler.errors import InvalidInput
from reconciler.foundry.trust import is_trusted
from reconciler.settings import read
from reconciler.wiring import connected
from tests.world import World

PATH = "/api/projects/prod"


@pytest.mark.parametrize(
    ("origin", "trusted"),
    [
        pytest.param("https://acct.services.ai.azure.com", True, id="azure"),
        pytest.param("https://ACCT.Services.AI.Azure.com:443", True, id="case-and-port"),
        pytest.param("https://acct.services.ai.azure.us", True, id="government"),
        pytest.param("http://127.0.0.1:8099", True, id="no-token-goes-there"),
        pytest.param("https://in.corp.example", True, id="named"),
        pytest.param("https://evil.example", False, id="elsewhere"),
        pytest.param("https://corp.example", False, id="not-below-the-named"),
        pytest.param("https://127.0.0.1", False, id="own-machine"),
        pytest.param("https://services.ai.azure.com.evil.example", False, id="ends-elsewhere"),
        pytest.param("https://evil-services.ai.azure.com", False, id="no-dot"),
        pytest.param("https://services.ai.azure.com", False, id="the-zone-itself"),
        pytest.param("https://evil.example\\.services.ai.azure.com", False, id="backslash"),
        pytest.param("https://evil.example%2f.services.ai.azure.com", False, id="escape"),
        pytest.param("https://evil.example\u2044.services.ai.azure.com", False, id="looks-like-a-slash"),
        pytest.param("https://.services.ai.azure.com", False, id="no-name"),
        pytest.param("https://[::1]", False, id="address"),
    ],
)
def test_the_token_goes_to_azure_and_to_named_hosts(origin: str, trusted: bool) -> None:
    assert is_trusted(origin + PATH, ("*.corp.example",)) is trusted


async def test_no_pipeline_is_opened_to_another_host() -> None:
    with pytest.raises(InvalidInput, match="does not get our token"):
        async with connected(f"https://evil.example{PATH}", read({})):
            raise AssertionError("it was opened")


async def test_a_host_that_the_environment_names_is_served() -> None:
    settings = read({"RECONCILER_TRUSTED_HOSTS": " AI.example.com , *.corp.example"})
    assert settings.trusted_hosts == ("ai.example.com", "*.corp.example")
    async with connected(f"https://ai.example.com{PATH}", settings) as pipe:
        assert pipe.endpoint.startswith("https://ai.example.com")


@pytest.mark.parametrize("text", ["*", "*.com*", "https://ai.example.com", "a b", "[a-z].example.com"])
def test_a_setting_that_trusts_everybody_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape("RECONCILER_TRUSTED_HOSTS has")):
        read({"RECONCILER_TRUSTED_HOSTS": text})


def test_plan_says_why_nothing_is_read(tmp_path: Path) -> None:
    world = World("https://evil.example", "prod", tmp_path / "repo")
    world.start()
    result = world.plan()
    assert result.exit_code == 1
    assert "evil.example does not get our token" in result.stdout + result.stderr

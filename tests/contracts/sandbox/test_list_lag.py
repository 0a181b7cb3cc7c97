from __future__ import annotations

import asyncio

import pytest

from .builders import prompt, shares
from .clients import Client, Refused
from .conftest import Control


async def test_lists_lag_behind_and_single_gets_do_not(client: Client, control: Control) -> None:
    control.set(list_lag_s=0.6)
    await client("create_version", "a", prompt())
    assert await client("list") == []
    assert await client("list_versions", "a") == []
    assert (await client("get", "a"))["name"] == "a"
    await asyncio.sleep(0.65)
    await client("create_version", "a", prompt("two"))
    assert [each["versions"]["latest"]["version"] for each in await client("list")] == ["1"]
    assert [each["version"] for each in await client("list_versions", "a")] == ["1"]
    assert (await client("get", "a"))["versions"]["latest"]["version"] == "2"
    await asyncio.sleep(0.65)
    await client("delete_version", "a", "1")
    assert [each["version"] for each in await client("list_versions", "a")] == ["2", "1"]
    await client("delete", "a")
    with pytest.raises(Refused):
        await client("get", "a")
    assert [each["name"] for each in await client("list")] == ["a"]
    await asyncio.sleep(0.65)
    assert await client("list") == []


async def test_lagging_lists_show_agents_as_they_were(client: Client, control: Control) -> None:
    await client("create_version", "a", prompt())
    await client("create_version", "a", prompt("two"))
    await client("update_details", "a", shares(v1=100))
    control.set(list_lag_s=0.6)
    await asyncio.sleep(0.65)
    (before,) = await client("list")
    await client("update_details", "a", shares(v2=100))
    await client("disable", "a")
    await client("create_version", "a", prompt("three"))
    assert await client("list") == [before]
    assert (await client("get", "a"))["state"] == "disabled"
    await asyncio.sleep(0.65)
    assert await client("list") == [await client("get", "a")]

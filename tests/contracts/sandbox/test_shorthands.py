from __future__ import annotations

import pytest

from .conftest import Control

LATEST = "latest-definition"
ALL = "latest-definition+metadata+description"


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        ({"rate_limit": 10}, ["rate_limit", "per_second"], 10),
        ({"rate_limit": 0}, ["rate_limit", "per_second"], None),
        ({"rate_limit": None}, ["rate_limit"], {"per_second": None, "burst": None, "retry_after": True}),
        ({"rate_limit": {"per_second": 0}}, ["rate_limit", "per_second"], None),
        ({"dedupe": "off"}, ["dedupe", "hosted"], "off"),
        ({"dedupe": ALL}, ["dedupe", "prompt"], ALL),
        ({"dedupe": {"prompt": True}}, ["dedupe", "prompt"], LATEST),
        ({"dedupe": {"hosted": False}}, ["dedupe", "hosted"], "off"),
        ({"selector": "refused"}, ["selector", "voice"], "refused"),
        ({"drafts": False}, ["drafts"], "refused"),
        ({"default_endpoint": False}, ["default_endpoint"], "absent"),
        ({"features": False}, ["features"], "off"),
        ({"auth": True}, ["auth"], "required"),
        ({"server_added": False}, ["server_added"], {"known": False, "unknown": None}),
        ({"server_added": {"unknown": True}}, ["server_added", "unknown"], "random"),
        ({"server_added": {"unknown": False}}, ["server_added", "unknown"], None),
        ({"provisioning": None}, ["provisioning"], {"delay_s": 1.0, "outcome": "active", "error": None}),
        ({"provisioning": {"delay_s": None}}, ["provisioning", "delay_s"], 1.0),
        ({"provisioning": {"error": {"code": "x"}}}, ["provisioning", "error", "code"], "x"),
        ({"provisioning.delay_s": 3}, ["provisioning", "delay_s"], 3),
        ({"provisioning": {"delay": 3}}, ["provisioning", "delay_s"], 3),
        ({"page_size_cap": None}, ["page_size_cap"], 100),
        ({"list_lag": 2}, ["list_lag_s"], 2),
        ({"latency": 0.5}, ["latency_s"], 0.5),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "POST"])
def test_settings_can_be_written_shorter(
    control: Control, method: str, changes: dict, path: list[str], value: object
) -> None:
    shown = control.ok(method, "settings", changes, project=control.project)
    for key in path:
        shown = shown[key]
    assert shown == value

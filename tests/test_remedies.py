"""The table of remedies: what is known has a row, what is not known still has an answer."""

from __future__ import annotations

import re

import pytest

from reconciler.remedies import remedy, row_for, table

KNOWN = [
    "image_pull_failed",
    "ImageError",
    "AcrImageNotFound",
    "RegistryNotFound",
    "InvalidAcrPullCredentials",
    "UnauthorizedAcrPull",
    "CodeError",
    "ProvisioningError",
    "AgentVersionProvisioningFailed",
    "AgentVersionNotReady",
    "QuotaExceeded",
    "RegionalQuotaExceeded",
    "preview_feature_required",
    "SubscriptionIsNotRegistered",
    "session_not_ready",
    "session_creation_failed",
    "ReadinessTimeout",
    "ProxyTimeout",
    "SandboxIdle",
    "SandboxNotFound",
    "conflict",
    "rate_limit_exceeded",
    "tool_limit_exceeded",
    "file_size_exceeded",
    "token_limit_exceeded",
    "UserError",
    "invalid_payload",
    "not_found",
    "server_error",
    "AgentNotCodeBased",
]


@pytest.mark.parametrize("code", KNOWN)
def test_every_code_of_the_facts_has_a_remedy(code):
    assert row_for(code) is not None


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 424, 429, 500, 502, 503, 504])
def test_every_usual_status_has_a_remedy(status):
    assert row_for("", status) is not None


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        pytest.param("IMAGE_PULL_FAILED", 400, "linux/amd64", id="case-does-not-matter"),
        pytest.param(" AcrImageNotFound ", 404, "Push the image first", id="spaces-do-not-matter"),
        pytest.param("image_pull", 403, "Foundry User", id="part-of-a-code-is-another-code"),
        pytest.param("tool_limit_exceeded", 429, "128 tools", id="code-before-status"),
        pytest.param("unheard_of", 401, "https://ai.azure.com/.default", id="unknown-code-falls-to-status"),
        pytest.param("", 599, "request id", id="any-5xx"),
        pytest.param("unheard_of", 418, "reconciler doctor", id="unknown-status"),
        pytest.param("", None, "reconciler doctor", id="nothing-known"),
    ],
)
def test_remedy(code, status, words):
    assert words in remedy(code, status)


def test_every_row_says_what_to_do_and_where_that_comes_from():
    codes, statuses = table()
    for name, row in (*codes.items(), *statuses.items()):
        assert row.remedy.endswith((".", "!")), name
        assert len(row.remedy) >= 20, name
        assert re.search(r"20\d\d", row.source), name
        assert "\n" not in row.remedy, name

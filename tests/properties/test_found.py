"""Smallest cases of what the properties have found, kept as they are."""

from __future__ import annotations

import pytest

from tests.properties.lives import live_of, version
from tests.properties.manifests import desired_of
from tests.properties.test_deciding import decided, of

PROMPT = {"kind": "prompt", "model": "gpt-5-mini"}


@pytest.mark.rule("M1", "R3")
@pytest.mark.parametrize("strategy", ["direct", "pinned"])
def test_an_agent_with_nothing_but_a_draft_gets_its_first_release(strategy: str) -> None:
    """A draft takes no number and no traffic: the mark starts from zero, and there is nothing to pin."""
    desired = desired_of("bot", {"definition": PROMPT, "release": {"strategy": strategy}})
    draft = {**version(1, {"definition": PROMPT}, None), "version": "draft-17", "draft": True}

    steps = of(decided(live_of({"name": "bot", "versions": [draft]}), desired), desired.key).steps

    assert [step.name for step in steps] == ["add-version"]
    assert steps[0].call.mark.base == "0"

"""What is suggested for a word that nobody knows."""

from __future__ import annotations

import pytest

from reconciler.suggest import did_you_mean, did_you_mean_key

KEYS = ("Agent/billing", "Agent/ops", "Agent/support-triage")


@pytest.mark.parametrize(
    ("key", "said"),
    [
        pytest.param("Agent/suport-triage", "Did you mean `Agent/support-triage`?", id="letter-missing"),
        pytest.param("Agent/Billing", "Did you mean `Agent/billing`?", id="case"),
        pytest.param("billing", "Did you mean `Agent/billing`?", id="no-kind"),
        pytest.param("Agnt/ops", "Did you mean `Agent/ops`?", id="wrong-kind"),
        pytest.param("Agent/xyz", "Look at the list.", id="only-the-kind-is-alike"),
        pytest.param("Agent/", "Look at the list.", id="no-name"),
    ],
)
def test_of_keys_only_the_names_are_compared(key: str, said: str) -> None:
    assert did_you_mean_key(key, KEYS, "Look at the list.") == said


def test_words_with_slashes_that_are_no_keys_are_compared_whole() -> None:
    zones = ("America/Berlin", "Europe/Berlin")
    assert did_you_mean("Europe/Berln", zones) == "Did you mean `Europe/Berlin`?"


def test_nothing_known_is_nothing_to_suggest() -> None:
    assert did_you_mean_key("Agent/triage", (), "There is none.") == "There is none."

"""docs/service.md says of the service what is so: events, actions with their roles, the order of lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from reconciler.service.actions import ROLES
from reconciler.service.api_operations import OPERATIONS
from reconciler.service.notify.cloudevents import cloud_event
from reconciler.service.notify.telling import OCCASIONS
from reconciler.service.records import WORST_FIRST, EventRecord
from reconciler.service.web.wording import EVENT_TYPES, HEALTH

PAGE: Final = (Path(__file__).resolve().parents[2] / "docs" / "service.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading, up to the next one."""
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of the tables in a text, without their heads."""
    found = [
        [cell.strip() for cell in line.strip("|").split(" |")]
        for line in text.splitlines()
        if line[:1] == "|"
    ]
    return [cells for cells in found if any("`" in cell for cell in cells[1:])]


def test_every_type_of_event_is_in_the_reference_with_its_occasion() -> None:
    told: dict[str, str] = {}
    for _, types, occasions in rows(section("Messages and events"))[1:]:
        names, words = re.findall(r"`([a-z-]+)`", types), occasions.split(", ")
        told |= dict(zip(names, words if len(words) == len(names) else words * len(names), strict=True))

    assert told == {name: OCCASIONS.get(name, "") for name in EVENT_TYPES}


def test_the_type_of_a_cloud_event_begins_as_the_reference_says() -> None:
    event = cloud_event(EventRecord(0, "drift", "warning", "prod", "changed"), "")

    assert event["type"] == "dev.reconciler.drift"
    assert "`dev.reconciler.`" in section("Messages and events")


def test_every_action_is_in_the_reference_with_its_role_and_address() -> None:
    told = {}
    for _, role, address, _ in rows(section("The dashboard, and what people may do"))[1:]:
        told[address.strip("`")] = role
    paths = {
        each.handler: each.path.removeprefix("/projects/{project}/").replace("{kind}", "Agent")
        for each in OPERATIONS
        if each.handler in ROLES
    }
    paths["unpin"] = "DELETE` of the same"

    assert told == {paths[action]: str(role) for action, role in ROLES.items()}


def test_the_order_of_lists_is_that_of_the_reference() -> None:
    text = section("The dashboard, and what people may do")
    words = [HEALTH[health].word.lower() for health in WORST_FIRST]

    assert " ".join(re.sub(r"[,;]| and| then| what is", "", text).split()).find(" ".join(words)) > 0

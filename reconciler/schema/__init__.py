"""What the service's own words may say: checks against JSON Schemas that were generated from its SDK.

The schemas are data in this folder, written by `script/schema`. Nothing here imports the SDK.
"""

from __future__ import annotations

from reconciler.errors import Finding
from reconciler.resource import Json, JsonObject
from reconciler.schema.check import check
from reconciler.schema.documents import CARD, DEFINITION, ENDPOINT, fresh
from reconciler.schema.known import knows
from reconciler.schema.legacy import upgrade, upgrade_endpoint

__all__ = [
    "card_schema",
    "check_card",
    "check_definition",
    "check_endpoint",
    "definition_schema",
    "endpoint_schema",
    "knows",
    "upgrade",
    "upgrade_endpoint",
]


def check_definition(definition: Json, *, strict: bool = True) -> tuple[Finding, ...]:
    """What is wrong with an agent's definition; () when nothing is.

    `null` stands for an absent key wherever a key may be absent.

    Args:
        definition: the value under `spec.definition`, after substitution and `upgrade()`.
        strict: without it, unknown keys and unknown names of a choice become notes, since a preview
            may be newer than our schemas; wrong types and missing keys stay errors, and so does an
            unknown `kind`.

    Returns:
        Findings by path, with paths relative to the definition.
    """
    return check(DEFINITION, definition, strict=strict)


def check_endpoint(endpoint: Json, *, strict: bool = True) -> tuple[Finding, ...]:
    """What is wrong with the value under `spec.endpoint`; see `check_definition`."""
    return check(ENDPOINT, endpoint, strict=strict)


def check_card(card: Json, *, strict: bool = True) -> tuple[Finding, ...]:
    """What is wrong with the value under `spec.card`; see `check_definition`."""
    return check(CARD, card, strict=strict)


def definition_schema() -> JsonObject:
    """The JSON Schema of a definition, draft 2020-12, with its `$defs`; a copy of the caller's own."""
    return fresh(DEFINITION)


def endpoint_schema() -> JsonObject:
    """The JSON Schema of an agent's endpoint; names in `$defs` mean the same as in the other schemas."""
    return fresh(ENDPOINT)


def card_schema() -> JsonObject:
    """The JSON Schema of an agent's card; names in `$defs` mean the same as in the other schemas."""
    return fresh(CARD)

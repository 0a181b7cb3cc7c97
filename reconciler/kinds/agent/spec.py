"""What a manifest may say under `spec` of an Agent; the definition is checked by the service's schema."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StrictStr, WithJsonSchema

from reconciler.mark import MARK_KEY
from reconciler.pointers import parts
from reconciler.strict_model import Strict

# The service takes 16 pairs: one is our mark, one is kept for other tools that write theirs.
MOST_METADATA: Final = 14


def _metadata(value: Any) -> Any:
    if isinstance(value, dict):
        if MARK_KEY in value:
            raise ValueError(f"the key `{MARK_KEY}` is the reconciler's own mark | Use another key.")
        if len(value) > MOST_METADATA:
            raise ValueError(
                f"{len(value)} pairs, and {MOST_METADATA} are yours | The service takes 16: one is the "
                "reconciler's mark, one is kept for other tools. Join some, or leave some out."
            )
    return value


def _version(value: Any) -> Any:
    """A version number as text, however it was written."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and (not value.isdecimal() or int(value) < 1):
        raise ValueError(f"`{value[:40]}` is no version | Write a number as `reconciler status` shows it.")
    return value


def _pointer(value: Any) -> Any:
    if isinstance(value, str):
        try:
            known = parts(value)
        except ValueError as error:
            raise ValueError(f"`{value[:80]}` is no JSON Pointer: {error} | {_EXAMPLE}") from error
        if known in ((), ("definition",)):
            raise ValueError(f"`{value}` would ignore the whole agent | {_EXAMPLE}")
    return value


_EXAMPLE: Final = "For example `/definition/temperature` or `/definition/tools/*/server_url`."

Metadata = Annotated[dict[str, StrictStr], BeforeValidator(_metadata)]
VersionNumber = Annotated[
    StrictStr, BeforeValidator(_version), WithJsonSchema({"type": ["string", "integer"], "minimum": 1})
]
Pointer = Annotated[StrictStr, BeforeValidator(_pointer)]
Check = Literal["strict", "warn"]


class CodeSpec(Strict):
    """A folder of code; `path` is relative to the manifest."""

    path: StrictStr = Field(min_length=1)


class ReleaseSpec(Strict):
    """How a new version gets its traffic, and how many old ones stay (rules R1 and R7)."""

    strategy: Literal["pinned", "direct", "manual"] | None = None
    keep: StrictInt = Field(default=10, ge=0, le=1000)
    keep_days: StrictInt = Field(default=7, ge=0, le=3650)
    version: VersionNumber | None = None
    metadata_only: Literal["try", "defer"] | None = None


class LifecycleSpec(Strict):
    """What may happen to the agent beside ordinary updates (rules C3, C7, D3 and D5)."""

    protect: StrictBool = False
    on_remove: Literal["delete", "keep"] = "delete"
    ignore: tuple[Pointer, ...] = ()
    allow_kind_change: StrictBool = False
    force_delete: StrictBool = False


class AgentSpec(Strict):
    """The `spec` of an Agent. A `card` of null removes the card; left out, it is not managed."""

    description: StrictStr | None = None
    metadata: Metadata | None = None
    definition: dict[str, Any]
    code: CodeSpec | None = None
    endpoint: dict[str, Any] | None = None
    card: dict[str, Any] | None = None
    state: Literal["enabled", "disabled"] | None = None
    release: ReleaseSpec = ReleaseSpec()
    lifecycle: LifecycleSpec = LifecycleSpec()
    checks: Check = Field(default="strict", alias="schema")

    @classmethod
    def model_json_schema(cls, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The JSON Schema of the spec, with the service's own of definition, endpoint and card inside."""
        from reconciler import schema

        result = super().model_json_schema(*args, **kwargs)
        for part, embedded in (
            ("definition", schema.definition_schema()),
            ("endpoint", schema.endpoint_schema()),
            ("card", schema.card_schema()),
        ):
            result["$defs"] |= embedded["$defs"]
            ref = {"$ref": embedded["$ref"]}
            nullable = part != "definition"
            result["properties"][part] = {"anyOf": [ref, {"type": "null"}]} if nullable else ref
        return result

"""Which paths `lifecycle.ignore` may name."""

from __future__ import annotations

import pytest

from reconciler import schema
from tests.schema.shapes import shapes


@pytest.mark.rule("C3")
@pytest.mark.parametrize(
    "pointer",
    [
        "/description",
        "/metadata",
        "/metadata/owner",
        "/metadata/a~1b",
        "/definition",
        "/definition/temperature",
        "/definition/tools",
        "/definition/tools/*",
        "/definition/tools/*/server_url",
        "/definition/tools/0/server_url",
        "/definition/tools/*/allowed_tools/*",
        "/definition/tools/*/allowed_tools/tool_names/*",
        "/definition/tools/*/parameters/properties/city",
        "/definition/tools/*/headers/X-Trace",
        "/definition/tools/*/filters/filters/*/filters/*/value",
        "/definition/tools/*/tools/*/format/syntax",
        "/definition/tool_choice/name",
        "/definition/text/format/schema/properties/a",
        "/definition/environment_variables/*",
        "/definition/environment_variables/LOG_LEVEL",
        "/definition/container_configuration/image",
        "/definition/structured_inputs/a/default_value/any/0/thing",
        "/definition/audio/input/turn_detection/threshold",
    ],
)
def test_path_of_a_version_is_known(pointer: str) -> None:
    assert schema.knows(pointer)


@pytest.mark.rule("C3")
@pytest.mark.parametrize(
    "pointer",
    [
        "",
        "/",
        "definition/temperature",
        "/definition/temprature",
        "/definition/temperature/x",
        "/definition/~2",
        "/definition/tools/server_url",
        "/definition/tools/*/servr_url",
        "/definition/environment_variables/LOG_LEVEL/x",
        "/definition/image",
        "/definition/*",
        "/description/x",
        "/metadata/owner/x",
        "/endpoint/protocol_configuration",
        "/card",
        "/release/strategy",
        "/labels/team",
    ],
)
def test_path_of_nothing_is_unknown(pointer: str) -> None:
    assert not schema.knows(pointer)


@pytest.mark.rule("C3")
def test_every_key_of_every_shape_is_known() -> None:
    for shape in shapes("definition"):
        path = "".join(f"/{part}" for part in shape.path)
        for key in shape.node["properties"]:
            assert schema.knows(f"/definition{path}/{key}"), (shape.name, key)
            starred = "".join("/*" if isinstance(part, int) else f"/{part}" for part in shape.path)
            assert schema.knows(f"/definition{starred}/{key}"), (shape.name, key)

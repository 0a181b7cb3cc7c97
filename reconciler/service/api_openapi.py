"""The OpenAPI 3.1 document of the API, made from the same table and models as the API itself. Pure."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from reconciler.resource import JsonObject
from reconciler.service.api_operations import MOST_ITEMS, OPERATIONS, Operation, Problem

PREFIX: Final = "/api/v1"
_REF: Final = "#/components/schemas/{model}"
_NAMES: Final = re.compile(r"\{(\w+)\}")
_ABOUT: Final = {
    "project": "The Project's name.",
    "kind": "The resource's kind, such as `Agent`.",
    "name": "The resource's name.",
    "id": "The run's id.",
}
_PROBLEMS: Final = {
    "400": "A parameter or the body is wrong.",
    "401": "Nobody is signed in, or the token is not known.",
    "403": "Whoever asks may not do this.",
    "404": "There is no such thing, or whoever asks may not know of it.",
    "409": "It does not fit how things are now.",
    "429": "Asked too often; `Retry-After` says for how long.",
    "500": "The service failed, and its log says why.",
    "503": "The store does not answer.",
}


def document() -> JsonObject:
    """The whole document."""
    inputs: list[tuple[Any, JsonSchemaMode, TypeAdapter[Any]]] = []
    for model in dict.fromkeys([*(operation.answer for operation in OPERATIONS), Problem]):
        inputs.append((model, "serialization", TypeAdapter(model)))
    refs, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REF)
    bodies = {operation.body for operation in OPERATIONS if operation.body is not None}
    _, more = models_json_schema(
        [(body, "validation") for body in sorted(bodies, key=lambda body: body.__name__)], ref_template=_REF
    )
    schemas = {**definitions.get("$defs", {}), **more.get("$defs", {})}
    paths: dict[str, JsonObject] = {}
    for operation in OPERATIONS:
        answer = refs[operation.answer, "serialization"]
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, answer)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "reconciler",
            "version": "1",
            "summary": "What the service knows of Projects and their agents, and what people may do to them.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}, {"session": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.items())),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-reconciler-session"},
            },
            "responses": {status: _problem(about) for status, about in _PROBLEMS.items()},
        },
    }


def _operation(operation: Operation, answer: JsonObject) -> JsonObject:
    params = [
        {"name": name, "in": "path", "required": True, "description": _ABOUT[name], "schema": _string()}
        for name in _NAMES.findall(operation.path)
    ]
    for param in operation.params:
        schema: JsonObject = {"type": "integer", "minimum": 0} if param.number else _string()
        schema |= {"enum": list(param.choices)} if param.choices else {}
        params.append({"name": param.name, "in": "query", "description": param.about, "schema": schema})
    if operation.paged:
        params += [
            _number("limit", "How many items at most.", 1, MOST_ITEMS),
            _number("offset", "How many items to leave out first.", 0, 10**9),
        ]
    headers = {
        "Link": {
            "description": "Where the first, previous, next and last part of the list are (RFC 8288).",
            "schema": _string(),
        }
    }
    done: JsonObject = {
        "description": "Done." if operation.method != "GET" else "What was asked for.",
        "content": {"application/json": {"schema": answer}},
        **({"headers": headers} if operation.paged else {}),
    }
    problems = {status: {"$ref": f"#/components/responses/{status}"} for status in _PROBLEMS}
    found: JsonObject = {
        "operationId": operation.handler,
        "summary": operation.about,
        "parameters": params,
        "responses": {"200": done, **problems},
    }
    if operation.body is not None:
        required = any(field.is_required() for field in operation.body.model_fields.values())
        schema = {"$ref": _REF.format(model=operation.body.__name__)}
        found["requestBody"] = {"required": required, "content": {"application/json": {"schema": schema}}}
    return found


def _problem(about: str) -> JsonObject:
    schema = {"$ref": _REF.format(model=Problem.__name__)}
    return {"description": about, "content": {"application/problem+json": {"schema": schema}}}


def _string() -> JsonObject:
    return {"type": "string"}


def _number(name: str, about: str, least: int, most: int) -> JsonObject:
    schema = {"type": "integer", "minimum": least, "maximum": most}
    return {"name": name, "in": "query", "description": about, "schema": schema}


def text() -> str:
    """The document as the file in `docs/` holds it."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())

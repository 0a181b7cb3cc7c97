"""The OpenAPI document is one, is the committed one, and says what the API really answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from reconciler.service.api_openapi import document, text
from reconciler.service.api_operations import OPERATIONS
from reconciler.service.records import AuditRecord, EventRecord, Pin, RunRecord
from tests.service.api.world import NOW, SHA, Front

COMMITTED: Final = Path(__file__).resolve().parents[3] / "docs" / "openapi.json"
DOCUMENT: Final = document()


def strict(value: Any) -> Any:
    """The same schemas, in which a field that is not named is an error."""
    if isinstance(value, list):
        return [strict(item) for item in value]
    if not isinstance(value, dict):
        return value
    closed = {"additionalProperties": False} if isinstance(value.get("properties"), dict) else {}
    return closed | {key: strict(item) for key, item in value.items()}


REGISTRY: Final = Registry().with_resource("urn:api", Resource(strict(DOCUMENT), DRAFT202012))


def refs(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from refs(item)
    elif isinstance(value, list):
        for item in value:
            yield from refs(item)


def schema_of(method: str, path: str, status: str) -> dict[str, Any]:
    response = DOCUMENT["paths"][path][method]["responses"][status]
    if "$ref" in response:
        response = DOCUMENT["components"]["responses"][status]
    (content,) = response["content"].values()
    return content["schema"]


def conforms(body: Any, schema: dict[str, Any]) -> None:
    whole = {"$ref": "urn:api" + schema["$ref"]}
    jsonschema.Draft202012Validator(whole, registry=REGISTRY).validate(body)


def test_the_committed_document_is_the_current_one() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == text(), "run script/openapi"


def test_every_reference_resolves() -> None:
    resolver = REGISTRY.resolver("urn:api")
    for ref in refs(DOCUMENT):
        assert resolver.lookup(ref).contents


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_every_operation_declares_its_path_and_a_name_of_its_own() -> None:
    names = []
    for path, methods in DOCUMENT["paths"].items():
        for operation in methods.values():
            names.append(operation["operationId"])
            declared = {param["name"] for param in operation["parameters"] if param["in"] == "path"}
            assert declared == set(re.findall(r"\{(\w+)\}", path))
            assert {"200", "401", "403", "500"} <= operation["responses"].keys()
    assert len(names) == len(set(names)) == len(OPERATIONS)


@pytest.fixture
async def told(local: Front) -> Front:
    """A service with a row of every sort."""
    store = local.deps.store
    report = {"name": "prod", "changes": []}
    await store.start_run(RunRecord("r1", "prod", "agents", ("poll",), SHA, NOW))
    await store.end_run(
        RunRecord("r1", "prod", "agents", ("poll",), SHA, NOW, NOW + 2, "applied", {"add": 1}, "r", report)
    )
    await store.add_events([EventRecord(NOW, "drift", "warning", "prod", "somebody was here")])
    await store.add_audit(AuditRecord(NOW, "local", "sync", "prod", detail={"a": 1}))
    await store.put_pin(Pin("prod", "Agent/triage", "7", "local", "broken", NOW, NOW + 60, SHA))
    return local


PATHS: Final = {
    "/projects": "/projects",
    "/projects/{project}": "/projects/prod",
    "/projects/{project}/resources": "/projects/prod/resources",
    "/projects/{project}/resources/{kind}/{name}": "/projects/prod/resources/Agent/triage",
    "/projects/{project}/graph": "/projects/prod/graph",
    "/runs": "/runs",
    "/runs/{id}": "/runs/r1",
    "/events": "/events",
    "/audit": "/audit",
    "/service": "/service",
}


@pytest.mark.parametrize("path", [each.path for each in OPERATIONS if each.method == "GET"])
async def test_answers_are_as_the_document_says(told: Front, path: str) -> None:
    answer = await told.get(PATHS[path])

    assert answer.status_code == 200
    conforms(answer.json(), schema_of("get", path, "200"))


async def test_actions_and_refusals_are_as_the_document_says(told: Front) -> None:
    done = await told.post("/projects/prod/sync")
    refused = await told.post("/projects/prod/resume")
    missing = await told.get("/projects/nowhere")

    conforms(done.json(), schema_of("post", "/projects/{project}/sync", "200"))
    for answer, status in ((refused, "409"), (missing, "404")):
        assert answer.status_code == int(status)
        assert answer.headers["content-type"] == "application/problem+json"
        conforms(answer.json(), schema_of("post", "/projects/{project}/resume", status))


async def test_the_document_is_served(local: Front) -> None:
    answer = await local.get("/openapi.json")

    assert answer.json() == DOCUMENT

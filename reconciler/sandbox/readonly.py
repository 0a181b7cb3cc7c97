"""Collections that a client only reads, as a table: connections and deployments, with a few rows in each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reconciler.sandbox.errors import not_found
from reconciler.sandbox.wire import Call, Handler, Json, Reply, reply

ACCOUNT = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/sandbox/providers"
ACCOUNT += "/Microsoft.CognitiveServices/accounts/sandbox"


@dataclass(frozen=True)
class Collection:
    """A list of rows; `filters` maps a query parameter to the field that it must equal."""

    word: str
    rows: tuple[Json, ...]
    filters: Mapping[str, str]


def _connection(name: str, kind: str, target: str, credentials: Json, *, default: bool) -> Json:
    return {
        "name": name,
        "id": f"{ACCOUNT}/connections/{name}",
        "type": kind,
        "target": target,
        "isDefault": default,
        "credentials": credentials,
        "metadata": {},
    }


def _deployment(name: str, model: str, version: str, capability: str) -> Json:
    return {
        "name": name,
        "type": "ModelDeployment",
        "modelName": model,
        "modelVersion": version,
        "modelPublisher": "OpenAI",
        "capabilities": {capability: "true"},
        "sku": {"name": "GlobalStandard", "capacity": 50},
    }


CONNECTIONS = Collection(
    "Connection",
    (
        _connection(
            "search", "CognitiveSearch", "https://sandbox.search.example/", {"type": "AAD"}, default=True
        ),
        _connection("docs-mcp", "RemoteTool", "https://docs.example/mcp", {"type": "ApiKey"}, default=False),
    ),
    {"connectionType": "type"},
)
DEPLOYMENTS = Collection(
    "Deployment",
    (
        _deployment("gpt-4.1-mini", "gpt-4.1-mini", "2025-04-14", "chat_completion"),
        _deployment("text-embedding-3-small", "text-embedding-3-small", "1", "embeddings"),
    ),
    {"modelPublisher": "modelPublisher", "modelName": "modelName", "deploymentType": "type"},
)


def lister(collection: Collection) -> Handler:
    """The handler that answers with one page of `value` rows; no `nextLink`, as the service with one page."""

    def handler(call: Call) -> Reply:
        rows = list(collection.rows)
        for parameter, field in collection.filters.items():
            if parameter in call.query:
                rows = [row for row in rows if row[field] == call.query[parameter]]
        if collection is CONNECTIONS and "defaultConnection" in call.query:
            default = call.flag("defaultConnection")
            rows = [row for row in rows if row["isDefault"] == default]
        return reply({"value": rows})

    return handler


def getter(collection: Collection) -> Handler:
    """The handler that answers with the row that the route names, or 404."""

    def handler(call: Call) -> Reply:
        for row in collection.rows:
            if row["name"] == call.params["name"]:
                return reply(row)
        raise not_found(collection.word, call.params["name"])

    return handler

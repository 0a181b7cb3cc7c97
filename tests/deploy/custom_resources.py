"""The parts of two custom resources that the chart fills, as their public definitions have them.

Sources: monitoring.coreos.com/v1 ServiceMonitor of prometheus-operator 0.7x, gateway.networking.k8s.io/v1
HTTPRoute of gateway-api 1.x. Fields that the chart does not fill are left out, so that a typo is seen.
"""

from __future__ import annotations

from typing import Any, Final

_TEXTS: Final = {"type": "object", "additionalProperties": {"type": "string"}}
_SPAN: Final = {"type": "string", "pattern": "^(([0-9]+)h)?(([0-9]+)m)?(([0-9]+)s)?(([0-9]+)ms)?$"}
_HOST: Final = {
    "type": "string",
    "pattern": r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
}


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def _list(items: Any, most: int) -> dict[str, Any]:
    return {"type": "array", "items": items, "minItems": 1, "maxItems": most}


def _resource(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = _object(("name",), name=_HOST, namespace=_HOST, labels=_TEXTS, annotations=_TEXTS)
    return _object(
        ("apiVersion", "kind", "metadata", "spec"), apiVersion={}, kind={}, metadata=metadata, spec=spec
    )


_SERVICE_MONITOR: Final = _object(
    ("endpoints", "selector"),
    selector=_object(("matchLabels",), matchLabels=_TEXTS),
    namespaceSelector=_object(("matchNames",), matchNames={"type": "array", "items": _HOST}),
    endpoints=_list(
        _object(
            ("port",), port={"type": "string"}, path={"type": "string"}, interval=_SPAN, scrapeTimeout=_SPAN
        ),
        1000,
    ),
)
_PORT: Final = {"type": "integer", "minimum": 1, "maximum": 65535}
_HTTP_ROUTE: Final = _object(
    ("parentRefs", "rules"),
    parentRefs=_list(
        _object(
            ("name",),
            group={"type": "string"},
            kind={"type": "string"},
            name={"type": "string", "minLength": 1, "maxLength": 253},
            namespace=_HOST,
            sectionName=_HOST,
            port=_PORT,
        ),
        32,
    ),
    hostnames=_list(_HOST, 16),
    rules=_list(
        _object(
            ("matches", "backendRefs"),
            matches=_list(
                _object(
                    ("path",),
                    path=_object(
                        ("type", "value"),
                        type={"enum": ["Exact", "PathPrefix", "RegularExpression"]},
                        value={"type": "string", "pattern": "^/", "maxLength": 1024},
                    ),
                ),
                64,
            ),
            backendRefs=_list(_object(("name", "port"), name=_HOST, port=_PORT), 16),
        ),
        16,
    ),
)

SCHEMAS: Final = {
    ("monitoring.coreos.com/v1", "ServiceMonitor"): _resource(_SERVICE_MONITOR),
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): _resource(_HTTP_ROUTE),
}

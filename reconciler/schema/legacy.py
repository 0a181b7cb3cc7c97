"""Shapes of older SDKs and copies of live agents, as what the service takes today.

Pure; the input is never changed. Every change is a note that says what to write instead.
"""

from __future__ import annotations

from typing import Final

from reconciler.errors import Finding
from reconciler.resource import Json, JsonObject

Upgraded = tuple[JsonObject, tuple[Finding, ...]]

# Class names of SDKs that people wrote where the kind belongs.
_CLASSES: Final = {
    "ImageBasedHostedAgentDefinition": "hosted",
    "HostedAgentDefinition": "hosted",
    "PromptAgentDefinition": "prompt",
    "WorkflowAgentDefinition": "workflow",
    "ContainerAppAgentDefinition": "container_app",
}
# Kinds that the service no longer takes.
UNSUPPORTED: Final = {
    "container_app": Finding(
        ("kind",),
        "agents of `kind: container_app` are no longer supported",
        hint="Use `kind: hosted` with the app's image in `container_configuration`.",
    )
}
# Set by the service, refused in requests, present in copies of live agents (read-only in SDK 2.10).
READ_ONLY: Final = (("code_configuration", "content_hash"), ("tools", "*", "openapi", "functions"))
READ_ONLY_ENDPOINT: Final = (
    ("protocol_configuration", "activity", "access_boundaries"),
    ("publish_approval_status",),
)
_PROTOCOLS: Final = {"activity_protocol": "activity"}


def upgrade(definition: Json) -> tuple[Json, tuple[Finding, ...]]:
    """A definition in today's shape, and what was changed or cannot be.

    Args:
        definition: as written; anything but a mapping comes back as it is.

    Returns:
        The definition and its findings, with paths into what was written. A finding that is no note is
        an error; the keys it speaks of are taken out, so that checking the rest goes on.

    Source: azure-ai-projects 2.0.0b3, 2.1, 2.2 and 2.3, whose models these are.
    """
    if not isinstance(definition, dict):
        return definition, ()
    result, findings = _class_as_kind(dict(definition))
    if _name(result.get("kind")) in UNSUPPORTED:
        return result, (*findings, UNSUPPORTED[result["kind"]])
    if result.get("kind") == "hosted":
        for step in (_image, _protocol_versions, _tools):
            result, more = step(result)
            findings += more
    result, more = _without(result, READ_ONLY)
    return result, findings + more


def upgrade_endpoint(endpoint: Json) -> tuple[Json, tuple[Finding, ...]]:
    """An agent's endpoint in today's shape, and what was changed or cannot be; see `upgrade`.

    Source: azure-ai-projects 2.1 to 2.3 (`protocols`, `isolation_key_source`); the service still echoes both.
    """
    if not isinstance(endpoint, dict):
        return endpoint, ()
    result, findings = _protocols(dict(endpoint))
    result, more = _isolation(result)
    result, last = _without(result, READ_ONLY_ENDPOINT)
    return result, findings + more + last


def _name(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _note(path: tuple[str | int, ...], message: str, hint: str) -> Finding:
    return Finding(path, message, hint=hint, on_key=True, note=True)


def _class_as_kind(result: JsonObject) -> Upgraded:
    for key in ("kind", "type"):
        kind = _CLASSES.get(_name(result.get(key)))
        if kind is None or (key == "type" and result.get("kind", kind) != kind):
            continue
        written = result.pop(key)
        note = _note((key,), f"`{written}` is the name of a class", f"Write `kind: {kind}`.")
        return {"kind": kind, **result}, (note,)
    return result, ()


def _image(result: JsonObject) -> Upgraded:
    if "image" not in result:
        return result, ()
    image, inner = result["image"], result.get("container_configuration")
    if inner is not None and not isinstance(inner, dict):
        return result, ()
    result = {key: value for key, value in result.items() if key != "image"}
    if image is None:
        return result, ()
    there = (inner or {}).get("image")
    if there is not None and there != image:
        return result, (
            Finding(
                ("image",),
                "`image` differs from `container_configuration.image`",
                hint="Keep `container_configuration.image` and remove `image`.",
                on_key=True,
            ),
        )
    result["container_configuration"] = {**(inner or {}), "image": image}
    message = "`image` has moved into `container_configuration`"
    return result, (_note(("image",), message, "Write `container_configuration: {image: …}`."),)


def _protocol_versions(result: JsonObject) -> Upgraded:
    old = "container_protocol_versions"
    if old not in result:
        return result, ()
    result = dict(result)
    versions, there = result.pop(old), result.get("protocol_versions")
    if not versions:
        return result, (_note((old,), f"an empty `{old}` says nothing", "Remove it."),)
    if there and there != versions:
        return result, (
            Finding(
                (old,),
                f"`{old}` differs from `protocol_versions`",
                hint=f"Keep `protocol_versions` and remove `{old}`.",
                on_key=True,
            ),
        )
    result["protocol_versions"] = versions
    return result, (_note((old,), f"`{old}` has a new name", "Write `protocol_versions`."),)


def _tools(result: JsonObject) -> Upgraded:
    if "tools" not in result:
        return result, ()
    result = dict(result)
    if not result.pop("tools"):
        return result, (_note(("tools",), "an empty `tools` says nothing", "Remove it."),)
    return result, (
        Finding(
            ("tools",),
            "the service no longer gives `tools` to a hosted agent",
            hint="Put the tools into a toolbox, and let the agent's code call the toolbox.",
            on_key=True,
        ),
    )


def _protocols(result: JsonObject) -> Upgraded:
    protocols = result.get("protocols")
    if "protocols" not in result or not (
        protocols is None
        or (isinstance(protocols, list) and all(isinstance(name, str) for name in protocols))
    ):
        return result, ()
    names = [_PROTOCOLS.get(name, name) for name in protocols or ()]
    configured = result.get("protocol_configuration")
    if configured is not None and not isinstance(configured, dict):
        return result, ()
    result = {key: value for key, value in result.items() if key != "protocols"}
    if not names:
        return result, (_note(("protocols",), "an empty `protocols` says nothing", "Remove it."),)
    if configured and set(configured) != set(names):
        return result, (
            Finding(
                ("protocols",),
                "`protocols` differs from `protocol_configuration`",
                hint="Keep `protocol_configuration` and remove `protocols`.",
                on_key=True,
            ),
        )
    result["protocol_configuration"] = configured or {name: {} for name in names}
    new = ", ".join(f"{name}: {{}}" for name in names)
    message = "`protocols` has become `protocol_configuration`"
    return result, (_note(("protocols",), message, f"Write `protocol_configuration: {{{new}}}`."),)


def _isolation(result: JsonObject) -> Upgraded:
    """Without the isolation key that the service adds to a scheme; any other one means something."""
    schemes = result.get("authorization_schemes")
    if not isinstance(schemes, list):
        return result, ()
    key, usual = "isolation_key_source", {"kind": "Entra"}
    found = [at for at, one in enumerate(schemes) if isinstance(one, dict) and one.get(key) == usual]
    bare = [
        {name: value for name, value in one.items() if name != key} if at in found else one
        for at, one in enumerate(schemes)
    ]
    notes = [
        _note(("authorization_schemes", at, key), f"the service adds `{key}` by itself", "Remove it.")
        for at in found
    ]
    return ({**result, "authorization_schemes": bare} if found else result), tuple(notes)


def _without(result: JsonObject, paths: tuple[tuple[str, ...], ...]) -> Upgraded:
    findings: list[Finding] = []
    for path in paths:
        result = _cut(result, path, (), findings)
    return result, tuple(findings)


def _cut(value: Json, path: tuple[str, ...], at: tuple[str | int, ...], findings: list[Finding]) -> Json:
    head, rest = path[0], path[1:]
    if head == "*":
        items = value if isinstance(value, list) else []
        return [_cut(one, rest, (*at, index), findings) for index, one in enumerate(items)] or value
    if not isinstance(value, dict) or head not in value:
        return value
    if rest:
        return {**value, head: _cut(value[head], rest, (*at, head), findings)}
    findings.append(_note((*at, head), f"`{head}` is set by the service", "Remove it."))
    return {key: item for key, item in value.items() if key != head}

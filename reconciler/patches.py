"""Apply the patches of a Project to its manifests. Pure; the manifests stay as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from reconciler.errors import Finding
from reconciler.globs import compiled
from reconciler.manifest import Manifest
from reconciler.project import has_labels
from reconciler.project_spec import PatchSpec, TargetSpec
from reconciler.resource import Json
from reconciler.yaml_nodes import Document


def matches(target: TargetSpec, manifest: Manifest) -> bool:
    """Whether a patch is for this manifest."""
    if target.kind is not None and target.kind != manifest.kind:
        return False
    if target.name is not None and not compiled(target.name).fullmatch(manifest.name):
        return False
    return has_labels(manifest.labels, target.labels)


def patched(manifest: Manifest, patch: PatchSpec) -> tuple[Manifest, Finding | None]:
    """The manifest with a patch applied, or as it was with what is wrong; the path is inside the patch."""
    value: Json
    if patch.merge is not None:
        value = merged(manifest.value, patch.merge)
    else:
        value, finding = _json_patched(manifest, patch)
        if finding is not None:
            return manifest, finding
    if not isinstance(value, dict) or {**value, "spec": None} != {**manifest.value, "spec": None}:
        message = f"it changes more than `spec` of {manifest.kind}/{manifest.name}"
        return manifest, Finding(
            (), message, "Patch below `/spec`; names and labels stay as they are written."
        )
    if not isinstance(value.get("spec"), dict):
        message = f"it leaves no `spec` of {manifest.kind}/{manifest.name}"
        return manifest, Finding((), message, "Patch below `/spec/…`.")
    return replace(manifest, document=Document(value, manifest.document.places)), None


def _json_patched(manifest: Manifest, patch: PatchSpec) -> tuple[Any, Finding | None]:
    # Imported here: most Projects have no JSON Patch.
    from jsonpatch import JsonPatch, JsonPatchConflict, JsonPatchException, JsonPatchTestFailed
    from jsonpointer import JsonPointerException

    value: Any = manifest.value
    who = f"{manifest.kind}/{manifest.name}"
    for index, operation in enumerate(patch.patch or ()):
        where = f"`{str(operation.get('path', ''))[:80]}`"
        message, hint = "", "Check the path against the manifest as the earlier operations leave it."
        try:
            value = JsonPatch([operation]).apply(value)
        except JsonPatchTestFailed:
            message, hint = (
                f"the test of {where} does not hold for {who}",
                "Narrow `target`, or drop the test.",
            )
        except (JsonPatchConflict, JsonPointerException):
            message = f"{who} has no {where}"
        except (JsonPatchException, TypeError, KeyError, AttributeError, ValueError):
            message, hint = "this is no operation", "Write {op: replace, path: /spec/…, value: …} (RFC 6902)."
        if message:
            return value, Finding(("patch", index), message, hint)
    return value, None


def merged(value: Json, patch: Json) -> Json:
    """A merge patch applied (RFC 7396): null removes a key, lists are replaced whole."""
    if not isinstance(patch, dict):
        return patch
    result = dict(value) if isinstance(value, dict) else {}
    for key, item in patch.items():
        if item is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), item)
    return result

"""A checked Agent spec becomes a desired value: its form, its fingerprint, its rules. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from reconciler.errors import Finding
from reconciler.kinds.agent import package
from reconciler.kinds.agent.spec import AgentSpec
from reconciler.kinds.kind import Files
from reconciler.pointers import without
from reconciler.resource import (
    Code,
    Desired,
    Json,
    JsonObject,
    Key,
    Lifecycle,
    Release,
    Strategy,
    digest_of,
)

# A change of what is hashed takes a new prefix; old ones are still understood (rule M3).
PREFIX: Final = "1:"


def fingerprint(form: JsonObject, ignore: Iterable[str] = (), code_tree: str = "") -> str:
    """The fingerprint of what a create would send (rule M3): 1: and 64 hex digits.

    Args:
        form: `definition`, `description`, `metadata` without the mark.
        ignore: pointers into the form that are left out.
        code_tree: content hash of the code folder, "" without one.
    """
    covered = {**form, "code": code_tree} if code_tree else form
    return PREFIX + digest_of(without(covered, ignore))


def desire(key: Key, spec: AgentSpec, files: Files) -> tuple[Desired | None, tuple[Finding, ...]]:
    """The desired value of a manifest's spec, or what is wrong with it, with paths inside the spec.

    Args:
        files: reads code folders relative to the manifest.
    """
    found = [*_release_findings(spec), *_hosted_findings(spec), *_ignore_findings(spec)]
    code, problems = _code(spec, files)
    found += problems
    if any(not finding.note for finding in found):
        return None, tuple(found)
    form: JsonObject = {"definition": spec.definition}
    if spec.description is not None:
        form["description"] = spec.description
    if spec.metadata is not None:
        form["metadata"] = spec.metadata
    lifecycle = Lifecycle(
        protect=spec.lifecycle.protect,
        on_remove=spec.lifecycle.on_remove,
        ignore=spec.lifecycle.ignore,
        allow_kind_change=spec.lifecycle.allow_kind_change,
        force_delete=spec.lifecycle.force_delete,
    )
    desired = Desired(
        key=key,
        form=form,
        fingerprint=fingerprint(form, lifecycle.ignore, code.tree if code else ""),
        release=release_of(spec),
        lifecycle=lifecycle,
        details=_details(spec),
        enabled=None if spec.state is None else spec.state == "enabled",
        code=code,
    )
    return desired, tuple(found)


def release_of(spec: AgentSpec) -> Release:
    """The release rule with the defaults of the definition's kind (rules R1 and C4)."""
    hosted = spec.definition.get("kind") == "hosted"
    stated = spec.release
    return Release(
        strategy=Strategy(stated.strategy or ("pinned" if hosted else "direct")),
        keep=stated.keep,
        keep_days=stated.keep_days,
        version=stated.version or "",
        metadata_only=stated.metadata_only or ("defer" if hosted else "try"),
    )


def _details(spec: AgentSpec) -> JsonObject:
    """The stated mutable part under the service's names; a stated null card removes it (rule C6)."""
    details: JsonObject = {}
    if spec.endpoint is not None:
        details["agent_endpoint"] = spec.endpoint
    if "card" in spec.model_fields_set:
        details["agent_card"] = spec.card
    return details


def _release_findings(spec: AgentSpec) -> Iterator[Finding]:
    """Rule R1: which strategies go with which agents and traffic."""
    strategy = release_of(spec).strategy
    selector = (spec.endpoint or {}).get("version_selector")
    if strategy is Strategy.PINNED and spec.definition.get("kind") == "external":
        message = "an external agent has no versions to pin"
        yield Finding(("release", "strategy"), message, "Leave `strategy` out, or write `direct`.")
    if strategy is Strategy.MANUAL:
        if selector is None:
            message = "`manual` takes the traffic from `endpoint.version_selector`, which is missing"
            yield Finding(("release", "strategy"), message, "Add the selector, or choose another strategy.")
        if spec.release.version:
            message = "`manual` takes the traffic from `endpoint.version_selector`, not from `version`"
            yield Finding(("release", "version"), message, "Remove one of the two.")
    elif selector is not None:
        message = f"the strategy `{strategy}` moves the traffic itself"
        hint = "Remove the selector, or set `release.strategy: manual`."
        yield Finding(("endpoint", "version_selector"), message, hint, on_key=True)
    yield from _shares(selector)


def _shares(selector: Json) -> Iterator[Finding]:
    rules = selector.get("version_selection_rules") if isinstance(selector, dict) else None
    if not isinstance(rules, list) or not all(isinstance(rule, dict) for rule in rules):
        return
    shares = [rule.get("traffic_percentage") for rule in rules]
    path = ("endpoint", "version_selector", "version_selection_rules")
    if all(type(share) is int for share in shares) and sum(shares) != 100:
        yield Finding(path, f"the shares sum to {sum(shares)}", "Make `traffic_percentage` sum to 100.")


def _hosted_findings(spec: AgentSpec) -> Iterator[Finding]:
    """A hosted agent runs either an image or code, and code needs its folder."""
    definition = spec.definition
    hosted = definition.get("kind") == "hosted"
    coded = hosted and definition.get("code_configuration") is not None
    if hosted:
        made_of = [coded, definition.get("container_configuration") is not None]
        both = "both `container_configuration` and `code_configuration`"
        neither = "neither `container_configuration` nor `code_configuration`"
        if sum(made_of) != 1:
            message = f"a hosted agent with {both if all(made_of) else neither}"
            yield Finding(("definition",), message, "State exactly one: an image, or code with `code.path`.")
    if coded and spec.code is None:
        message = "`code_configuration` needs the folder with the code"
        yield Finding(
            ("definition", "code_configuration"), message, "Add `code: {path: FOLDER}` to the spec."
        )
    if spec.code is not None and not coded:
        message = "`code` goes with a hosted agent that has `code_configuration`"
        yield Finding(("code",), message, "Remove `code`, or add `code_configuration`.", on_key=True)


def _ignore_findings(spec: AgentSpec) -> Iterator[Finding]:
    """Rule C3: a path that nobody knows is a typo, and would ignore nothing."""
    if not spec.lifecycle.ignore:
        return
    from reconciler import schema

    for index, pointer in enumerate(spec.lifecycle.ignore):
        if not schema.knows(pointer):
            message = f"no agent has `{pointer}`"
            hint = "Check the path: keys of the spec from `/definition`, `*` for list items."
            yield Finding(("lifecycle", "ignore", index), message, hint)


def _code(spec: AgentSpec, files: Files) -> tuple[Code | None, list[Finding]]:
    if spec.code is None:
        return None, []
    code, problems = files.code(spec.code.path)
    found = [Finding(("code", "path"), item.message, item.hint, note=item.note) for item in problems]
    configuration = spec.definition.get("code_configuration")
    if code is not None and isinstance(configuration, dict):
        # Sizes are not known here; the zip itself is checked when it is built.
        found += package.check(code, configuration, lambda path: 0)
    return code, found


def check(spec: JsonObject) -> tuple[Finding, ...]:
    """The service's own schema for definition, endpoint and card; `schema: warn` lets unknown keys pass."""
    from reconciler import schema

    strict = spec.get("schema") != "warn"
    found: list[Finding] = []
    for part, checked in (
        ("definition", schema.check_definition),
        ("endpoint", schema.check_endpoint),
        ("card", schema.check_card),
    ):
        value = spec.get(part)
        if isinstance(value, dict):
            found += _below(part, checked(value, strict=strict))
    return tuple(found)


def upgrade(spec: JsonObject) -> tuple[JsonObject, tuple[Finding, ...]]:
    """The spec in today's shape, with a note for each older one, and errors for what has no successor."""
    from reconciler import schema

    result, found = dict(spec), list[Finding]()
    for part, upgraded in (("definition", schema.upgrade), ("endpoint", schema.upgrade_endpoint)):
        value = spec.get(part)
        if isinstance(value, dict):
            result[part], findings = upgraded(value)
            found += _below(part, findings)
    return result, tuple(found)


def _below(part: str, findings: Iterable[Finding]) -> Iterator[Finding]:
    for item in findings:
        yield Finding((part, *item.path), item.message, item.hint, on_key=item.on_key, note=item.note)

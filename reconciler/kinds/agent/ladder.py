"""The whole ladder of steps for one change of an agent, gates included (rules R1 to R8, C6, D5). Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reconciler import release
from reconciler.kinds.agent import details, failed, named
from reconciler.kinds.agent.calls import (
    AddVersion,
    AgentCall,
    AwaitActive,
    DeleteAgent,
    Disable,
    Enable,
    MoveTraffic,
    PatchDetails,
    RemoveFailed,
    RetireVersion,
)
from reconciler.kinds.agent.compare import ours
from reconciler.kinds.agent.normal import FOREIGN_METADATA
from reconciler.kinds.kind import Action, Change, Context
from reconciler.pointers import carried
from reconciler.release import Versions, Want
from reconciler.resource import (
    Desired,
    JsonObject,
    Lifecycle,
    Live,
    Mark,
    Ref,
    Release,
    Step,
    Strategy,
    Version,
    traffic_text,
)

AgentStep = Step[AgentCall]


def steps(change: Change, ctx: Context) -> tuple[AgentStep, ...]:
    """Everything still to do for this change, in order; () is in sync, held or refused."""
    if change.blocked:
        return ()
    if change.action is Action.DELETE:
        return (_delete(change, ctx),)
    if change.desired is None or change.action is Action.NONE:
        return ()
    if change.live is None:
        return _first(change, change.desired, ctx)
    found: list[AgentStep] = []
    if change.enable is False:
        found.append(_disable(change))
    stuck = failed.stuck(change, ctx)
    ladder = [] if stuck else _versions(change, change.desired, ctx)
    traffic, patch = details.split(change.patch)
    if traffic and (stuck or ladder) and named.run(change.desired, change.live):
        # What Git says by hand waits for no other version, and pins as well as a pin.
        found.append(_patch(change, traffic))
        ladder = [step for step in ladder if step.name != "pin-traffic"]
    else:
        patch = change.patch
    retired = _retire(change, change.desired, change.live, ladder, ctx)
    if change.key in ctx.at_cap:
        # No room for one more version: old ones go first. Without any to go somebody may have made room.
        found += [*retired, *ladder]
        retired = []
    else:
        found += ladder
    if patch and not stuck:
        found.append(_patch(change, patch))
    found += retired
    if change.enable and not stuck:
        found.append(_step(change, "enable", Enable(), "enable the agent"))
    return tuple(found)


def _first(change: Change, desired: Desired, ctx: Context) -> tuple[AgentStep, ...]:
    """The steps that make an agent: it is disabled before its version has started, and described after."""
    add, *gates = _versions(change, desired, ctx)
    disabled = [_disable(change)] if change.enable is False else []
    described = [_patch(change, desired.details)] if desired.details else []
    return (add, *disabled, *gates, *described)


def fresh(change: Change) -> frozenset[str]:
    """The outputs that exist only after the steps of this change."""
    adds = change.action in (Action.CREATE, Action.UPDATE, Action.ADOPT) and change.target is None
    return frozenset({"id", "version"}) if adds else frozenset()


def _versions(change: Change, desired: Desired, ctx: Context) -> list[AgentStep]:
    """The release itself: pin, add, gate, move."""
    target, live = change.target, change.live
    rungs = _Rungs(change, desired, ctx)
    if change.reason == "details" or change.held:
        return []
    again = failed.anew(change, ctx)
    add = target is None or again
    first: list[AgentStep] = []
    if again and target is not None and live is not None and _replaceable(target, live):
        call = RemoveFailed(target.number)
        first = [_step(change, "remove-failed", call, f"delete failed version {target.number}")]
    want = Want(None if add else target, add, move=True, gated=_gated(desired))
    versions = versions_of(live)
    return [*first, *release.ladder(want, versions, _rule(change, desired), rungs)]


def _replaceable(failed: Version, live: Live) -> bool:
    """Whether a failed version may go: another one exists and it serves nothing (rules R4, R8)."""
    return len(live.known) > 1 and all(number != failed.number for number, _ in live.traffic)


def _rule(change: Change, desired: Desired) -> Release:
    """The release rule; marking and a change of kind are pinned whatever the strategy (M5, C7)."""
    rule = desired.release
    kind = desired.form.get("definition", {}).get("kind")
    was = (change.live.latest.form if change.live and change.live.latest else desired.form)["definition"]
    careful = change.reason == "mark" or was.get("kind") != kind
    if careful and rule.strategy is Strategy.DIRECT and kind != "external":
        return replace(rule, strategy=Strategy.PINNED)
    return rule


def _gated(desired: Desired) -> bool:
    """Whether the service takes time to start a version: hosted agents only."""
    return bool(desired.form.get("definition", {}).get("kind") == "hosted")


def versions_of(live: Live | None) -> Versions:
    """The versions of a live agent as the release rules see them."""
    if live is None:
        return Versions((), None, (), explicit=False)
    return Versions(live.known, live.latest, live.traffic, explicit=live.selector is not None)


def _retire(
    change: Change, desired: Desired, live: Live, ladder: list[AgentStep], ctx: Context
) -> list[AgentStep]:
    """Old versions go when the run releases something and has read them all anyway (rule R7)."""
    if not ladder or not live.all_versions:
        return []
    adds = any(isinstance(step.call, AddVersion) for step in ladder)
    gone = {step.call.version for step in ladder if isinstance(step.call, RemoveFailed)}
    old = release.retirable(
        versions_of(live),
        desired.release,
        lambda version: ours(change.key, version, ctx),
        before=_before(change.target),
        adds=adds,
        now=ctx.now,
    )
    return [
        _step(change, "retire-version", RetireVersion(version.number), f"delete old version {version.number}")
        for version in old
        if version.number not in gone.union(named.numbers(desired))
        and (change.target is None or change.target.number != version.number)
    ]


def _before(target: Version | None) -> set[str]:
    """The latest version and those that served when this one was made, as its mark says."""
    if target is None or target.mark is None:
        return set()
    return {target.mark.base, *(share.split(":")[0] for share in target.mark.pinned.split(","))}


def _delete(change: Change, ctx: Context) -> AgentStep:
    live = change.live
    assert live is not None
    owners = frozenset({ctx.owner, *ctx.owner_aliases})
    mark = change.base.mark if change.base else None
    force = ctx.force_sessions or (mark is not None and mark.on_remove == "force")
    call = DeleteAgent(force, owners, ctx.delete_edited)
    count = len(live.known)
    counted = f"{count} version{'s' * (count != 1)}" if live.all_versions else "all its versions"
    text = f"delete the agent with {counted}"
    return _step(change, "delete-agent", call, text)


def _disable(change: Change) -> AgentStep:
    return _step(change, "disable", Disable(), "disable the agent")


def _patch(change: Change, patch: JsonObject) -> AgentStep:
    parts = " and ".join(part.removeprefix("agent_") for part in patch)
    return _step(change, "patch-details", PatchDetails(patch), f"change the {parts}")


def _step(change: Change, name: str, call: AgentCall, text: str, *, gate: bool = False) -> AgentStep:
    return Step(name, change.key, call, text, gate)


def _on_remove(lifecycle: Lifecycle) -> str:
    """What the mark says about removing, since the manifest is gone by then; "" for the default."""
    if lifecycle.on_remove == "delete":
        return "force" if lifecycle.force_delete else ""
    return lifecycle.on_remove


@dataclass(frozen=True)
class _Rungs:
    """The steps of one agent's ladder."""

    change: Change
    desired: Desired
    ctx: Context

    def pin(self, version: Version) -> AgentStep:
        call = MoveTraffic(version.number, pin=True)
        return _step(self.change, "pin-traffic", call, f"pin traffic to version {version.number}")

    def add(self) -> AgentStep:
        form = self._form()
        call = AddVersion(form, self._mark(), self.desired.code)
        what = "create the agent" if self.change.live is None else "create a version"
        zipped = " from code" if self.desired.code else ""
        return _step(self.change, "add-version", call, what + zipped)

    def gate(self, version: Version | None) -> AgentStep:
        call = AwaitActive(self._number(version))
        named = f"version {version.number}" if version else "the new version"
        return _step(self.change, "await-active", call, f"wait until {named} is active", gate=True)

    def move(self, version: Version | None) -> AgentStep:
        call = MoveTraffic(self._number(version))
        live = self.change.live
        was = f" from {traffic_text(live.traffic)}" if live and live.traffic else ""
        named = f"version {version.number}" if version else "the new version"
        return _step(self.change, "move-traffic", call, f"move traffic{was} to {named}")

    def retire(self, version: Version) -> AgentStep:
        call = RetireVersion(version.number)
        return _step(self.change, "retire-version", call, f"delete old version {version.number}")

    def _number(self, version: Version | None) -> str | Ref:
        return release.new_version(Ref(self.change.key, "version"), version)

    def _form(self) -> JsonObject:
        """What is sent: the desired form with ignored values and other tools' metadata carried over."""
        live, desired = self.change.live, self.desired
        if live is None or live.latest is None:
            return desired.form
        serving = live.version(live.serving) or live.latest
        # Of another kind nothing can be carried over: what it lacks may be what the new one needs.
        alike = serving.form["definition"].get("kind") == desired.form["definition"].get("kind")
        form = carried(desired.form, serving.form, desired.lifecycle.ignore) if alike else desired.form
        metadata = serving.form.get("metadata") or {}
        kept = {key: metadata[key] for key in sorted(FOREIGN_METADATA & metadata.keys())}
        return {**form, "metadata": {**kept, **form.get("metadata", {})}} if kept else form

    def _mark(self) -> Mark:
        live, desired, ctx = self.change.live, self.desired, self.ctx
        latest = live.latest if live else None
        lifecycle = desired.lifecycle
        return Mark(
            owner=ctx.owner,
            resource=desired.key.local,
            spec=desired.fingerprint,
            # A draft is no release and takes no number; the first release after it is 1.
            base=latest.number if latest and not latest.draft else "0",
            pinned=traffic_text(live.traffic) if live else "",
            commit=ctx.commit,
            time=ctx.time,
            protect=lifecycle.protect,
            on_remove=_on_remove(lifecycle),
            file=desired.place.file,
        )

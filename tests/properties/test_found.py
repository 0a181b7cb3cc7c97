"""Smallest cases of what the properties have found, kept as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from reconciler.plan import approve
from reconciler.report import ExitCode
from reconciler.sandbox import Sandbox
from tests.properties.lives import live_of, mark_text, version
from tests.properties.manifests import desired_of
from tests.properties.running import apply, inputs, plan
from tests.properties.test_deciding import decided, of
from tests.world import World, hosted

PROMPT = {"kind": "prompt", "model": "gpt-5-mini"}


@pytest.mark.rule("M1", "R3")
@pytest.mark.parametrize("strategy", ["direct", "pinned"])
def test_an_agent_with_nothing_but_a_draft_gets_its_first_release(strategy: str) -> None:
    """A draft takes no number and no traffic: the mark starts from zero, and there is nothing to pin."""
    desired = desired_of("bot", {"definition": PROMPT, "release": {"strategy": strategy}})
    draft = {**version(1, {"definition": PROMPT}, None), "version": "draft-17", "draft": True}

    steps = of(decided(live_of({"name": "bot", "versions": [draft]}), desired), desired.key).steps

    assert [step.name for step in steps] == ["add-version"]
    assert steps[0].call.mark.base == "0"


def selector(*shares: tuple[int, int]) -> list[dict[str, object]]:
    return [{"agent_version": str(number), "traffic_percentage": share} for number, share in shares]


@pytest.mark.rule("M5", "R5")
def test_marking_leaves_a_version_that_git_pins_alone() -> None:
    """A marked copy would be another version than the one Git names, and the next run would move back."""
    desired = desired_of("bot", {"definition": PROMPT, "release": {"version": "7"}})
    live = live_of({"name": "bot", "versions": [version(7, desired.form, None)]})

    assert of(decided(live, desired, mark_equal=True), desired.key).steps == ()


@pytest.mark.rule("R2")
def test_no_version_is_made_that_could_never_serve() -> None:
    """The service refuses traffic rules, and the one it set itself keeps the traffic where it is."""
    desired = desired_of("bot", {"definition": PROMPT})
    marked = version(2, desired.form, mark_text("ours", desired, 2))
    other = version(1, {"definition": {**PROMPT, "model": "gpt-4.1"}}, None)
    live = live_of({"name": "bot", "versions": [other, marked], "selector": selector((1, 100))})

    plan = decided(live, desired, take_traffic=True, selector_refused=frozenset({desired.key}))

    assert [step.name for step in of(plan, desired.key).steps] == ["move-traffic"]


@pytest.mark.rule("R1", "R5")
def test_a_split_is_not_held_where_git_says_the_traffic() -> None:
    endpoint = {
        "version_selector": {"version_selection_rules": [{"type": "FixedRatio", **selector((1, 100))[0]}]}
    }
    desired = desired_of(
        "bot", {"definition": PROMPT, "release": {"strategy": "manual"}, "endpoint": endpoint}
    )
    other = {"definition": {**PROMPT, "model": "gpt-4.1"}}
    versions = [version(number, other, None) for number in (1, 2)]
    live = live_of({"name": "bot", "versions": versions, "selector": selector((1, 90), (2, 10))})

    steps = of(decided(live, desired), desired.key).steps

    assert [step.name for step in steps] == ["patch-details", "add-version"]


@pytest.mark.rule("R4")
def test_disabling_an_agent_does_not_hide_that_its_version_failed(sandbox: Sandbox) -> None:
    world = World(sandbox.url, "found-stalled", Path("-"))
    desired = desired_of("bot", {"definition": hosted(), "state": "disabled"})
    failed = version(1, desired.form, mark_text("ours", desired, 1), status="failed")
    world.seed({"name": "bot", "versions": [failed], "state": "enabled"})

    run = apply(inputs(world, [desired]))

    assert [outcome.step for outcome in run.outcomes] == ["disable", "await-active"]
    assert run.exit_code is ExitCode.PARTLY


@pytest.mark.rule("R6", "P9")
def test_an_outside_version_without_traffic_is_no_drift_of_a_pending_change() -> None:
    desired = desired_of("bot", {"definition": PROMPT})
    ours = version(1, {"definition": {**PROMPT, "model": "gpt-4.1"}}, mark_text("older", desired, 1))
    theirs = version(2, {"definition": {**PROMPT, "model": "gpt-4o"}}, None)
    live = live_of({"name": "bot", "versions": [ours, theirs], "selector": selector((1, 100))})

    change = of(decided(live, desired), desired.key).change

    assert (change.action, change.pending, change.drift) == ("update", True, ())


@pytest.mark.rule("C4")
def test_metadata_that_is_deferred_is_no_drift() -> None:
    """Somebody made in the portal what Git now wants, but for the description."""
    desired = desired_of("bot", {"definition": PROMPT, "release": {"metadata_only": "defer"}})
    ours = version(1, {"definition": {**PROMPT, "model": "gpt-4.1"}}, mark_text("older", desired, 1))
    theirs = version(2, {**desired.form, "description": "From the portal"}, None)

    change = of(decided(live_of({"name": "bot", "versions": [ours, theirs]}), desired), desired.key).change

    assert (change.reason, change.drift) == ("metadata", ())


@pytest.mark.rule("R1", "R2")
def test_traffic_by_hand_needs_no_version_of_our_own() -> None:
    """The equal version does not serve any more once the manifest's selector is set; it is still there."""
    rules = [{"type": "FixedRatio", **selector((1, 100))[0]}]
    endpoint = {"version_selector": {"version_selection_rules": rules}}
    desired = desired_of(
        "bot", {"definition": PROMPT, "release": {"strategy": "manual"}, "endpoint": endpoint}
    )
    other = version(1, {"definition": {**PROMPT, "model": "gpt-4.1"}}, None)
    live = live_of(
        {"name": "bot", "versions": [other, version(2, desired.form, None)], "selector": selector((1, 100))}
    )

    assert of(decided(live, desired), desired.key).steps == ()


@pytest.mark.rule("C5", "P6", "R2")
@pytest.mark.parametrize("dedupe", ["off", "latest-definition"])
def test_a_version_after_a_gap_is_released_by_the_run_that_made_it(sandbox: Sandbox, dedupe: str) -> None:
    """Somebody deleted the newest version; its number is not given again, and the mark cannot prove ours.

    Where the service answers equal definitions with the old version, a second try would get the same one.
    """
    world = World(sandbox.url, f"found-gap-{dedupe}", Path("-"))
    world.settings(provisioning={"delay_s": 0}, dedupe={"hosted": dedupe})
    one, two = (desired_of("bot", {"definition": hosted(f"r.example.com/bot:{tag}")}) for tag in (1, 2))
    versions = [version(1, one.form, mark_text("ours", one, 1)), version(2, one.form, None)]
    world.seed({"name": "bot", "versions": versions})
    world.call("DELETE", "/agents/bot/versions/2")

    run = apply(inputs(world, [two]))

    assert run.exit_code is ExitCode.DONE, run.outcomes
    assert world.traffic("bot") == [("3", 100)]
    assert not plan(inputs(world, [two])).steps


@pytest.mark.rule("R7")
def test_only_the_word_about_too_many_versions_means_that(sandbox: Sandbox) -> None:
    """The service gives the same code for other mistakes; nothing is deleted or tried again for those."""
    world = World(sandbox.url, "found-user-error", Path("-"))
    spec = {"definition": PROMPT, "card": {"version": "1", "skills": []}}
    rule = {"match": {"method": "POST"}, "action": {"status": 400, "code": "UserError"}}
    world.own("PUT", "faults", [rule])

    run = apply(inputs(world, [desired_of("bot", spec)]))

    assert [(outcome.step, outcome.outcome) for outcome in run.outcomes] == [("add-version", "failed")]


@pytest.mark.rule("C4", "R1")
def test_who_serves_does_not_decide_what_is_made_where_git_says_the_traffic() -> None:
    """Whether metadata is deferred would otherwise change with the selector that the same run sets."""
    rules = [{"type": "FixedRatio", **selector((1, 100))[0]}]
    spec = {
        "definition": PROMPT,
        "release": {"strategy": "manual", "metadata_only": "defer"},
        "endpoint": {"version_selector": {"version_selection_rules": rules}},
    }
    desired = desired_of("bot", spec)
    other = version(1, {"definition": {**PROMPT, "model": "gpt-4.1"}}, None)
    newest = version(2, {**desired.form, "description": "From the portal"}, None)

    for shares in ((1, 100), (2, 100)):
        live = live_of({"name": "bot", "versions": [other, newest], "selector": selector(shares)})
        steps = of(decided(live, desired), desired.key).steps
        assert "add-version" not in [step.name for step in steps]


@pytest.mark.rule("D4")
def test_deletions_wait_no_longer_than_until_the_run_made_what_was_missing(sandbox: Sandbox) -> None:
    """The only version of an agent never started; this run makes one that does, and then deletes."""
    world = World(sandbox.url, "found-born", Path("-"))
    desired, gone = desired_of("bot", {"definition": PROMPT}), desired_of("gone", {"definition": PROMPT})
    other = {"definition": {**PROMPT, "model": "gpt-4.1"}}
    world.seed(
        {"name": "bot", "versions": [version(1, other, mark_text("older", desired, 1), status="failed")]},
        {"name": "gone", "versions": [version(1, gone.form, mark_text("ours", gone, 1))]},
    )

    run = apply(inputs(world, [desired]))

    assert run.exit_code is ExitCode.DONE, run.outcomes
    assert world.names() == ["bot"]


@pytest.mark.rule("C3", "C7")
def test_nothing_is_carried_over_from_another_kind() -> None:
    """The version that serves has no `cpu` at all, and a hosted agent cannot do without."""
    lifecycle = {"ignore": ["/definition/cpu"], "allow_kind_change": True}
    desired = desired_of("bot", {"definition": hosted(), "lifecycle": lifecycle})
    live = live_of({"name": "bot", "versions": [version(1, {"definition": PROMPT}, None)]})

    added = next(step for step in of(decided(live, desired), desired.key).steps if step.name == "add-version")

    assert added.call.form["definition"]["cpu"] == "1"


def by_hand(*shares: tuple[int, int], **definition: object) -> dict[str, object]:
    """A spec whose traffic is what Git says."""
    rules = [{"type": "FixedRatio", **rule} for rule in selector(*shares)]
    return {
        "definition": {**PROMPT, **definition},
        "release": {"strategy": "manual"},
        "endpoint": {"version_selector": {"version_selection_rules": rules}},
    }


@pytest.mark.rule("R1", "R5")
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(by_hand((4, 100)), id="by-hand"),
        pytest.param({"definition": PROMPT, "release": {"version": "4"}}, id="pinned"),
    ],
)
@pytest.mark.parametrize("lives", [True, False], ids=["live", "new"])
def test_a_version_that_is_not_there_is_refused_before_anything_is_sent(
    sandbox: Sandbox, spec: dict[str, object], lives: bool
) -> None:
    """The service would refuse the rule in every run, or the next run would see that it cannot be done."""
    world = World(sandbox.url, f"found-gone-{lives}-{'endpoint' in spec}", Path("-"))
    desired = desired_of("bot", spec)
    if lives:
        world.seed({"name": "bot", "versions": [version(1, desired.form, mark_text("ours", desired, 1))]})
    world.forget()

    run = apply(inputs(world, [desired]))

    assert run.exit_code is ExitCode.REFUSED
    assert [verdict.rule for verdict in run.first.verdicts] == ["release-version"]
    assert "version 4 of Agent/bot does not exist" in run.first.verdicts[0].message
    assert world.writes() == []


@pytest.mark.rule("R1")
def test_git_may_name_the_version_that_this_run_makes(sandbox: Sandbox) -> None:
    world = World(sandbox.url, "found-next", Path("-"))
    old = desired_of("bot", {"definition": PROMPT})
    desired = desired_of("bot", by_hand((2, 100), model="gpt-4.1"))
    world.seed({"name": "bot", "versions": [version(1, old.form, mark_text("ours", old, 1))]})

    run = apply(inputs(world, [desired]))

    assert [outcome.step for outcome in run.outcomes] == ["pin-traffic", "add-version", "patch-details"]
    assert world.traffic("bot") == [("2", 100)]
    assert not plan(inputs(world, [desired])).steps


@pytest.mark.rule("R1", "R4")
def test_a_number_that_git_guessed_too_high_gets_no_traffic(sandbox: Sandbox) -> None:
    """Not every service looks whether the version of a rule is there."""
    world = World(sandbox.url, "found-guessed", Path("-"))
    old = desired_of("bot", {"definition": PROMPT})
    desired = desired_of("bot", by_hand((3, 100), model="gpt-4.1"))
    world.seed({"name": "bot", "versions": [version(1, old.form, mark_text("ours", old, 1))]})
    world.settings(validation="off")

    runs = [apply(inputs(world, [desired])) for _ in range(2)]

    assert [run.exit_code for run in runs] == [ExitCode.PARTLY, ExitCode.REFUSED]
    assert runs[0].outcomes[-1].reason == "NotActive"
    assert world.traffic("bot") == [("1", 100)]


@pytest.mark.rule("M4")
@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"definition": PROMPT, "release": {"version": "1"}}, id="pinned"),
        pytest.param({"definition": PROMPT, "card": {"version": "1", "skills": []}}, id="card"),
        pytest.param({"definition": PROMPT, "state": "disabled"}, id="state"),
        pytest.param(by_hand((1, 100)), id="by-hand"),
        pytest.param({"definition": PROMPT, "metadata": {}}, id="mark"),
    ],
)
def test_an_edit_does_not_hide_whose_agent_it_is(sandbox: Sandbox, spec: dict[str, object]) -> None:
    """The other owner's mark is on the version below, which nothing but this made worth reading."""
    world = World(sandbox.url, f"found-owner-{'-'.join(spec)}-{'release' in spec}", Path("-"))
    desired = desired_of("bot", spec)
    versions = [version(number, desired.form, None) for number in (1, 3)]
    versions.insert(1, version(2, desired.form, mark_text("stranger", desired, 2)))
    world.seed({"name": "bot", "versions": versions})
    world.forget()

    run = apply(inputs(world, [desired], mark_equal="metadata" in spec))

    assert ([verdict.rule for verdict in run.first.verdicts], world.writes()) == (["owner"], [])


@pytest.mark.rule("M4", "R2")
@pytest.mark.parametrize("whose", ["ours", "stranger"])
def test_a_version_that_is_gone_does_not_hide_the_others(sandbox: Sandbox, whose: str) -> None:
    """The traffic leads to what somebody deleted; looking for it again and again kept the rest unread."""
    world = World(sandbox.url, f"found-hidden-{whose}", Path("-"))
    desired = desired_of("bot", {"definition": PROMPT})
    other = {"definition": {**PROMPT, "model": "gpt-4.1"}}
    versions = [
        version(1, desired.form, mark_text(whose, desired, 1)),
        version(2, other, None),
        version(3, other, None),
    ]
    world.seed({"name": "bot", "versions": versions, "selector": selector((2, 100))})
    world.call("DELETE", "/agents/bot/versions/2")
    world.forget()

    run = apply(inputs(world, [desired], take_traffic=True))

    if whose == "ours":
        assert (world.writes(), world.traffic("bot")) == (["PATCH /agents/bot"], [("1", 100)])
    else:
        assert ([verdict.rule for verdict in run.first.verdicts], world.writes()) == (["owner"], [])


@pytest.mark.rule("R2", "R4")
@pytest.mark.parametrize("outcome", ["active", "failed"])
def test_what_is_made_anew_for_a_refused_selector_is_made_once(sandbox: Sandbox, outcome: str) -> None:
    """The active version below it cannot be released; every attempt made one more while it was starting."""
    world = World(sandbox.url, f"found-runaway-{outcome}", Path("-"))
    desired = desired_of("bot", {"definition": hosted(), "release": {"strategy": "direct"}})
    other = {"definition": hosted("r.example.com/bot:other")}
    ours = version(1, desired.form, mark_text("ours", desired, 1))
    world.seed({"name": "bot", "versions": [ours, version(2, other, None)]})
    world.settings(provisioning={"delay_s": 0.1, "outcome": outcome}, dedupe={"hosted": "off"})
    world.settings(selector={"hosted": "refused"})

    runs = [apply(inputs(world, [desired])) for _ in range(2)]

    assert world.numbers("bot") == ["3", "2", "1"]
    code = ExitCode.DONE if outcome == "active" else ExitCode.PARTLY
    assert [run.exit_code for run in runs] == [code, code]


@pytest.mark.rule("R4")
def test_whatever_is_still_starting_is_waited_for() -> None:
    """Hosted agents start; where the service says so of another kind, nothing moves to it either."""
    desired = desired_of("bot", {"definition": PROMPT})
    other = version(1, {"definition": {**PROMPT, "model": "gpt-4.1"}}, mark_text("older", desired, 1))
    starting = version(2, desired.form, mark_text("ours", desired, 2), status="creating")
    live = live_of({"name": "bot", "versions": [other, starting], "selector": selector((1, 100))})

    steps = of(decided(live, desired), desired.key).steps

    assert [step.name for step in steps] == ["await-active", "move-traffic"]


@pytest.mark.rule("P2", "R7")
@pytest.mark.parametrize("first", ["failed", "active"])
def test_a_run_that_waits_deletes_nothing_that_was_not_shown(sandbox: Sandbox, first: str) -> None:
    """What was the latest, or the last good one before it, is neither any more once the new one is there."""
    world = World(sandbox.url, f"found-unshown-{first}", Path("-"))
    release = {"keep": 0, "keep_days": 0, "strategy": "direct"}
    old, new = (
        desired_of("bot", {"definition": hosted(f"r.example.com/bot:{tag}"), "release": release})
        for tag in (1, 2)
    )
    versions = [version(number, old.form, mark_text("older", old, number)) for number in (1, 2)]
    versions[1]["status"] = first
    world.seed({"name": "bot", "versions": versions})
    world.settings(provisioning={"delay_s": 0.1}, dedupe={"hosted": "off"})

    run = apply(inputs(world, [new]))

    shown, *later = ({step.text for step in plan.steps if "old" in step.text} for plan in run.plans)
    assert (run.exit_code, [unseen - shown for unseen in later if unseen - shown]) == (ExitCode.DONE, [])
    assert later


@pytest.mark.rule("P2", "R7")
def test_an_approval_is_of_the_versions_that_were_named() -> None:
    """Another old version, or traffic to another number, was covered by the step's name alone."""
    release = {"keep": 0, "keep_days": 0, "strategy": "pinned"}
    old, new = (
        desired_of("bot", {"definition": hosted(f"r.example.com/bot:{tag}"), "release": release})
        for tag in (1, 2)
    )
    versions = [version(number, old.form, mark_text("older", old, number)) for number in (1, 2, 3, 4)]
    made = [*versions, version(5, new.form, mark_text("ours", new, 5))]
    three = live_of({"name": "bot", "versions": versions[1:], "selector": selector((4, 100))})
    four = live_of({"name": "bot", "versions": versions, "selector": selector((4, 100))})
    after = live_of({"name": "bot", "versions": made[1:], "selector": selector((4, 100))})

    approval = approve(decided(three, new))

    assert [step.name for step in of(decided(three, new), new.key).steps].count("retire-version") == 1
    assert approval.covers(of(decided(after, new), new.key)), "the new version has a number by now"
    assert not approval.covers(of(decided(four, new), new.key)), "version 1 was not to be deleted"

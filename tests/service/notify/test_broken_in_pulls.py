"""Pull requests that break a Project file, or come while one is broken: the others are planned still."""

from __future__ import annotations

from typing import Any

from tests.service.notify.reviews import Review, in_line
from tests.world import World, manifest, prompt

NO_YAML = "apiVersion: reconciler/v1\nkind: Project\nmetadata: {name: two}\nspec: {oops\n"


def two(world: World, **more: Any) -> None:
    """A second Project, in a folder of its own."""
    spec = {"endpoint": f"{world.endpoint}-two", "owner": "other#two", "resources": ["*.yaml"], **more}
    world.write("two/two.yaml", manifest("Project", "two", spec))


async def both(review: Review) -> None:
    """A base with two Projects."""
    two(review.world)
    review.world.project(resources=["agents/*.yaml"])
    await in_line(review.world)


async def test_the_problems_of_one_and_the_plan_of_the_other_are_told(review: Review) -> None:
    await both(review)
    two(review.world, sync={"mode": "enforced"})
    review.world.agent("billing")
    review.open(7)

    comment = await review.look()

    assert "+ prod/Agent/billing will be created" in comment
    assert "### `two`" in comment
    assert "two/two.yaml:" in comment
    assert "spec.sync.mode" in comment
    assert "is removed" not in comment
    assert [inputs.project for inputs in review.examined] == ["prod"]
    (state, said), *_ = reversed(review.said())
    assert state == "failure"
    assert said.startswith("Invalid: two/two.yaml:")


async def test_a_file_that_cannot_be_named_goes_by_its_path(review: Review) -> None:
    await both(review)
    review.world.write("two/two.yaml", NO_YAML)
    review.world.agent("billing")
    review.open(7)

    comment = await review.look()

    assert "### `two/two.yaml`" in comment
    assert "two/two.yaml:5:1" in comment
    assert "+ prod/Agent/billing will be created" in comment
    assert "is removed" not in comment


async def test_nothing_is_planned_to_go_that_the_broken_project_may_want(review: Review) -> None:
    review.world.agent("billing")
    await both(review)
    review.world.write("two/two.yaml", NO_YAML)
    review.world.remove("agents/billing.yaml")
    review.open(7)

    comment = await review.look()

    assert "will be destroyed" not in comment
    assert "two/two.yaml:5:1 cannot be read and may make another Project want any agent" in comment


async def test_what_is_broken_on_both_sides_is_untouched(review: Review) -> None:
    review.world.project(resources=["agents/*.yaml"])
    await in_line(review.world)
    two(review.world, sync={"mode": "enforced"})
    review.world.commit("Break two")
    review.world.agent("billing")
    review.open(7)

    comment = await review.look()

    assert "+ prod/Agent/billing will be created" in comment
    assert "two.yaml" not in comment
    assert "1 Project untouched." in comment
    assert review.said()[-1][0] == "success"


async def test_a_request_that_repairs_a_project_reads_nothing_from_its_endpoint(review: Review) -> None:
    review.environ = {"URL": f"{review.world.endpoint}-two"}
    review.world.project(resources=["agents/*.yaml"])
    await in_line(review.world)
    settings: dict[str, Any] = {"endpoint": {"$value": "URL"}, "values_from_env": ["URL"]}
    two(review.world, **settings, sync={"mode": "enforced"})
    review.world.commit("Break two")
    two(review.world, **settings)
    review.world.agent("triage", prompt("Answer at length."))
    review.open(7)

    comment = await review.look()

    assert "- `two` cannot be read without this: nothing is read from its endpoint" in comment
    assert "two.yaml" not in comment, "it may take the variables that the broken file asks for"
    assert [inputs.project for inputs in review.examined] == ["prod"]


async def test_a_request_that_takes_a_broken_project_away_says_so(review: Review) -> None:
    await both(review)
    review.world.write("two/two.yaml", NO_YAML.replace("{oops", "{endpoint: 7}"))
    review.world.commit("Break two")
    review.world.remove("two/two.yaml")
    review.open(7)

    assert "- `two` is removed: its agents stay as they are" in await review.look()

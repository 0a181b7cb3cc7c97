"""Statuses on pull requests: what they say, on which commit, how often, and that a merge can rely on them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import structlog
from aiohttp import web

from reconciler.desired import DesiredProject
from reconciler.errors import ServiceUnreachable, SourceUnreachable, Unauthorized
from reconciler.loading import Loaded
from reconciler.report import ProjectReport
from reconciler.service.notify.beside_pulls import Tries
from reconciler.service.notify.forges import ForgeDown, ForgeError, PullRequest, Status
from tests.service.notify.forge_servers import COMMIT
from tests.service.notify.places import Place
from tests.service.notify.reviews import Review, in_line
from tests.world import prompt

PLANNING = ("pending", "Planning")
ADDED = ("success", "Plan: 1 to add, 0 to change, 0 to destroy.")
BAD = "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: bad}\nspec: 7\n"


async def opened(review: Review, *, home: str = "acme/agents") -> str:
    """A request that adds one agent to a base that was applied."""
    await in_line(review.world)
    review.world.agent("billing")
    return review.open(7, home=home)


async def test_the_head_of_a_request_shows_that_it_is_planned_and_then_its_plan(review: Review) -> None:
    head = await opened(review)

    await review.look()

    assert review.said() == [PLANNING, ADDED]
    (commit, shown) = review.server.statuses[-1]
    assert (commit, shown["context"]) == (head, "reconciler/plan/agents")
    assert shown["target_url"] == "https://r.example.com/"
    assert review.counted == ["status sent", "comment sent", "status sent"]


async def test_each_status_is_sent_once(review: Review) -> None:
    await opened(review)

    for _ in range(3):
        await review.look()

    assert review.said() == [PLANNING, ADDED]


async def test_a_head_that_moved_gets_its_own(review: Review) -> None:
    await opened(review)
    await review.look()
    review.world.agent("billing", prompt("Other words."))
    review.world.agent("second")
    review.open(7)

    await review.look()

    assert review.said() == [PLANNING, ("success", "Plan: 2 to add, 0 to change, 0 to destroy.")]


async def test_a_request_that_touches_no_manifest_succeeds(review: Review) -> None:
    await in_line(review.world)
    review.world.write("README.md", "words")
    review.open(7)

    await review.look()

    assert review.said()[-1] == ("success", "No changes: no Project that is looked after here changes.")


async def test_a_refused_plan_fails(review: Review) -> None:
    for number in range(10):
        review.world.agent(f"a{number}")
    await in_line(review.world)
    review.world.remove(*(f"agents/a{number}.yaml" for number in range(10)))
    review.open(7)

    await review.look()

    state, said = review.said()[-1]
    assert state == "failure"
    assert said.startswith("Refused: 10 changes by ")


async def test_invalid_manifests_fail_with_the_first_problem(review: Review) -> None:
    await in_line(review.world)
    review.world.write("agents/bad.yaml", BAD)
    review.world.write("agents/worse.yaml", BAD.replace("bad", "worse"))
    review.open(7)

    await review.look()

    state, said = review.said()[-1]
    assert state == "failure"
    assert said.startswith("Invalid: 2 problems, the first: agents/bad.yaml:4:")
    assert len(said) <= 140


async def test_problems_that_an_apply_would_skip_fail_as_well(review: Review) -> None:
    review.world.project(sync={"on_invalid": "skip"})
    await in_line(review.world)
    review.world.write("agents/bad.yaml", BAD)
    review.world.agent("billing")
    review.open(7)

    await review.look()

    assert review.said()[-1][0] == "failure"
    assert review.said()[-1][1].startswith("Invalid: agents/bad.yaml:4:")


async def test_a_project_file_that_cannot_be_read_fails(review: Review) -> None:
    await in_line(review.world)
    review.world.write("prod.yaml", "kind: Project\napiVersion: [\n")
    review.open(7)

    await review.look()

    state, said = review.said()[-1]
    assert state == "failure"
    assert "prod.yaml" in said


async def test_a_project_that_nobody_could_look_at_is_named(review: Review) -> None:
    await in_line(review.world)
    review.world.project(endpoint="http://127.0.0.1:9/api/projects/other")
    review.open(7)

    await review.look()

    assert review.said()[-1] == (
        "success",
        "No changes: no Project that is looked after here changes. 1 Project to look at: see the comment.",
    )


@pytest.mark.parametrize("error", [ServiceUnreachable, Unauthorized])
async def test_a_plan_that_could_not_be_made_is_an_error_until_it_can(review: Review, error: Any) -> None:
    await opened(review)

    async def away(project: DesiredProject, loaded: Loaded) -> ProjectReport:
        raise error("cannot list agents of prod", hint="Check the network.")

    for _ in range(3):
        await review.look(examine=away)
    assert review.said() == [PLANNING, ("error", "Error: cannot list agents of prod")]
    assert review.counted == ["status sent", "comment sent", "status sent"]

    await review.look()
    assert len(review.said()) == 2, "a pause lies between the tries"
    review.clock[0] += 61
    await review.look()

    assert review.said()[-1] == ADDED
    assert "1 to add" in await review.look()


async def test_a_repository_that_is_away_leaves_it_pending(review: Review) -> None:
    await opened(review)

    async def away(ref: str) -> Loaded:
        raise SourceUnreachable("cannot read the repository")

    with pytest.raises(SourceUnreachable):
        await review.look(load=away)
    assert review.said() == [PLANNING]

    await review.look()
    assert review.said() == [PLANNING, ADDED]


async def test_a_plan_of_another_commit_is_no_status_of_the_head(review: Review) -> None:
    await opened(review)
    listed = list(review.server.pulls)
    review.world.agent("billing")
    review.world.agent("second")
    review.open(7)
    moved = review.server.pulls
    review.server.pulls = listed

    comment = await review.look()
    assert "2 to add" in comment
    assert review.said() == [PLANNING]

    review.server.pulls = moved
    await review.look()
    assert review.said()[-1] == ("success", "Plan: 2 to add, 0 to change, 0 to destroy.")


async def test_a_request_from_a_fork_says_that_it_is_not_planned(review: Review) -> None:
    await opened(review, home="stranger/agents")

    await review.look()
    await review.look()

    said = "Not planned: it comes from a fork; push its branch here for a plan"
    assert review.said() == [("pending", said)]
    assert review.examined == []


async def test_a_fork_of_the_same_commit_takes_no_status_away(review: Review) -> None:
    head = await opened(review)
    await review.look()
    review.server.pull(8, head, home="stranger/agents")

    await review.look()

    assert review.said() == [PLANNING, ADDED]


async def test_a_status_that_is_refused_for_good_stops_nothing(review: Review) -> None:
    await opened(review)
    review.server.no_statuses = 422

    with structlog.testing.capture_logs() as logs:
        assert "1 to add" in await review.look()
        review.clock[0] += 3600
        await review.look()

    assert len(review.examined) == 1
    assert review.counted == ["status failed", "comment sent", "status failed"]
    told = [entry for entry in logs if entry["event"] == "status_not_set"]
    assert told[0]["number"] == 7
    assert "HTTP 422, no statuses today" in told[0]["error"]
    assert told[0]["hint"]


async def test_a_forge_that_wants_a_pause_gets_the_comment_and_later_the_status(review: Review) -> None:
    await opened(review)
    review.server.no_statuses = 429

    assert "1 to add" in await review.look()
    assert len(review.server.paths("POST")) == 2, (
        "one status, one comment: no further status after the refusal"
    )

    review.server.no_statuses = 0
    review.clock[0] += 599
    await review.look()
    assert review.said() == []
    review.clock[0] += 2
    await review.look()
    assert review.said()[-1] == ADDED
    assert len(review.server.comments) == 1


def test_pauses_between_tries_grow_to_a_quarter_of_an_hour() -> None:
    tries, now, pauses = Tries(), 1_000.0, []
    for _ in range(6):
        tries.failed("7", now)
        pauses.append(next(pause for pause in range(2_000) if tries.due("7", now + pause)))
        now += pauses[-1]

    assert pauses == [60, 120, 240, 480, 900, 900]
    assert tries.due("8", now)
    tries.keep({"8"})
    assert tries.due("7", now)


STATUS = Status("reconciler/plan/agents", "success", "Plan: 1 to add", "https://r.example.com/")
SENT: dict[str, tuple[str, dict[str, Any]]] = {
    "github": (
        f"/api/v3/repos/acme/agents/statuses/{COMMIT}",
        {
            "state": "success",
            "context": "reconciler/plan/agents",
            "description": "Plan: 1 to add",
            "target_url": "https://r.example.com/",
        },
    ),
    "gitlab": (
        f"/api/v4/projects/acme%2Fplatform%2Fagents/statuses/{COMMIT}",
        {
            "state": "success",
            "name": "reconciler/plan/agents",
            "description": "Plan: 1 to add",
            "target_url": "https://r.example.com/",
            "ref": "b4",
        },
    ),
    "azure-devops": (
        "/acme/Team%20A/_apis/git/repositories/agents/pullRequests/4/statuses?api-version=7.1",
        {
            "state": "succeeded",
            "context": {"genre": "reconciler/plan", "name": "agents"},
            "description": "Plan: 1 to add",
            "targetUrl": "https://r.example.com/",
            "iterationId": 1,
        },
    ),
}


async def only(place: Place) -> PullRequest:
    (pull,) = await place.forge.pull_requests("main")
    return pull


async def test_it_goes_where_the_forge_lets_a_rule_require_it(place: Place) -> None:
    place.server.pull(4, COMMIT)

    await place.forge.set_pull_status(await only(place), STATUS)

    asked = place.server.asked[-1]
    assert (asked.method, asked.path, asked.body) == ("POST", *SENT[place.provider])


@pytest.mark.parametrize("state", ["pending", "success", "failure", "error"])
async def test_every_state_is_taken_twice(place: Place, state: Any) -> None:
    place.server.pull(4, COMMIT)
    for _ in range(2):
        await place.forge.set_pull_status(await only(place), replace(STATUS, state=state))


@pytest.mark.parametrize("place", ["github", "azure-devops"], indirect=True)
async def test_a_fork_has_a_status_where_the_forge_keeps_it_here(place: Place) -> None:
    place.server.pull(4, COMMIT, home="stranger/agents")

    await place.forge.set_pull_status(await only(place), STATUS)

    assert [commit for commit, _ in place.server.statuses] == [COMMIT]


@pytest.mark.parametrize("place", ["gitlab"], indirect=True)
async def test_gitlab_is_sent_nothing_for_a_fork(place: Place) -> None:
    place.server.pull(4, COMMIT, home=8)
    pull = await only(place)
    place.server.asked.clear()

    await place.forge.set_pull_status(pull, STATUS)

    assert place.server.asked == []


@pytest.mark.parametrize("place", ["gitlab"], indirect=True)
async def test_gitlab_adds_it_to_the_pipeline_of_the_request(place: Place) -> None:
    place.server.pull(4, COMMIT)
    shown = place.server.pipeline(COMMIT, "refs/merge-requests/4/head", branch="b4")
    place.server.pipeline(COMMIT, "another-branch")

    await place.forge.set_pull_status(await only(place), replace(STATUS, state="pending"))
    await place.forge.set_pull_status(await only(place), STATUS)

    assert [body["pipeline_id"] for _, body in place.server.statuses] == [shown["id"]] * 2
    assert shown["jobs"] == {"reconciler/plan/agents": "success"}


@pytest.mark.parametrize("place", ["gitlab"], indirect=True)
async def test_gitlab_gets_no_pipeline_that_waits_beside_that_of_its_ci(place: Place) -> None:
    place.server.pull(4, COMMIT)
    await place.forge.set_pull_status(await only(place), replace(STATUS, state="pending"))
    assert place.server.pipelines == []

    place.server.pipeline(COMMIT, "b4")
    await place.forge.set_pull_status(await only(place), STATUS)

    assert [pipeline["jobs"] for pipeline in place.server.pipelines] == [
        {"reconciler/plan/agents": "success"}
    ]


@pytest.mark.parametrize("place", ["gitlab"], indirect=True)
async def test_a_pipeline_of_the_merged_result_is_left_alone(place: Place) -> None:
    place.server.pull(4, COMMIT)
    merged = place.server.pipeline("f" * 40, "refs/merge-requests/4/merge", branch="b4")

    await place.forge.set_pull_status(await only(place), STATUS)

    assert merged["jobs"] == {}
    assert place.server.pipelines[-1]["ref"] == "b4"


@pytest.mark.parametrize("place", ["azure-devops"], indirect=True)
async def test_azure_devops_gets_it_on_the_iteration_that_was_planned(place: Place) -> None:
    place.server.pull(4, COMMIT)
    pull = await only(place)
    place.server.iterations[4] = ["1" * 40, COMMIT, "2" * 40]

    await place.forge.set_pull_status(pull, STATUS)

    (asked,) = (asked for asked in place.server.asked if asked.method == "POST")
    assert asked.body["iterationId"] == 2


@pytest.mark.parametrize("place", ["azure-devops"], indirect=True)
async def test_an_iteration_that_is_not_there_yet_is_waited_for(place: Place) -> None:
    place.server.pull(4, COMMIT)
    pull = await only(place)
    place.server.iterations[4] = ["1" * 40]

    with pytest.raises(ForgeDown) as caught:
        await place.forge.set_pull_status(pull, STATUS)

    assert str(caught.value) == "pull request 4 of Azure DevOps has no iteration for 1f7ec5eb2c4a yet"
    assert caught.value.hint == "It is tried again by itself."
    assert place.server.statuses == []


@pytest.mark.parametrize("place", ["gitlab", "azure-devops"], indirect=True)
@pytest.mark.parametrize("body", ["[]", "{}", "null", '{"value": [7]}', '{"head_pipeline": 7}'])
async def test_a_strange_answer_is_an_error_of_ours(place: Place, body: str) -> None:
    place.server.pull(4, COMMIT)
    pull = await only(place)
    place.server.next = [web.Response(text=body, content_type="application/json")]

    with pytest.raises(ForgeError) as caught:
        await place.forge.set_pull_status(pull, STATUS)

    assert caught.value.hint

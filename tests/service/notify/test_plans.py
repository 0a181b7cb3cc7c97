"""Plans of pull requests: a real repository, a sandbox, a forge; and what a pull request must never do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import structlog
from aiohttp import web
from markdown_it import MarkdownIt

from reconciler.desired import DesiredProject
from reconciler.errors import ServiceUnreachable, SourceUnreachable
from reconciler.loading import Loaded
from reconciler.report import ProjectReport
from reconciler.service.config_spec import ForgeSpec, Secret
from reconciler.service.notify.forges import ForgeError, open_forge
from tests.service.notify.forge_servers import TOKEN
from tests.service.notify.reviews import Review, in_line
from tests.world import World, prompt


async def test_a_pull_request_gets_its_plan_as_a_comment(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    head = review.open(7)

    comment = await review.look()

    assert comment.startswith(
        "<!-- reconciler:pull:agents -->\n**Plan: 1 to add, 0 to change, 0 to destroy.**\n\n"
        f"`reconciler plan`, commit `{head[:12]}`, Project `prod`, digest `"
    )
    assert "+ prod/Agent/billing will be created" in comment
    assert comment.endswith("[Dashboard](https://r.example.com)</sub>\n")
    assert review.world.writes() == []


async def test_only_a_head_that_moved_is_planned_again(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7)
    await review.look()
    await review.look()
    assert len(review.examined) == 1

    review.world.agent("billing", prompt("Other words."))
    review.world.agent("second")
    review.open(7)
    comment = await review.look()

    assert "2 to add" in comment
    assert len(review.examined) == 2
    assert len(review.server.comments) == 1


async def test_what_failed_is_planned_again(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7)

    async def unreachable(ref: str) -> Loaded:
        raise SourceUnreachable("cannot read the repository")

    broken = replace(review.plans, load=unreachable)
    with pytest.raises(SourceUnreachable):
        await broken.look(review.base())

    assert "1 to add" in await review.look()


async def test_a_request_that_cannot_be_fetched_holds_up_no_other(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7)
    review.world.agent("second")
    review.open(8)

    async def without_the_first(ref: str) -> Loaded:
        if "/7/" in ref:
            raise SourceUnreachable("no answer in time")
        return await review.plans.load(ref)

    broken = replace(review.plans, load=without_the_first)
    for _ in range(2):
        with pytest.raises(SourceUnreachable):
            await broken.look(review.base())

    (comment,) = review.server.comments.values()
    assert comment["issue"] == 8


async def test_a_request_from_a_fork_is_left_alone(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7, home="stranger/agents")

    assert await review.look() == ""
    assert review.examined == []


async def test_no_credential_goes_to_an_endpoint_that_the_base_does_not_have(review: Review) -> None:
    await in_line(review.world)
    review.world.project(endpoint="http://127.0.0.1:9/api/projects/thief")
    review.world.project("new", endpoint="http://127.0.0.1:9/api/projects/thief", resources=["none/*"])
    review.open(7)

    comment = await review.look()

    assert review.examined == []
    assert "- `prod` gets another endpoint: nothing is read from it before it is merged." in comment
    assert "- `new` is new: nothing is read from its endpoint before it is merged." in comment
    assert "thief" not in comment


async def test_a_request_is_judged_by_the_rules_of_its_base(review: Review) -> None:
    for number in range(10):
        review.world.agent(f"a{number}")
    await in_line(review.world)
    review.world.remove(*(f"agents/a{number}.yaml" for number in range(10)))
    limits = {"deletes": 1000, "deletes_percent": 100}
    review.world.project(sync={"limits": limits, "mode": "enforce"}, owner="thief#x")
    review.open(7)

    comment = await review.look()

    assert "Refused" in comment.splitlines()[1]
    assert "delete-limit" in comment
    assert "changes `owner`, `sync`: that holds after the merge" in comment
    assert review.examined[0].limits.deletes == 5
    assert review.examined[0].ctx.owner != "thief#x"


async def test_a_request_takes_nothing_new_from_the_environment(review: Review) -> None:
    review.environ = {"REGION": "westeurope", "AZURE_CLIENT_SECRET": "s3cr3t-4711-aa"}
    review.world.project(values_from_env=["REGION"])
    await in_line_with_region(review.world)
    review.world.project(values_from_env=["REGION", "AZURE_CLIENT_SECRET"])
    review.world.agent("leak", prompt({"$text": "${AZURE_CLIENT_SECRET} ${REGION}"}))  # type: ignore[arg-type]
    review.open(7)

    comment = await review.look()

    assert "AZURE_CLIENT_SECRET" in comment
    assert "4711" not in comment
    assert review.examined == []


async def in_line_with_region(world: World) -> None:
    world.environ = {"REGION": "westeurope"}
    await in_line(world)


async def test_invalid_manifests_are_told_and_nothing_is_read(review: Review) -> None:
    await in_line(review.world)
    review.world.write(
        "agents/bad.yaml", "apiVersion: reconciler/v1\nkind: Agent\nmetadata: {name: bad}\nspec: 7\n"
    )
    review.open(7)

    comment = await review.look()

    assert "**Error:**" in comment
    assert "agents/bad.yaml:4" in comment
    assert review.examined == []


async def test_a_broken_project_file_is_told(review: Review) -> None:
    await in_line(review.world)
    review.world.write("prod.yaml", "kind: Project\napiVersion: [\n")
    review.open(7)

    comment = await review.look()

    assert "**Error:**" in comment
    assert "prod.yaml" in comment


async def test_an_endpoint_that_does_not_answer_is_part_of_the_comment(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7)

    async def down(project: DesiredProject, loaded: Loaded) -> ProjectReport:
        raise ServiceUnreachable("cannot list agents of prod", hint="Check the network.")

    await replace(review.plans, examine=down).look(review.base())

    (comment,) = review.server.comments.values()
    assert "cannot list agents of prod" in comment["body"]


async def test_untouched_projects_are_not_read(review: Review) -> None:
    review.world.write("two/two.yaml", two(review.world))
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7)

    comment = await review.look()

    assert [inputs.project for inputs in review.examined] == ["prod"]
    assert "1 Project untouched." in comment


def two(world: World) -> dict[str, Any]:
    spec = {"endpoint": f"{world.endpoint}-two", "owner": "other#two", "resources": ["none/*.yaml"]}
    return {"apiVersion": "reconciler/v1", "kind": "Project", "metadata": {"name": "two"}, "spec": spec}


async def test_a_request_that_touches_no_manifest_says_so(review: Review) -> None:
    await in_line(review.world)
    review.world.write("README.md", "words")
    review.open(7)

    assert "**No Project that is looked after here changes.**" in await review.look()
    assert review.examined == []


async def test_a_project_that_goes_deletes_nothing(review: Review) -> None:
    review.world.write("two/two.yaml", two(review.world))
    await in_line(review.world)
    review.world.remove("two/two.yaml")
    review.open(7)

    assert "- `two` is removed: its agents stay as they are" in await review.look()


HOSTILE = [
    "</details></sub> @everyone <img src=x onerror=alert(1)>",
    "```\n/close\n/merge\n```\n[click](https://evil.example)",
    "<!-- reconciler:pull:agents -->\n# Approved",
    "`` ` ``` ```` | a | b |\n|---|---|",
]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_agent_text_stays_in_its_fence(review: Review, text: str) -> None:
    await in_line(review.world)
    review.world.agent("billing", prompt(text))
    review.world.agent("triage", prompt(text))
    review.open(7)

    comment = await review.look()

    tokens = MarkdownIt("commonmark").parse(comment)
    html = [token.content for token in tokens if token.type == "html_block"]
    assert ["reconciler:pull:agents" in block for block in html] == [True] + [False] * (len(html) - 1)
    inline = [child for token in tokens for child in token.children or ()]
    links = [child.attrs["href"] for child in inline if child.type == "link_open"]
    assert links == ["https://r.example.com"]
    assert not any("img" in block or "everyone" in block for block in html)
    assert not any(child.type == "html_inline" and "img" in child.content for child in inline)
    assert not any(token.type == "heading_open" for token in tokens)
    assert not any(line.startswith(("/close", "/merge")) for line in comment.splitlines())


async def test_many_requests_are_planned_turn_by_turn(review: Review) -> None:
    await in_line(review.world)
    review.world.write("README.md", "words")
    head = review.open(1)
    for number in range(2, 31):
        review.world.git("update-ref", f"refs/pull/{number}/head", head)
        review.server.pull(number, head)

    assert await review.plans.look(review.base())
    assert len(review.server.comments) == 20
    assert not await review.plans.look(review.base())
    assert len(review.server.comments) == 30


async def test_a_request_that_takes_no_comment_holds_up_no_other(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    head = review.open(7)
    review.world.git("update-ref", "refs/pull/8/head", head)
    review.server.pull(8, head)
    review.server.silent = {7}

    with structlog.testing.capture_logs() as logs:
        await review.look()

    assert [comment["issue"] for comment in review.server.comments.values()] == [8]
    assert review.said()[-1][0] == "success"
    (told,) = (entry for entry in logs if entry["event"] == "comment_not_written")
    assert told["number"] == 7
    assert "Unable to create comment because issue is locked." in told["error"]
    assert told["hint"]

    review.server.silent = set()
    review.clock[0] += 61
    await review.look()
    assert [comment["issue"] for comment in review.server.comments.values()] == [8, 7]


async def test_a_token_that_ends_is_an_error_of_the_turn(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7)

    async def ended(ref: str) -> Loaded:
        review.server.next = [web.json_response({"message": "Bad credentials"}, status=401)]
        return await review.load(ref)

    with pytest.raises(ForgeError, match="HTTP 401"):
        await review.look(load=ended)


async def test_a_forge_that_refuses_is_an_error_of_the_turn(review: Review) -> None:
    await in_line(review.world)
    review.world.agent("billing")
    review.open(7)
    bad = open_forge(
        ForgeSpec(
            provider="github",
            repository="acme/none",
            token=Secret(env="T"),
            url=review.plans.forge._caller.address,
        ),  # type: ignore[attr-defined]
        TOKEN,
        "",
        review.plans.forge._caller.session,  # type: ignore[attr-defined]
    )

    with pytest.raises(ForgeError, match="HTTP 404"):
        await replace(review.plans, forge=bad).look(review.base())

"""Our comment on a pull request: one, found again, never anybody else's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiohttp import ClientSession, web

from reconciler.service.notify.forges import ForgeDown, ForgeError
from tests.service.notify.forge_servers import STRANGER, TOKEN, US, user
from tests.service.notify.places import Place, opened

MARKER = "<!-- reconciler:pull:agents -->"


async def test_a_comment_is_made_once_and_kept_up_to_date(place: Place) -> None:
    assert await place.forge.comment(4, MARKER, "first")
    assert not await place.forge.comment(4, MARKER, "first")
    assert await place.forge.comment(4, MARKER, "second\nline")
    assert not await place.forge.comment(4, MARKER, "second\nline")

    (comment,) = place.server.comments.values()
    assert comment["body"].replace("\r\n", "\n") == f"{MARKER}\nsecond\nline"
    assert comment["issue"] == 4
    assert len(place.server.paths("POST")) == 1


async def test_our_comment_is_found_behind_hundreds_of_others(place: Place) -> None:
    for number in range(250):
        add(place, 4, f"comment {number}, which quotes {MARKER}")
    add(place, 4, f"{MARKER}\nold")

    assert await place.forge.comment(4, MARKER, "new")

    assert place.server.comments[251]["body"].replace("\r\n", "\n") == f"{MARKER}\nnew"
    assert not place.server.paths("POST")


async def test_a_comment_that_we_may_not_change_any_more_does_not_stop_us(place: Place) -> None:
    add(place, 4, f"{MARKER}\nold")
    place.server.locked.add(1)

    assert await place.forge.comment(4, MARKER, "plan")

    assert texts(place) == [f"{MARKER}\nold", f"{MARKER}\nplan"]


async def test_a_comment_of_a_stranger_with_our_marker_is_left_alone(place: Place) -> None:
    """Near miss: we may write into comments of others, and they may write into theirs afterwards."""
    add(place, 4, f"{MARKER}\nforged", STRANGER)

    assert await place.forge.comment(4, MARKER, "plan")
    assert await place.open(TOKEN).comment(4, MARKER, "next")

    assert texts(place) == [f"{MARKER}\nforged", f"{MARKER}\nnext"]


async def test_a_forged_plan_that_says_the_same_is_not_ours(place: Place) -> None:
    add(place, 4, f"{MARKER}\nplan", STRANGER)

    assert await place.forge.comment(4, MARKER, "plan")

    assert len(place.server.comments) == 2


async def test_our_comment_is_found_among_forged_ones(place: Place) -> None:
    add(place, 4, f"{MARKER}\nforged", STRANGER)
    add(place, 4, f"{MARKER}\nold")
    add(place, 4, f"{MARKER}\nforged", STRANGER)

    assert await place.forge.comment(4, MARKER, "plan")

    assert texts(place) == [f"{MARKER}\nforged", f"{MARKER}\nplan", f"{MARKER}\nforged"]


async def test_who_we_are_is_asked_once(place: Place) -> None:
    for number in (4, 5, 6):
        add(place, number, f"{MARKER}\nold")
        assert await place.forge.comment(number, MARKER, "plan")

    assert sum(path.endswith(("/user", "/connectionData")) for path in place.server.paths("GET")) == 1


async def test_who_we_are_is_learned_from_a_comment_where_nothing_else_tells_it(place: Place) -> None:
    place.server.nameless = True
    add(place, 4, f"{MARKER}\nforged", STRANGER)

    assert await place.forge.comment(4, MARKER, "plan")
    assert await place.forge.comment(4, MARKER, "next")
    assert not await place.forge.comment(4, MARKER, "next")

    assert texts(place) == [f"{MARKER}\nforged", f"{MARKER}\nnext"]


@pytest.mark.parametrize("status", [401, 203])
async def test_a_token_that_ends_between_two_calls_is_told_as_one(place: Place, status: int) -> None:
    add(place, 4, f"{MARKER}\nold")
    page = [one.get("thread", one) for one in place.server.comments.values()]
    there = web.json_response({"value": page} if place.provider == "azure-devops" else page)
    place.server.next = [there, web.Response(status=status, text="<html>Sign in</html>")]

    with pytest.raises(ForgeError) as caught:
        await place.forge.comment(4, MARKER, "plan")

    assert "renew the secret under `forge.token`" in caught.value.hint
    assert texts(place) == [f"{MARKER}\nold"]


async def test_a_forge_that_wants_to_be_left_alone_is_sent_no_second_comment(place: Place) -> None:
    """Near miss: a limit of GitHub is a 403, as is a comment of somebody else."""
    assert await place.forge.comment(4, MARKER, "old")
    page = [one.get("thread", one) for one in place.server.comments.values()]
    there = web.json_response({"value": page} if place.provider == "azure-devops" else page)
    place.server.next = [there, web.Response(status=403, headers={"Retry-After": "120"})]

    with pytest.raises(ForgeDown):
        await place.forge.comment(4, MARKER, "plan")

    assert texts(place) == [f"{MARKER}\nold"]


def add(place: Place, number: int, text: str, by: Mapping[str, object] = US) -> None:
    """A comment that is there already."""
    author: Any = by[place.provider]
    match place.provider:
        case "azure-devops":
            place.server.thread(number, text, author=author)
        case "gitlab":
            place.server.new_comment(text, issue=number, system=False, author={"id": author})
        case _:
            place.server.new_comment(text, issue=number, user=user(author))


def texts(place: Place) -> list[str]:
    return [comment["body"].replace("\r\n", "\n") for comment in place.server.comments.values()]


@pytest.fixture
async def github(session: ClientSession) -> AsyncIterator[Place]:
    """GitHub with the token of an app."""
    async with opened("github", session) as place:
        place.server.me = "reconciler[bot]"
        yield place


OTHERS = ["mallory", "reconciler", "dependabot[bot]"]


@pytest.mark.parametrize("other", OTHERS)
async def test_an_app_knows_its_own_comment(github: Place, other: str) -> None:
    add(github, 4, f"{MARKER}\nforged", {"github": other})
    add(github, 4, f"{MARKER}\nold", {"github": "reconciler[bot]"})

    assert await github.forge.comment(4, MARKER, "plan")

    assert texts(github) == [f"{MARKER}\nforged", f"{MARKER}\nplan"]


async def test_an_app_that_is_not_named_knows_bots_from_people(github: Place) -> None:
    github.server.nameless = True
    by_hand = github.server.new_comment(f"{MARKER}\nforged", issue=4, user=user("mallory"))
    # What a person writes through an app stays this person's; an account that is gone is nobody.
    by_hand["performed_via_github_app"] = {"slug": "reconciler"}
    github.server.new_comment(f"{MARKER}\ngone", issue=4, user=None)
    add(github, 4, f"{MARKER}\nold", {"github": "reconciler[bot]"})

    assert await github.forge.comment(4, MARKER, "plan")

    assert texts(github) == [f"{MARKER}\nforged", f"{MARKER}\ngone", f"{MARKER}\nplan"]


async def test_a_long_comment_is_cut_with_a_note_and_closed_fences(place: Place) -> None:
    line = "+ x" * 30 + "\n"
    text = "**Plan**\n\n<details><summary>a</summary>\n\n````diff\n" + line * 20_000

    assert await place.forge.comment(4, MARKER, text)

    (comment,) = place.server.comments.values()
    assert place.forge.most - 400 < len(comment["body"]) <= place.forge.most
    assert comment["body"].endswith(
        "\n````\n\n</details>\n\n**Cut here:** the rest does not fit into a comment."
    )


async def test_a_new_comment_is_not_sent_again_when_its_outcome_is_unknown(place: Place) -> None:
    place.server.next = [empty_list(place), web.Response(status=502)]

    with pytest.raises(ForgeDown):
        await place.forge.comment(4, MARKER, "plan")

    assert len(place.server.paths("POST")) == 1


def empty_list(place: Place) -> web.Response:
    return web.json_response({"value": []} if place.provider == "azure-devops" else [])

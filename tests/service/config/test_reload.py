"""A configuration that changes while the service runs: what is taken over, and what is refused."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import structlog

from reconciler import log as logs
from reconciler.errors import SourceError
from reconciler.service.config import Config, Configured, load_config
from reconciler.service.config_spec import Secret
from reconciler.service.config_watch import Watching, changes, watch
from reconciler.service.metrics import Metrics
from tests.service.config.files import SOURCE, loaded, secret_file, write

HOOK = "  webhook: {provider: github, secret: {file: hook}}\n"


@pytest.fixture(autouse=True)
def lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], list[dict[str, object]]]]:
    """What was logged so far, as it is printed; the log is as it was afterwards."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers, raised = root.handlers[:], logging.raiseExceptions
    logs.set_up_service("info", str)

    def told() -> list[dict[str, object]]:
        return [json.loads(line) for line in capsys.readouterr().err.splitlines()]

    yield told
    structlog.reset_defaults()
    root.handlers[:], logging.raiseExceptions = handlers, raised
    root.setLevel(level)
    logs.mask_with(str)


@dataclass
class Heard:
    """A service that hears of configurations; `refuses` makes it unable to take them."""

    configs: list[Config] = field(default_factory=list)
    refuses: bool = False

    async def changed(self, config: Config) -> None:
        if self.refuses:
            raise SourceError("cannot use the cache folder", hint="Free its disk.")
        self.configs.append(config)


@dataclass
class Place:
    """A configuration file that is watched."""

    path: Path
    configured: Configured
    heard: Heard
    watching: Watching
    metrics: Metrics

    def write(self, text: str) -> None:
        write(self.path.parent, text)

    async def looks(self, count: int = 2) -> None:
        for _ in range(count):
            await self.watching.look()

    def counted(self, result: str) -> float:
        value = self.metrics.registry.get_sample_value("reconciler_config_reloads_total", {"result": result})
        return value or 0.0


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    secret_file(tmp_path, "hook", "hook-secret-1")
    config = loaded(tmp_path, SOURCE + HOOK)
    configured, heard, metrics = Configured(config), Heard(), Metrics()
    watching = Watching(configured, {}, heard.changed, metrics)
    await watching.look(at_once=True)
    return Place(config.path, configured, heard, watching, metrics)


async def test_a_change_is_taken_over_once_two_looks_see_the_same(place: Place, lines) -> None:
    place.write(SOURCE + HOOK + "  interval: 5m\n")
    await place.looks(1)
    assert place.heard.configs == []

    await place.looks(1)

    assert [config.spec.sources[0].interval for config in place.heard.configs] == ["5m"]
    assert place.configured.current is place.heard.configs[0]
    assert place.counted("reloaded") == 1
    (told,) = lines()
    assert (told["event"], told["changed"]) == ("config_reloaded", ["sources.agents"])
    await place.looks(3)
    assert len(place.heard.configs) == 1


async def test_a_file_that_is_still_being_written_is_waited_for(place: Place) -> None:
    for text in ("store: ", SOURCE, SOURCE + "ba", SOURCE + HOOK + "log: debug\n"):
        place.write(text)
        await place.looks(1)
    assert place.heard.configs == []
    assert place.configured.rejected == ()

    await place.looks(1)

    assert place.heard.configs[0].spec.log == "debug"


async def test_a_bad_change_keeps_what_holds_and_says_everything_once(place: Place, lines) -> None:
    before = place.configured.current
    place.write(SOURCE.replace("store", "stroe") + "  interval: soon\n")

    await place.looks(5)

    assert place.configured.current is before
    assert place.heard.configs == []
    assert len(place.configured.rejected) == 3
    assert any("Did you mean `store`?" in problem for problem in place.configured.rejected)
    assert place.configured.rejected_at > 0
    assert place.counted("rejected") == 1
    (told,) = lines()
    assert told["event"] == "config_rejected"
    assert told["problems"] == list(place.configured.rejected)

    place.write(SOURCE + HOOK)
    await place.looks()
    assert place.configured.rejected == ()
    assert place.heard.configs == []
    (told,) = lines()
    assert (told["event"], told["changed"]) == ("config_reloaded", [])


async def test_a_file_that_goes_away_changes_nothing(place: Place) -> None:
    place.path.unlink()

    await place.looks()

    assert place.configured.current.spec.sources
    assert "cannot read the configuration" in place.configured.rejected[0]


async def test_a_secret_that_rotates_on_disk_is_read_again_and_both_are_masked(place: Place, lines) -> None:
    secret_file(place.path.parent, "hook", "hook-secret-2")

    await place.looks()

    assert place.configured.current.secret(Secret(file="hook")) == "hook-secret-2"
    assert len(place.heard.configs) == 1
    structlog.get_logger().info("old hook-secret-1 and new hook-secret-2")
    told = lines()
    assert told[0]["changed"] == ["secrets"]
    assert told[1]["event"] == "old *** and new ***"


async def test_a_mounted_configmap_is_swapped_by_its_link(tmp_path: Path) -> None:
    for name, text in (("..1", SOURCE), ("..2", SOURCE + "log: error\n")):
        (tmp_path / name).mkdir()
        write(tmp_path / name, text)
        os.utime(tmp_path / name / "reconciler.yaml", (1, 1))
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "reconciler.yaml"
    path.symlink_to("..data/reconciler.yaml")
    configured, heard = Configured(load_config(path, {})), Heard()
    watching = Watching(configured, {}, heard.changed)
    await watching.look(at_once=True)

    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").rename(tmp_path / "..data")
    await watching.look()
    await watching.look()

    assert configured.current.spec.log == "error"


async def test_a_sign_in_stays_until_the_restart_that_closes_the_address(tmp_path: Path) -> None:
    """The file is right: at the address that it names, everybody is on this machine."""
    secret_file(tmp_path, "tokens", "ci: sha256:" + "0" * 64 + "\n")
    signed = "auth: {tokens: tokens, roles: [{role: admin, tokens: [ci]}]}\n"
    config = loaded(tmp_path, SOURCE + "listen: 0.0.0.0:8080\n" + signed)
    configured, heard = Configured(config), Heard()
    place = Place(config.path, configured, heard, Watching(configured, {}, heard.changed), Metrics())
    await place.watching.look(at_once=True)

    place.write(SOURCE + "listen: 127.0.0.1:8080\n")
    await place.looks()

    assert place.configured.current is config
    (problem,) = place.configured.rejected
    assert "`auth` was removed while the service listens at 0.0.0.0:8080" in problem
    assert "Restart it" in problem

    place.write(SOURCE + "listen: 127.0.0.1:8080\n" + signed)
    await place.looks()

    assert place.configured.rejected == ("`listen` was changed, which takes a restart",)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        pytest.param("", "listen: 127.0.0.1:9999\n", "listen", id="listen"),
        pytest.param("", "limits: {reconciles: 2}\n", "limits.reconciles", id="workers"),
        pytest.param("store.db", "other.db", "store", id="store"),
    ],
)
async def test_what_takes_a_restart_is_named_and_the_rest_holds(
    place: Place, old: str, new: str, name: str
) -> None:
    before = place.configured.current.spec
    text = SOURCE.replace(old, new) if old else SOURCE + new
    place.write(text + "retention: {runs: 7}\n")

    await place.looks()

    spec = place.configured.current.spec
    assert (spec.listen, spec.store, spec.limits) == (before.listen, before.store, before.limits)
    assert spec.retention.runs == 7
    assert place.configured.rejected == (f"`{name}` was changed, which takes a restart",)


async def test_what_the_service_cannot_take_is_refused(place: Place) -> None:
    before = place.configured.current
    place.heard.refuses = True
    place.write(SOURCE + "log: error\n")

    await place.looks()

    assert place.configured.current is before
    assert place.configured.rejected == ("cannot use the cache folder (Free its disk.)",)


async def test_a_missing_secret_that_appears_later_needs_no_second_change(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write(SOURCE + "  credentials: {token: {file: later}}\n")
    await place.looks()
    assert "there is no file" in place.configured.rejected[0]
    secret_file(place.path.parent, "later", "token-of-test")

    place.watching._tried_at -= 31
    await place.looks(1)

    assert place.configured.rejected == ()
    assert place.configured.current.secret(Secret(file="later")) == "token-of-test"


def test_changes_are_named_by_source(tmp_path: Path) -> None:
    two = SOURCE + "- name: others\n  url: https://github.com/acme/others.git\n"
    one, other = loaded(tmp_path, SOURCE), loaded(tmp_path, two + "log: debug\n")

    assert changes(one, other) == ("sources.others", "log")
    assert changes(one, one) == ()


@asynccontextmanager
async def watched(configured: Configured, heard: Heard) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(watch(configured, {}, heard.changed, stop))
    yield
    stop.set()
    await asyncio.wait_for(task, 5)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.02)


async def test_the_watch_notices_by_itself_and_ends_with_the_stop(tmp_path: Path) -> None:
    configured, heard = Configured(loaded(tmp_path, SOURCE)), Heard()
    # Between the reading at the start and the first look.
    write(tmp_path, SOURCE + "log: error\n")
    async with watched(configured, heard):
        await until(lambda: len(heard.configs) == 1)
        write(tmp_path, SOURCE + "log: debug\n")
        await until(lambda: len(heard.configs) == 2)
    assert configured.current.spec.log == "debug"


async def test_sighup_reloads_at_once(tmp_path: Path) -> None:
    configured, heard = Configured(loaded(tmp_path, SOURCE)), Heard()
    async with watched(configured, heard):
        await asyncio.sleep(0.1)
        write(tmp_path, SOURCE + "log: error\n")
        began = asyncio.get_running_loop().time()
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: bool(heard.configs))
        assert asyncio.get_running_loop().time() - began < 0.9

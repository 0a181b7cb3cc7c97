"""The service's log: one JSON object a line, with the run in each, and no secret or control character."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

SECRET = "s3cret-value-of-a-hook"
HOSTILE = "\x1b[31mred\r\nlevel=error \u202egnp.exe \x00\ud800"


def logged(code: str, level: str = "info", **environ: str) -> list[dict[str, object]]:
    """What a program writes to standard error, each line read as JSON."""
    before = (
        "import logging, structlog\n"
        "from reconciler.log import set_up_service\n"
        "from reconciler.masking import Masker\n"
        f"SECRET, HOSTILE = {SECRET!r}, {HOSTILE!r}\n"
        f"set_up_service({level!r}, Masker([SECRET]).text)\n"
        "log = structlog.get_logger('reconciler')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", before + textwrap.dedent(code)],
        capture_output=True,
        check=False,
        env={**os.environ, **environ},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b""
    assert SECRET.encode() not in done.stderr
    assert not [byte for byte in done.stderr if byte < 0x20 and byte != 0x0A]
    return [json.loads(line) for line in done.stderr.decode("ascii").splitlines()]


def test_each_line_of_a_run_has_its_id_also_those_of_libraries_and_threads() -> None:
    lines = logged(
        """
        import asyncio
        async def run(name):
            with structlog.contextvars.bound_contextvars(run=name, project="prod"):
                log.info("run_began")
                await asyncio.sleep(0.01)
                await asyncio.to_thread(log.info, "in_thread")
                logging.getLogger("uvicorn.error").info("from %s", "uvicorn")
                logging.getLogger("azure.identity").warning("no token")
        async def main():
            await asyncio.gather(run("a"), run("b"))
        asyncio.run(main())
        log.info("outside")
        """
    )

    for run in ("a", "b"):
        mine = [line for line in lines if line.get("run") == run]
        assert [line["event"] for line in mine] == ["run_began", "in_thread", "from uvicorn", "no token"]
        assert {line["project"] for line in mine} == {"prod"}
    assert [line["event"] for line in lines if "run" not in line] == ["outside"]
    assert {"level", "timestamp", "event"} <= lines[0].keys()


def test_a_line_of_ours_and_one_of_a_library_are_never_glued_together() -> None:
    lines = logged(
        """
        import sys
        from concurrent.futures import ThreadPoolExecutor
        sys.setswitchinterval(1e-6)
        library = logging.getLogger("uvicorn.error")
        def some(number):
            for _ in range(100):
                log.info("ours", number=number)
                library.info("theirs")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(some, range(8)))
        """
    )

    assert [line["event"] for line in lines].count("ours") == 800
    assert len(lines) == 1600


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("log.info('x', token=SECRET)", id="field"),
        pytest.param("log.info('x ' + SECRET)", id="event"),
        pytest.param("log.info('x', deep={'a': [{SECRET: (SECRET,)}]})", id="nested"),
        pytest.param("log.info('x', error=ValueError(SECRET))", id="error"),
        pytest.param("log.info('x', url='https://u:' + 'hunter2hunter2' + '@host/')", id="url"),
        pytest.param("log.info('x', long=SECRET * 1000)", id="long"),
        pytest.param("logging.getLogger('lib').warning('got %s', SECRET)", id="library"),
        pytest.param("logging.getLogger('lib').warning('x', extra={'secret': SECRET})", id="extra"),
        pytest.param(
            "\ntry:\n    raise ValueError(SECRET)\nexcept ValueError:\n    log.exception('broke')\n",
            id="traceback",
        ),
        pytest.param("log.info(HOSTILE, field=HOSTILE, **{HOSTILE: HOSTILE})", id="control"),
        pytest.param("logging.getLogger('lib').error(HOSTILE)", id="library-control"),
    ],
)
def test_no_secret_and_no_control_character_reaches_a_line(code: str) -> None:
    """`logged` looks at the bytes."""
    (line,) = logged(code)

    assert "hunter2" not in json.dumps(line)
    for value in line.values():
        assert "\x1b" not in str(value)
        assert "\u202e" not in str(value)


def test_lines_are_ascii_whatever_the_locale() -> None:
    (line,) = logged("log.info('Grüße')", LC_ALL="C", PYTHONIOENCODING="ascii")

    assert line["event"] == "Grüße"


def test_numbers_that_json_does_not_have_are_text() -> None:
    (line,) = logged("log.info('x', a=float('nan'), b=float('inf'), c=1.5, d=None, e=True)")

    assert (line["a"], line["b"], line["c"], line["d"], line["e"]) == ("nan", "inf", 1.5, None, True)


def test_a_library_that_formats_wrongly_prints_no_traceback() -> None:
    assert logged("logging.getLogger('lib').warning('%d', 'a')\nlog.info('next')")[-1]["event"] == "next"


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_the_level_holds_for_our_own_lines(level: str, count: int) -> None:
    lines = logged("log.debug('a'); log.info('b'); log.warning('c'); log.error('d')", level)

    assert len([line for line in lines if "logger" not in line]) == count


def test_requests_of_libraries_are_told_at_debug_only() -> None:
    code = "logging.getLogger('azure.core.pipeline').info('Request URL')"

    assert logged(code) == []
    assert len(logged(code, "debug")) == 1


def test_a_secret_that_changed_is_masked_from_then_on() -> None:
    (line,) = logged(
        """
        from reconciler.log import mask_with
        mask_with(Masker([SECRET, "rotated-secret"]).text)
        log.info("x", new="rotated-secret", old=SECRET)
        """
    )

    assert (line["new"], line["old"]) == ("***", "***")

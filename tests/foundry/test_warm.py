"""Importing the SDK for writes leaves out what no write needs, and takes nothing from who wants it later."""

from __future__ import annotations

import subprocess
import sys

import pytest


def said(program: str) -> str:
    """What a program prints that runs in a process of its own, where nothing is imported yet."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_writes_load_neither_openai_nor_storage_and_who_wants_them_later_gets_them() -> None:
    program = (
        "import sys\n"
        "from reconciler.foundry.warm import import_sdk\n"
        "import_sdk(); import_sdk()\n"
        "from azure.ai.projects.aio import AIProjectClient\n"
        "loaded = [name for name in sys.modules if name.startswith(('openai', 'azure.storage.blob'))]\n"
        "finders = [type(finder).__module__ for finder in sys.meta_path]\n"
        "import openai, azure.storage.blob as blob\n"
        "print(loaded, 'reconciler.foundry.warm' in finders, openai.AsyncOpenAI.__module__)\n"
        "print(blob.ContainerClient.from_container_url.__name__)\n"
    )
    assert said(program) == "[] False openai\nfrom_container_url"


def test_the_real_one_stays_where_it_was_imported_before() -> None:
    program = (
        "import openai\n"
        "from reconciler.foundry.warm import import_sdk\n"
        "import_sdk()\n"
        "from azure.ai.projects.aio import _patch\n"
        "print(_patch.AsyncOpenAI is openai.AsyncOpenAI)\n"
    )
    assert said(program) == "True"


@pytest.mark.parametrize("name", ["OpenAI", "DefaultHttpxClient"])
def test_what_was_left_out_says_so_when_somebody_uses_it(name: str) -> None:
    program = (
        "from reconciler.foundry.warm import import_sdk\n"
        "import_sdk()\n"
        "from azure.ai.projects import _patch\n"
        "try:\n"
        f"    _patch.{name}()\n"
        "except RuntimeError as error:\n"
        "    print(error)\n"
    )
    assert said(program) == f"{name} is not loaded: import its package before the reconciler's SDK"

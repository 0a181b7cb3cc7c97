"""Importing the SDK ahead of the first write: it takes a while, and a run without writes never does."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Final

_OPENAI: Final = "openai"
_one_at_a_time = threading.Lock()


def import_sdk() -> None:
    """Import what writes need, for a thread of its own.

    The SDK imports the client of OpenAI for one method that nothing here calls. That is two thirds of the
    time and 24 of 45 MB, for as long as the process lives, so it gets empty classes instead; who imports
    `openai` later gets the real one. Measured with azure-ai-projects 2.10 and openai 2.
    """
    with _one_at_a_time, _without_openai():
        for name in ("azure.ai.projects.aio", "azure.ai.projects.models"):
            importlib.import_module(name)


@contextmanager
def _without_openai() -> Iterator[None]:
    """Empty classes for every name of the package while the block runs, unless it was imported before."""
    if _OPENAI in sys.modules or "azure.ai.projects" in sys.modules:
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if _is_openai(name)]:
            del sys.modules[name]


def _is_openai(name: str) -> bool:
    return name == _OPENAI or name.startswith(_OPENAI + ".")


class _Empty:
    """Stands for a class that was not loaded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"{type(self).__name__} is not loaded: import openai before the reconciler")


class _Hollow(ModuleType):
    """A module that has every name, and nothing behind any."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Empty,), {})


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self, is_package=True) if _is_openai(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Hollow(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass

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

# What the SDK imports for methods that nothing here calls: its client of OpenAI, and uploads of data sets.
_LEFT_OUT: Final = ("openai", "azure.storage.blob")
_one_at_a_time = threading.Lock()


def import_sdk() -> None:
    """Import what writes need, for a thread of its own.

    Some of what the SDK imports is two thirds of the time and of 45 MB, for as long as the process lives, and
    is never called from here. It gets empty classes instead of them; who imports the packages later gets the
    real ones. Measured with azure-ai-projects 2.10.
    """
    with _one_at_a_time, _lean():
        for name in ("azure.ai.projects.aio", "azure.ai.projects.models"):
            importlib.import_module(name)


@contextmanager
def _lean() -> Iterator[None]:
    """Empty classes for every name of the packages while the block runs; not of those imported before."""
    names = [name for name in _LEFT_OUT if name not in sys.modules]
    if "azure.ai.projects" in sys.modules or not names:
        yield
        return
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in finder.made:
            sys.modules.pop(name, None)


class _Empty:
    """Stands for a class that was not loaded."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(
            f"{type(self).__name__} is not loaded: import its package before the reconciler's SDK"
        )


class _Hollow(ModuleType):
    """A module that has every name, and nothing behind any."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Empty,), {})


class _Finder(MetaPathFinder, Loader):
    """Finds hollow modules instead of some packages."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self.made: list[str] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if any(fullname == name or fullname.startswith(f"{name}.") for name in self._names):
            return ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        self.made.append(spec.name)
        return _Hollow(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass

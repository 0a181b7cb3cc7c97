"""Git's own settings of the person who runs the tests are out of reach."""

from __future__ import annotations

import pygit2
import pytest
from pygit2.enums import ConfigLevel


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(tmp_path_factory):
    levels = (ConfigLevel.SYSTEM, ConfigLevel.XDG, ConfigLevel.GLOBAL)
    before = {level: pygit2.settings.search_path[level] for level in levels}
    empty = str(tmp_path_factory.mktemp("no-settings"))
    for level in levels:
        pygit2.settings.search_path[level] = empty
    yield
    for level, path in before.items():
        pygit2.settings.search_path[level] = path

"""Lists of any length come page by page: no query of a list sorts or reads all of a large table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from reconciler.service.records import Page
from reconciler.service.store.database import Query, Row
from reconciler.service.store.schema import MIGRATIONS, PREFIX
from reconciler.service.store.sql import SqlStore
from reconciler.service.store.sqlite import SqliteDatabase


class Planned(SqliteDatabase):
    """A database that notes how it would answer, beside answering."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, MIGRATIONS, prefix=PREFIX)
        self.plans: list[str] = []

    async def read(self, *queries: Query) -> list[list[Row]]:
        explained = [Query(f"EXPLAIN QUERY PLAN {query.sql}", query.values) for query in queries]
        self.plans += [row[-1] for plan in await super().read(*explained) for row in plan]
        return await super().read(*queries)


LISTS: dict[str, Callable[[SqlStore], Awaitable[Any]]] = {
    "projects": lambda store: store.projects(),
    "projects found": lambda store: store.projects(search="a", source="b", health="c"),
    "projects, worst first": lambda store: store.projects(worst_first=True),
    "projects found, worst first": lambda store: store.projects(search="a", source="b", worst_first=True),
    "projects by health, worst first": lambda store: store.projects(health="c", worst_first=True),
    "resources, worst first": lambda store: store.resources("p", worst_first=True, page=Page(50, 5000)),
    "resources found, worst first": lambda store: store.resources("p", search="a", worst_first=True),
    "resources by health, worst first": lambda store: store.resources("p", health="b", worst_first=True),
    "resources by kind, worst first": lambda store: store.resources("p", kind="c", worst_first=True),
    "resources": lambda store: store.resources("p", page=Page(50, 5000)),
    "resources found": lambda store: store.resources("p", search="a"),
    "resources by health": lambda store: store.resources("p", health="failed"),
    "resources by kind": lambda store: store.resources("p", kind="hosted"),
    "resources by all": lambda store: store.resources("p", search="a", health="b", kind="c"),
    "healths": lambda store: store.health_counts("p"),
    "runs": lambda store: store.runs(),
    "runs of a project": lambda store: store.runs(project="p"),
    "runs of a source": lambda store: store.runs(source="s"),
    "runs by result": lambda store: store.runs(result="failed"),
    "runs by all": lambda store: store.runs(project="p", source="s", result="failed"),
    "events": lambda store: store.events(),
    "events of a project": lambda store: store.events(project="p"),
    "events of a resource": lambda store: store.events(project="p", resource="Agent/a"),
    "events by type": lambda store: store.events(type="drift"),
    "events by severity": lambda store: store.events(severity="error"),
    "events followed": lambda store: store.events(after_id=5),
    "events of a project followed": lambda store: store.events(project="p", after_id=5),
    "audits": lambda store: store.audits(),
    "audits of a project": lambda store: store.audits(project="p"),
    "audits of a person": lambda store: store.audits(actor="ada"),
}


@pytest.mark.parametrize("name", LISTS)
async def test_no_list_is_sorted_when_it_is_asked_for(name: str, tmp_path: Path) -> None:
    database = Planned(tmp_path / "store.db")
    await database.open()
    await LISTS[name](SqlStore(database))
    assert database.plans
    assert not [plan for plan in database.plans if "TEMP B-TREE" in plan]
    await database.close()

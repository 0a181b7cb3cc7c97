"""The cursor page of the service: `limit`, `order`, `after`, `before`; and the keyset SQL behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from reconciler.sandbox.errors import invalid
from reconciler.sandbox.wire import Call, dumps

Position = tuple[object, object]
"""Where an item stands in the default order: two sort keys, ascending, unique together."""


@dataclass(frozen=True)
class Page:
    """What a client asked for. `order` desc is the default order of every list: newest first."""

    limit: int
    order: Literal["asc", "desc"]
    after: str | None
    before: str | None


def page_of(call: Call) -> Page:
    """The paging parameters of a request; the page size is cut to the `page_size_cap` setting.

    Raises:
        ApiError: 400, `limit` is not 1 to 100 or `order` neither asc nor desc.

    Source: servicepatterns.tsp of the service: 1 to 100, 20 by default.
    """
    text = call.query.get("limit", "20")
    # int() also takes signs, spaces, underscores and other scripts' digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= 100):
        raise invalid("Query parameter 'limit' must be a whole number from 1 to 100.", "limit")
    order = call.query.get("order", "desc")
    if order not in ("asc", "desc"):
        raise invalid("Query parameter 'order' must be asc or desc.", "order")
    limit = min(int(text), call.settings["page_size_cap"])
    return Page(
        limit,
        "asc" if order == "asc" else "desc",
        call.query.get("after") or None,
        call.query.get("before") or None,
    )


@dataclass(frozen=True)
class Keyset:
    """SQL for one page over two columns: a condition with its arguments, and an order with a limit.

    One row more than asked for is read, to know whether there is more. `reverse` says that the rows come
    nearest to the cursor first and have to be turned round.
    """

    where: str
    args: tuple[object, ...]
    tail: str
    reverse: bool
    limit: int


def keyset(page: Page, columns: tuple[str, str], locate: Callable[[str], Position | None]) -> Keyset:
    """The SQL of `page`. `columns` are two sort expressions, ascending in the default order.

    Raises:
        ApiError: 400, the cursor names an item that the list does not know.
    """
    first, second = columns
    forward = page.order == "desc"
    ahead, behind = (">", "<") if forward else ("<", ">")
    conditions: list[str] = ["1"]
    args: list[object] = []
    for cursor, name, sign in ((page.after, "after", ahead), (page.before, "before", behind)):
        if cursor is not None:
            position = locate(cursor)
            if position is None:
                raise invalid(f"The cursor '{cursor}' does not exist in this list.", name)
            conditions.append(f"({first}, {second}) {sign} (?, ?)")
            args += position
    # Only `before`: the page that ends right before the cursor, so it is read backwards from there.
    reverse = page.before is not None and page.after is None
    direction = "ASC" if forward != reverse else "DESC"
    tail = f"ORDER BY {first} {direction}, {second} {direction} LIMIT {page.limit + 1}"
    return Keyset(" AND ".join(conditions), tuple(args), tail, reverse, page.limit)


def cut(rows: list[tuple[str, bytes]], keys: Keyset) -> tuple[list[tuple[str, bytes]], bool]:
    """The rows of the page in list order, and whether there are more behind them."""
    more = len(rows) > keys.limit
    rows = rows[: keys.limit]
    if keys.reverse:
        rows.reverse()
    return rows, more


def list_body(rows: Sequence[tuple[str, bytes]], more: bool, *, key: str = "data") -> bytes:
    """The list envelope around bodies that are JSON already; `rows` are (cursor id, body).

    An empty page has neither `first_id` nor `last_id`: a pager that follows `last_id` alone ends there.
    """
    if not rows:
        return dumps({key: [], "has_more": False, "object": "list"})
    joined = b",".join([body for _, body in rows])
    ends = b',"first_id":%b,"last_id":%b' % (dumps(rows[0][0]), dumps(rows[-1][0]))
    return b'{"%b":[%b]%b,"has_more":%b,"object":"list"}' % (
        key.encode(),
        joined,
        ends,
        b"true" if more else b"false",
    )

"""Words, differences and drawings: pure, so tables and laws."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from reconciler.service.actions import ROLES
from reconciler.service.api_operations import OPERATIONS, Param
from reconciler.service.records import WORST_FIRST, AuditRecord, EventRecord, RunRecord
from reconciler.service.views_models import EdgeView, FieldView, GraphView, NodeView
from reconciler.service.web import asking, wording
from reconciler.service.web.drawing import NODE_HEIGHT, NODE_WIDTH, drawing
from reconciler.service.web.reports import run_report
from reconciler.service.web.sides import Row, sides

NOW = datetime(2027, 1, 15, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.0004, "1 ms"),
        (0.04, "40 ms"),
        (0.094, "94 ms"),
        (0.096, "0.1 s"),
        (0.44, "0.4 s"),
        (9.96, "10 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (600, "10 min"),
        (3599.6, "1 h"),
        (8_100, "2 h 15 min"),
        (86_400, "1 d"),
        (100_000, "1 d 3 h"),
        (9e6, "104 d"),
    ],
)
def test_a_length_of_time_is_said_in_two_units_at_most(seconds: float, text: str):
    assert wording.span(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "now"),
        (4, "now"),
        (-0.5, "now"),
        (59, "59 s ago"),
        (125, "2 min ago"),
        (7_300, "2 h ago"),
        (-170, "in 2 min"),
        (9e6, "104 d ago"),
    ],
)
def test_an_age_is_said_in_one_unit(seconds: float, text: str):
    assert wording.ago(NOW, NOW.timestamp() + seconds) == text


def test_health_is_shown_in_the_order_in_which_a_person_should_look():
    assert list(wording.HEALTH) == [str(health) for health in WORST_FIRST]


def test_every_event_every_deed_and_every_result_has_words():
    documented = {
        EventRecord: wording.EVENT_TYPES,
        AuditRecord: wording.DEEDS,
        RunRecord: wording.RESULT,
    }
    for record, words in documented.items():
        said = " ".join((record.__doc__ or "").split())
        assert [name for name in words if not re.search(rf"\b{name}\b", said)] == [], record
    (types,) = (param.choices for param in _params("events") if param.name == "type")
    (results,) = (param.choices for param in _params("runs") if param.name == "result")
    assert set(types) == set(wording.EVENT_TYPES)
    assert set(results) == set(wording.RESULT)
    assert set(ROLES) <= set(wording.DEEDS)


def _params(handler: str) -> tuple[Param, ...]:
    return next(each.params for each in OPERATIONS if each.handler == handler)


def test_no_moment_is_never():
    assert wording.ago(None, 0.0) == "never"


@pytest.mark.parametrize(
    ("address", "followed"),
    [
        ("https://login.example.com/out?x=1", True),
        ("http://127.0.0.1:80", True),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt:alert(1)", False),
        ("data:text/html,x", False),
        ("//evil.example", False),
        ("/path", False),
        ("https://user:pw@example.com", False),
        ("https://", False),
        ("https://a b", False),
        ("https://a\u202e.com", False),
        ("https://[::1", False),
        ("", False),
    ],
)
def test_only_web_addresses_become_links(address: str, followed: bool):
    assert wording.web_link(address) == (address if followed else "")


@given(st.text())
def test_what_steers_a_line_is_shown_and_not_done(text: str):
    shown = wording.printable(text)
    assert wording.printable(shown) == shown
    assert not any(ord(char) < 0x20 and char not in "\t\n" for char in shown)
    assert not any(char in shown for char in "\x7f\x9b\u202e\u2066\u200f\ufeff")
    assert all(char in shown for char in text if char.isalnum())


@given(st.text(alphabet=st.sampled_from("ab`<>&\"' ")))
def test_prose_is_escaped_whatever_it_quotes(text: str):
    shown = str(wording.prose(text))
    bare = shown.replace("<code>", "").replace("</code>", "")
    assert "<" not in bare
    assert ">" not in bare
    assert (
        shown.count("<code>")
        == shown.count("</code>")
        == (text.count("`") // 2 if text.count("`") % 2 == 0 else 0)
    )


@given(st.lists(st.text(max_size=20), min_size=1, max_size=4), st.text(max_size=20))
def test_a_path_of_ours_stays_ours(segments: list[str], value: str):
    path = wording.path_to(*segments, search=value)
    assert path.isascii()
    assert path.startswith("/")
    assert path.partition("?")[0].count("/") == len(segments)
    assert not any(char in path for char in " <>\"'\\#\x00\n")


@given(st.text(max_size=30), st.text(max_size=30))
def test_names_that_differ_are_different_elements(one: str, other: str):
    assert (wording.identifier(one) == wording.identifier(other)) is (one == other)


@pytest.mark.parametrize(
    ("serving", "shares"),
    [("", ()), ("7", (("7", 100),)), ("6:10,7:90", (("7", 90), ("6", 10))), ("x:y", (("x", 100),))],
)
def test_traffic_is_told_by_its_share(serving: str, shares: Any):
    assert wording.shares(serving) == shares


@given(st.dictionaries(st.sampled_from(["page", "search", "health"]), st.text(max_size=300)))
def test_any_query_asks_for_some_part_of_a_list(query: dict[str, str]):
    page = asking.page(QueryParams(query))
    assert page.limit == asking.ROWS
    assert 0 <= page.offset <= 5_000_000
    assert page.offset % page.limit == 0
    assert len(asking.filters(query, "search", "health")["search"]) <= 200


# Differences

lines = st.lists(st.text(alphabet=st.sampled_from("abc \t.,é"), max_size=30), min_size=1, max_size=30)


def joined(row: Row, side: str) -> str:
    return "".join(text for text, _ in getattr(row, side) or ())


@settings(max_examples=60)
@given(lines, lines)
def test_both_sides_of_a_difference_are_whole(desired: list[str], live: list[str]):
    field = FieldView(op="replace", path="/x", desired="\n".join(desired), live="\n".join(live))
    rows = sides(field).rows
    for side, wanted in (("desired", desired), ("live", live)):
        shown = [joined(row, side) for row in rows if getattr(row, side) is not None]
        folded = sum(row.folded for row in rows)
        assert len(shown) + folded == len(wanted)
        if not folded:
            assert shown == wanted
    assert all(row.same for row in rows) is (desired == live)
    for row in rows:
        if row.desired is not None and row.live is not None:
            assert row.same is (joined(row, "desired") == joined(row, "live"))


def test_words_that_differ_are_marked_inside_of_their_line():
    row = sides(
        FieldView(op="replace", path="/x", desired="Never promise a refund", live="Always promise a refund")
    ).rows[0]
    assert row.desired == (("Never", True), (" promise a refund", False))
    assert row.live == (("Always", True), (" promise a refund", False))


@pytest.mark.parametrize(
    ("op", "desired", "live", "columns"),
    [
        ("add", {"b": 1, "a": [True]}, None, ("desired",)),
        ("remove", None, "x", ("live",)),
        ("replace", None, "x", ("desired", "live")),
    ],
)
def test_a_side_without_a_value_is_empty(op: str, desired: Any, live: Any, columns: tuple[str, ...]):
    rows = sides(FieldView(op=op, path="/x", desired=desired, live=live)).rows
    for side in ("desired", "live"):
        assert any(getattr(row, side) is not None for row in rows) is (side in columns)


def test_a_book_in_a_field_is_cut_and_quickly():
    book = "\n".join(f"line {number} of a very long prompt" for number in range(60_000))
    found = sides(
        FieldView(op="replace", path="/x", desired=book, live=book.replace("of a", "of no") + "x" * 100_000)
    )
    assert len(found.rows) <= 300
    assert found.cut > 0


# Drawings

names = st.sampled_from([f"Agent/{letter}" for letter in "abcdefghij"])


@settings(max_examples=80)
@given(st.lists(st.tuples(names, names), max_size=25))
def test_every_reference_is_drawn_and_no_box_hides_another(pairs: list[tuple[str, str]]):
    edges = tuple(EdgeView(source=a, target=b) for a, b in sorted(set(pairs)))
    ids = sorted({name for pair in pairs for name in pair} | {"Agent/alone"})
    nodes = tuple(
        NodeView(id=name, kind="Agent", name=name[6:], health="in-sync", definition_kind="", there=True)
        for name in ids
    )
    drawn = drawing(GraphView(nodes=nodes, edges=edges, left_out=0))
    assert {(curve.source, curve.target) for curve in drawn.curves} == {(a, b) for a, b in pairs if a != b}
    assert sorted([box.node.id for box in drawn.boxes] + [node.id for node in drawn.alone]) == ids
    for one in drawn.boxes:
        assert 0 <= one.x <= drawn.width - NODE_WIDTH
        assert 0 <= one.y <= drawn.height - NODE_HEIGHT
        for other in drawn.boxes:
            apart = abs(one.x - other.x) >= NODE_WIDTH or abs(one.y - other.y) >= NODE_HEIGHT
            assert one is other or apart


def test_who_uses_stands_left_of_what_is_used():
    edges = tuple(EdgeView(source=a, target=b) for a, b in (("A/a", "A/b"), ("A/b", "A/c"), ("A/a", "A/c")))
    nodes = tuple(
        NodeView(id=f"A/{n}", kind="A", name=n, health="failed", definition_kind="", there=True)
        for n in "abc"
    )
    drawn = drawing(GraphView(nodes=nodes, edges=edges, left_out=0))
    assert [box.node.name for box in sorted(drawn.boxes, key=lambda box: box.x)] == ["a", "b", "c"]


# Reports

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["key", "action", "fields", "op", "steps"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["changes", "outcomes", "verdicts", "conditions", "other"]), json_values)
)
def test_a_report_of_another_release_is_shown_as_far_as_it_goes(report: dict[str, Any]):
    assert len(run_report(report).changes) <= 100


def test_a_report_of_a_whole_fleet_is_cut_and_says_so():
    change = {"key": "prod/Agent/x", "action": "create", "fields": []}
    found = run_report(
        {"changes": [change] * 250, "outcomes": [{"key": "prod/Agent/x", "step": "create"}] * 101}
    )
    assert len(found.changes) == 100
    assert found.more == {"changes": 150, "outcomes": 1}

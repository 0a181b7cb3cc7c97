"""Records of every kind: plain ones to vary, and any that could ever be."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from reconciler.service.records import (
    Approved,
    AuditRecord,
    EventRecord,
    Health,
    Pin,
    ProjectRecord,
    ResourceRecord,
    RunRecord,
    SourceRecord,
    Suspension,
)


def project(name: str = "prod", **more: Any) -> ProjectRecord:
    return ProjectRecord(**{"name": name, "source": "fleet", **more})


def resource(name: str = "Agent/triage", **more: Any) -> ResourceRecord:
    return ResourceRecord(**{"project": "prod", "resource": name, "health": Health.IN_SYNC, **more})


def run(id: str = "r1", **more: Any) -> RunRecord:
    given = {"project": "prod", "source": "fleet", "reasons": ("poll",), "commit": "c1", "started_at": 1.0}
    return RunRecord(**{"id": id, **given, **more})


def event(at: float = 1.0, **more: Any) -> EventRecord:
    given = {"type": "drift", "severity": "warning", "project": "prod", "message": "it differs"}
    return EventRecord(**{"at": at, **given, **more})


def audit(at: float = 1.0, **more: Any) -> AuditRecord:
    return AuditRecord(**{"at": at, "actor": "ada", "action": "sync", "project": "prod", **more})


# What YAML, people and services can put into a text, except for what no database takes.
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
times = st.floats(min_value=0, max_value=2**40)
counts = st.integers(min_value=0, max_value=2**31)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, json_values, max_size=3)
summaries = st.dictionaries(texts, counts, max_size=3)
words = st.lists(texts, max_size=3).map(tuple)

anything = st.one_of(
    st.builds(
        SourceRecord, texts, texts, texts, texts, texts, counts, times, times, times, texts, texts, words
    ),
    st.builds(
        ProjectRecord,
        name=texts,
        source=texts,
        endpoint=texts,
        interval_s=counts,
        health=st.sampled_from(Health),
        reason=texts,
        revision=texts,
        wanted=texts,
        summary=summaries,
        conditions=st.lists(objects, max_size=2).map(tuple),
        resources=counts,
        next_at=times,
        failures=counts,
        removed=st.booleans(),
    ),
    st.builds(Suspension, texts, texts, texts, times),
    st.builds(Pin, texts, texts, texts, texts, texts, times, times, texts),
    st.builds(Approved, texts, texts, texts, texts, times, times, texts, words),
    st.builds(
        ResourceRecord,
        project=texts,
        resource=texts,
        health=st.sampled_from(Health),
        reason=texts,
        labels=st.dictionaries(texts, texts, max_size=3),
        references=words,
        detail=objects,
        changed_at=times,
    ),
    st.builds(
        RunRecord,
        id=texts,
        project=texts,
        source=texts,
        reasons=words,
        commit=texts,
        started_at=times,
        ended_at=times,
        summary=summaries,
        replica=texts,
        report=objects | objects.map(lambda value: {"many": [value] * 300}),
    ),
)

"""Agents: prompt, hosted, workflow, external and voice."""

from __future__ import annotations

from reconciler.kinds.agent import compare, desire, ladder, normal, references, spec
from reconciler.kinds.agent.calls import AgentCall
from reconciler.kinds.kind import Kind

AGENT: Kind[AgentCall] = Kind(
    name="Agent",
    spec=spec.AgentSpec,
    desire=desire.desire,
    check=desire.check,
    upgrade=desire.upgrade,
    normal=lambda form: normal.normal(form, ""),
    looks=compare.looks,
    compare=compare.compare,
    steps=ladder.steps,
    fresh=ladder.fresh,
    references=references.references,
)

"""The counts that GitLab shows on a merge request (`artifacts: reports: terraform`)."""

from __future__ import annotations

import orjson

from reconciler.render.words import totals
from reconciler.report import RunReport


def gitlab(report: RunReport) -> str:
    """`{"create": 1, "update": 2, "delete": 0}`; adopted resources are updated ones."""
    total = totals(report.projects)
    counts = {
        "create": total.get("add", 0),
        "update": total.get("change", 0) + total.get("adopt", 0),
        "delete": total.get("destroy", 0),
    }
    return orjson.dumps(counts).decode() + "\n"

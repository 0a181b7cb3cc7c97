"""The report as SARIF 2.1.0, for code scanning: one result for each issue, at its line of the manifest."""

from __future__ import annotations

import hashlib
from typing import Any, Final
from urllib.parse import quote

import orjson

from reconciler import __version__
from reconciler.render.closing import closing
from reconciler.render.issues import Issue, issues
from reconciler.report import ExitCode, RunReport

# GitHub shows 5,000 results of an upload and refuses above 25,000.
_MOST: Final = 5_000
_UNNAMED: Final = "unnamed"
_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def sarif(report: RunReport) -> str:
    """One SARIF log with one run; errors come first, so that what is cut matters least."""
    found = issues(report)
    kept = found[:_MOST]
    if len(found) > _MOST:
        rest = f"{len(found) - _MOST + 1:,} more issues, see --format json"
        kept = [*kept[:-1], Issue("note", "cut", "", rest, "Read the JSON report for all of them.")]
    firsts = {issue.rule: issue for issue in reversed(kept)}
    rules = {rule: index for index, rule in enumerate(dict.fromkeys(issue.rule for issue in kept))}
    run = {
        "tool": {
            "driver": {
                "name": "reconciler",
                "version": __version__,
                "rules": [_rule(firsts[rule]) for rule in rules],
            }
        },
        "invocations": [
            {
                "executionSuccessful": report.exit_code is not ExitCode.ERROR,
                "exitCode": int(report.exit_code),
                "exitCodeDescription": closing(report),
            }
        ],
        "columnKind": "unicodeCodePoints",
        "results": [_result(issue, rules[issue.rule]) for issue in kept],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return orjson.dumps(log, option=orjson.OPT_INDENT_2).decode() + "\n"


def _rule(first: Issue) -> dict[str, Any]:
    """A rule as its first issue shows it: level and remedy."""
    return {
        "id": first.rule or _UNNAMED,
        "shortDescription": {"text": first.rule.replace("-", " ").strip() or _UNNAMED},
        "help": {"text": first.hint or "See the message of the result."},
        "defaultConfiguration": {"level": first.level},
    }


def _result(issue: Issue, index: int) -> dict[str, Any]:
    text = f"{issue.message}\n→ {issue.hint}" if issue.hint else issue.message
    what = "\n".join((issue.rule, issue.key, issue.file, issue.message)).encode()
    result: dict[str, Any] = {
        "ruleId": issue.rule or _UNNAMED,
        "ruleIndex": index,
        "level": issue.level,
        "message": {"text": text},
        "locations": [_location(issue)],
        "partialFingerprints": {"reconciler/v1": hashlib.sha256(what).hexdigest()},
    }
    return result


def _location(issue: Issue) -> dict[str, Any]:
    # Code scanning refuses a result without a file; what has none belongs to the repository as a whole.
    location: dict[str, Any] = {
        "physicalLocation": {
            "artifactLocation": {"uri": quote(issue.file, safe="/") or "."},
            "region": {"startLine": max(issue.line, 1), "startColumn": max(issue.column, 1)},
        }
    }
    if issue.key:
        location["logicalLocations"] = [{"fullyQualifiedName": issue.key, "kind": "resource"}]
    return location

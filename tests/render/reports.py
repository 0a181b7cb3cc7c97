"""Reports as runs make them: every action, drift, verdict, outcome and way to fail at least once."""

from __future__ import annotations

from typing import Any

from reconciler.errors import Place, Problem
from reconciler.fields import FieldDiff
from reconciler.kinds.kind import Drift
from reconciler.report import (
    ChangeReport,
    Condition,
    ExitCode,
    Failed,
    OutcomeReport,
    ProjectReport,
    RunReport,
    VerdictReport,
    run_report,
)

NOW = 1_767_225_600
COUNTS = (
    "add",
    "change",
    "destroy",
    "adopt",
    "unchanged",
    "unmarked",
    "drifted",
    "refused",
    "failed",
    "pending",
)
DIGEST = "5f" * 32
ENDPOINT = "https://acme.services.ai.azure.com/api/projects/prod"

OLD_PROMPT = "\n".join(
    [
        "You sort support mail.",
        "",
        "Answer with one of: billing, technical, other.",
        "Be brief.",
        "Never promise a refund.",
        "Escalate when the customer is angry.",
    ]
)
NEW_PROMPT = OLD_PROMPT.replace("Be brief.", "Be brief and friendly.").replace(
    "Escalate when", "Hand over to a person when"
)


def change(name: str, action: str, reason: str, **more: Any) -> ChangeReport:
    given = {"origin": "git", "drift": (), "fields": (), "now": (), "later": ()} | more
    given.setdefault("place", f"agents/{name}.yaml:1:1")
    return ChangeReport(f"prod/Agent/{name}", action, reason, **given)


def verdict(severity: str, rule: str, name: str = "", **more: Any) -> VerdictReport:
    key = f"prod/Agent/{name}" if name else ""
    given = {"message": f"{name} breaks {rule}", "hint": "Mend it.", "place": ""} | more
    return VerdictReport(severity, rule, key, **given)


def outcome(name: str, step: str, word: str, version: str = "", **more: Any) -> OutcomeReport:
    given: dict[str, Any] = {"reason": "", "note": "", "hint": "", "error": (), "code": "", "request_id": ""}
    return OutcomeReport(f"prod/Agent/{name}", step, word, version, **(given | {"duration_s": 0.412} | more))


def project(code: ExitCode, summary: dict[str, int] | None = None, **more: Any) -> ProjectReport:
    counts = {word: (summary or {}).get(word, 0) for word in COUNTS}
    given = {"name": "prod", "endpoint": ENDPOINT, "digest": DIGEST} | more
    return ProjectReport(exit_code=code, summary=counts, **given)


def run(command: str, *projects: ProjectReport, failed: Failed | None = None) -> RunReport:
    return run_report(command, "4f2a9c1d3e5b7a9c1d3e5b7a9c1d3e5b7a9c1d3e", "/srv/agents", projects, failed)


CREATE = change(
    "greeter",
    "create",
    "missing",
    fields=(
        FieldDiff("add", "/description", "Says hello"),
        FieldDiff(
            "add",
            "/definition",
            {
                "kind": "prompt",
                "model": "gpt-5-mini",
                "instructions": OLD_PROMPT,
                "temperature": 0.2,
                "tools": [
                    {"type": "code_interpreter"},
                    {"type": "file_search", "vector_store_ids": ["vs_1"]},
                ],
                "metadata": {},
            },
        ),
    ),
    now=("create the agent",),
)
UPDATE = change(
    "support-triage",
    "update",
    "changed",
    fields=(
        FieldDiff("replace", "/definition/cpu", "2", "1"),
        FieldDiff("add", "/definition/environment_variables/LOG_LEVEL", "INFO"),
        FieldDiff("remove", "/definition/environment_variables/DEBUG", live="1"),
        FieldDiff(
            "replace",
            "/definition/container_configuration/image",
            "registry.example.com/triage@sha256:" + "b" * 64,
            "registry.example.com/triage@sha256:" + "a" * 64,
        ),
        FieldDiff("replace", "/definition/instructions", NEW_PROMPT, OLD_PROMPT),
    ),
    now=("pin traffic to version 7", "create a version", "wait until the new version is active"),
    later=("move traffic from 7 to the new version", "delete old version 1"),
)
MOVE = change(
    "router",
    "move",
    "release",
    fields=(FieldDiff("replace", "/endpoint/version_selector", "3", "4"),),
    now=("move traffic from 4 to version 3",),
)
ADOPT = change(
    "legacy-faq",
    "adopt",
    "changed",
    fields=(FieldDiff("replace", "/definition/model", "gpt-5-mini", "gpt-4o"),),
    now=("create a version",),
)
DELETE = change("old-bot", "delete", "removed", now=("delete the agent with 3 versions",), place="")
EDITED = change(
    "billing",
    "update",
    "changed",
    origin="both",
    drift=(
        Drift(
            "changed",
            "8",
            NOW,
            "somebody else",
            (
                FieldDiff("replace", "/definition/temperature", 0.2, 0.9),
                FieldDiff("remove", "/definition/tools/0", live={"type": "web_search"}),
            ),
        ),
    ),
    fields=(FieldDiff("replace", "/definition/temperature", 0.4, 0.9),),
    now=("create a version",),
)
UNDONE = change(
    "faq",
    "move",
    "drift",
    origin="live",
    drift=(
        Drift("changed", "5", NOW, "a copied mark", (FieldDiff("replace", "/definition/top_p", 1, 0.5),)),
    ),
    fields=(FieldDiff("replace", "/definition/top_p", 1, 0.5),),
    now=("move traffic from 5 to version 4",),
)
HELD = change(
    "chat",
    "none",
    "redirected",
    origin="live",
    held=True,
    drift=(
        Drift(
            "redirected",
            "6:90,7:10",
            by="somebody else",
            fields=(FieldDiff("replace", "/endpoint/version_selector", "7", "6:90,7:10"),),
        ),
    ),
)
GONE = change(
    "notes",
    "create",
    "missing",
    origin="live",
    drift=(Drift("missing", by="somebody else"),),
    now=("create the agent",),
)
DISABLED = change(
    "night-shift",
    "update",
    "details",
    origin="live",
    drift=(Drift("disabled", by="somebody else"),),
    fields=(FieldDiff("replace", "/state", "enabled", "disabled"),),
    now=("enable the agent",),
)
KEPT = change("archive", "none", "kept", notes=("its manifest said `on_remove: keep`",), place="")
DEFERRED = change(
    "voice",
    "none",
    "metadata",
    notes=("only description or metadata differ; they travel with the next change of the definition",),
)
UNMANAGED = tuple(
    change(
        f"guest-{number}",
        "none",
        "unmanaged",
        origin="live",
        place="",
        drift=(Drift("unmanaged", "1", NOW, "somebody else"),),
    )
    for number in range(1, 8)
)
REFUSED = change(
    "payments", "delete", "removed", refused=True, place="", notes=("sessions are open right now",)
)
SECRET = verdict(
    "warn",
    "secret-in-version",
    "support-triage",
    message="environment variable API_TOKEN looks like a secret; versions keep it for ever",
    hint="Use a connection of the project instead.",
    place="agents/support-triage.yaml:14:7",
)
PREVIEW = verdict(
    "info",
    "preview-feature",
    "voice",
    message="Agent/voice uses a preview of the service",
    hint="Nothing to do.",
    place="agents/voice.yaml:9:5",
)
LIMIT = verdict(
    "refuse",
    "delete-limit",
    message="7 of 9 owned agents (78 %) would be deleted, more than `sync.limits.deletes: 5`; none is",
    hint="Look at the plan. If it is right, raise the limit, or for this run only with --max-deletes 7.",
)
OWNER = verdict(
    "refuse",
    "owner",
    "payments",
    message="Agent/payments belongs to `git.example.com/pay#prod`, and this project is `acme#prod`",
    hint="If it shall move here, run with --take-over.",
    place="agents/payments.yaml:1:1",
)
STALLED = Condition(
    "prod/Agent/router", "Stalled", True, "image_pull_failed", "the image cannot be pulled", NOW
)
STARTING = Condition(
    "prod/Agent/voice", "Reconciling", True, "Creating", "the service is still starting the version", NOW
)
NOT_READY = Condition("", "Ready", False, "NotInSync", "", NOW)
READY = Condition("", "Ready", True, "InSync", "", NOW)
NOTE = Problem(
    Place("agents/voice.yaml", 4, 3), "spec.card", "`card` is a preview of the service", "", note=True
)
PROBLEMS = (
    Problem(
        Place("agents/a.yaml", 7, 11),
        "spec.definition.kind",
        "unknown kind `promt`",
        "Did you mean `prompt`?",
    ),
    Problem(Place("project.yaml", 3, 1), "", "two Projects are named `prod`"),
)
FAILED_STEP = outcome(
    "router",
    "add-version",
    "failed",
    reason="ServiceError",
    error=("cannot create a version of agent router", "HTTP 400, invalid_parameter, unknown model `gpt-9`"),
    code="invalid_parameter",
    request_id="8d1c-77",
    hint="Deploy the model, or name one that is deployed.",
)

IN_SYNC = run("plan", project(ExitCode.DONE, {"unchanged": 12}, conditions=(READY,)))
PLANNED = run(
    "plan",
    project(
        ExitCode.PENDING,
        {"add": 2, "change": 5, "destroy": 1, "adopt": 1, "unchanged": 3, "drifted": 5},
        changes=(
            *(ADOPT, KEPT, EDITED, HELD, UNDONE, CREATE, DISABLED, GONE, DELETE, MOVE, UPDATE, DEFERRED),
            *UNMANAGED,
        ),
        verdicts=(PREVIEW, SECRET),
        conditions=(STARTING, NOT_READY),
        notes=(NOTE,),
    ),
)  # fmt: skip
BLOCKED = run(
    "plan",
    project(
        ExitCode.REFUSED,
        {"change": 1, "refused": 1},
        changes=(REFUSED, MOVE),
        verdicts=(SECRET, LIMIT, OWNER),
        conditions=(NOT_READY,),
    ),
)
DRIFTED = run(
    "drift",
    project(
        ExitCode.PENDING,
        {"change": 3, "drifted": 5, "add": 1},
        changes=(EDITED, HELD, UNDONE, DISABLED, GONE, UPDATE, *UNMANAGED[:1]),
        verdicts=(SECRET,),
        conditions=(NOT_READY,),
    ),
)
NO_DRIFT = run("drift", project(ExitCode.DONE, {"unchanged": 12}, conditions=(READY,)))
APPLIED = run(
    "apply",
    project(
        ExitCode.DONE,
        {"add": 1, "change": 2, "destroy": 1, "adopt": 1},
        changes=(CREATE, UPDATE, MOVE, ADOPT, DELETE),
        outcomes=(
            outcome("greeter", "add-version", "created", "1"),
            outcome("legacy-faq", "add-version", "created", "4", note="raced"),
            outcome("old-bot", "delete-agent", "deleted"),
            outcome("router", "move-traffic", "moved", "3"),
            outcome("support-triage", "pin-traffic", "moved", "7", note="pinned"),
            outcome("support-triage", "add-version", "created", "8", duration_s=2.25),
            outcome("support-triage", "await-active", "activated", "8", duration_s=61.5),
            outcome("support-triage", "move-traffic", "moved", "8"),
            outcome("support-triage", "retire-version", "deleted", "1"),
            outcome("support-triage", "patch-details", "updated"),
            outcome("support-triage", "disable", "disabled"),
            outcome("support-triage", "enable", "enabled", duration_s=0.0),
        ),
        conditions=(READY,),
    ),
)
NOTHING_APPLIED = run("apply", project(ExitCode.DONE, {"unchanged": 12}, conditions=(READY,)))
OBSERVED = run(
    "apply",
    project(
        ExitCode.DONE,
        changes=(MOVE,),
        outcomes=(
            outcome(
                "router",
                "move-traffic",
                "skipped",
                reason="Observe",
                note="the Project is in `mode: observe`",
                duration_s=0.0,
            ),
        ),
        conditions=(READY,),
        observe=True,
    ),
)
PARTLY = run(
    "apply",
    project(
        ExitCode.PARTLY,
        {"add": 1, "failed": 1, "pending": 1, "refused": 1},
        changes=(CREATE, MOVE, REFUSED),
        verdicts=(OWNER,),
        outcomes=(
            outcome("greeter", "add-version", "created", "1"),
            FAILED_STEP,
            outcome(
                "voice",
                "await-active",
                "pending",
                "3",
                reason="Creating",
                note="version 3 is being provisioned",
                duration_s=900.0,
            ),
            outcome(
                "old-bot",
                "delete-agent",
                "skipped",
                reason="ActiveSessions",
                note="it has active sessions; --force-sessions ends them",
            ),
            outcome(
                "faq", "patch-details", "unchanged", reason="NotTaken", note="the service did not take /card"
            ),
        ),
        conditions=(STALLED, STARTING, NOT_READY),
    ),
)
REFUSED_APPLY = run("apply", project(ExitCode.REFUSED, {"refused": 1}, changes=(REFUSED,), verdicts=(OWNER,)))
INVALID = run(
    "plan",
    project(
        ExitCode.ERROR,
        digest="",
        failed=Failed(
            ("2 problems in the manifests of Project prod",),
            "Nothing was read from the service and nothing was written.",
            PROBLEMS,
        ),
    ),
)
UNREACHABLE = run(
    "plan",
    project(
        ExitCode.ERROR,
        digest="",
        failed=Failed(
            ("cannot list agents of prod", "HTTP 403, Forbidden", "ClientError: no role"),
            "Give this identity the role Azure AI User on the project.",
            code="Forbidden",
            request_id="77-1f",
        ),
    ),
)
NO_SOURCE = run("plan", failed=Failed(("cannot read the source `agents`",), "Check the path."))
VALID = run("validate", project(ExitCode.DONE, {"unchanged": 12}, notes=(NOTE,)))
REFUSED_MANIFESTS = run("validate", project(ExitCode.REFUSED, verdicts=(OWNER,)))
SEVERAL = run(
    "plan",
    project(ExitCode.DONE, {"unchanged": 12}, name="dev", endpoint="http://127.0.0.1:8080/api/projects/dev"),
    project(ExitCode.PENDING, {"change": 1, "unchanged": 4}, changes=(MOVE,)),
    project(
        ExitCode.ERROR,
        name="stage",
        digest="",
        failed=Failed(("cannot list agents of stage", "HTTP 503"), "Try again later.", request_id="x-9"),
    ),
)

REPORTS = {
    "in-sync": IN_SYNC,
    "planned": PLANNED,
    "blocked": BLOCKED,
    "drifted": DRIFTED,
    "no-drift": NO_DRIFT,
    "applied": APPLIED,
    "nothing-applied": NOTHING_APPLIED,
    "observed": OBSERVED,
    "partly": PARTLY,
    "refused-apply": REFUSED_APPLY,
    "invalid": INVALID,
    "unreachable": UNREACHABLE,
    "no-source": NO_SOURCE,
    "valid": VALID,
    "refused-manifests": REFUSED_MANIFESTS,
    "several": SEVERAL,
}


def many(count: int) -> RunReport:
    """A plan that updates `count` agents, each with a few differences."""
    changes = tuple(
        change(
            f"agent-{number:05}",
            "update",
            "changed",
            fields=UPDATE.fields,
            now=UPDATE.now,
            later=UPDATE.later,
        )
        for number in range(count)
    )
    warnings = tuple(verdict("warn", "secret-in-version", f"agent-{number:05}") for number in range(count))
    return run("plan", project(ExitCode.PENDING, {"change": count}, changes=changes, verdicts=warnings))

"""A store as a busy service leaves it: a dozen Projects, an agent in every state, a history behind each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from reconciler.resource import Failure, Key, Live, Mark, Version
from reconciler.resource import Health as VersionHealth
from reconciler.service.records import (
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
from reconciler.service.store import Store

NOW: Final = 1_800_000_000.0
HEAD: Final = "4f9c2e7ab1d03586" * 2 + "4f9c2e7a"
BEFORE: Final = "91b0d7c35ea24f68" * 2 + "91b0d7c3"
OLDER: Final = "c3d8a5f20e6b7194" * 2 + "c3d8a5f2"
OWNER: Final = "git.example.com/platform/agents#prod"
ENDPOINT: Final = "https://contoso-{0}.services.ai.azure.com/api/projects/{0}"

_DESIRED: Final = """You sort mail for Contoso's support desk.

Read the whole thread before you answer.
Put each message into exactly one queue: billing, shipping, returns or other.
When the customer names an order, quote its number in your answer.
Never promise a refund; say that a colleague will look at it.
Answer in the language of the customer."""
_LIVE: Final = _DESIRED.replace(
    "Never promise a refund; say that", "Offer a refund up to 50 EUR; say that"
).replace("billing, shipping, returns or other", "billing, shipping or other")

_TEAMS: Final = ("support", "sales", "finance", "platform", "legal")
_JOBS: Final = ("triage", "answers", "router", "summary", "review", "intake", "search", "audit")


def field(path: str, desired: Any = None, live: Any = None, op: str = "replace") -> dict[str, Any]:
    """A difference as the report has it."""
    return {"op": op, "path": path, "desired": desired, "live": live}


def change(action: str, reason: str, **more: Any) -> dict[str, Any]:
    """A change as the report has it."""
    return {
        "key": "",
        "action": action,
        "reason": reason,
        "origin": "",
        "place": "",
        "refused": False,
        "held": False,
        "drift": [],
        "fields": [],
        "steps": {"now": [], "later": []},
        "notes": [],
    } | more


DRIFT: Final = change(
    "update",
    "changed",
    fields=[field("/endpoint/version_selector", "7", "7:90, 8:10")],
    drift=[
        {
            "what": "changed",
            "version": "8",
            "at": "2027-01-15T06:48:00Z",
            "by": "somebody else",
            "fields": [
                field("/definition/instructions", _DESIRED, _LIVE),
                field("/definition/temperature", 0.2, 0.9),
                field("/definition/tools/2", None, {"type": "web_search", "limit": 5}, "remove"),
            ],
        }
    ],
    steps={"now": ["add version 9", "move traffic to version 9"], "later": []},
)
_FAILED: Final = "version 4 failed: image_pull_failed: contoso.azurecr.io/invoice-reader:2.1 not found"
OUTCOME: Final = {
    "step": "await-active",
    "outcome": "failed",
    "version": "4",
    "reason": "image_pull_failed",
    "note": _FAILED,
    "hint": "Check that the image exists and that the project's identity may pull it.",
    "error": [],
    "code": "image_pull_failed",
    "request_id": "5b1f0c3e",
    "duration_s": 12.4,
}
STALLED: Final = {
    "type": "Stalled",
    "status": "True",
    "reason": "image_pull_failed",
    "message": _FAILED,
    "time": "2027-01-15T07:51:00Z",
}


STARTING: Final = {
    "type": "Reconciling",
    "status": "True",
    "reason": "Creating",
    "message": "the service is still starting the version",
    "time": "2027-01-15T07:51:00Z",
}
DRIFTED: Final = {
    "type": "Drifted",
    "status": "True",
    "reason": "Changed",
    "message": "changed",
    "time": "2027-01-15T06:50:00Z",
}


async def fill(store: Store, now: float = NOW) -> None:
    """Put it all into an empty store."""
    await _sources(store, now)
    for project in _projects(now):
        await store.put_project(project)
        await store.want(project.source, [project.name], project.wanted or project.revision)
    await store.suspend(
        Suspension("sales-eu", "mira@contoso.com", "Holiday sale, no releases until Monday", now - 7_300)
    )
    await store.put_pin(
        Pin(
            "prod",
            "Agent/support-router",
            "11",
            "jon@contoso.com",
            "Routes returns to billing, see INC-4711",
            now - 5_400,
            now + 81_000,
            HEAD,
        )
    )
    rows = agents(now)
    await store.put_resources("prod", rows, ())
    for name, count in (("stage", 24), ("dev", 12), ("sales-eu", 24)):
        await store.put_resources(name, [_agent(name, index, now) for index in range(count)], ())
    removed = {"health": Health.REFUSED, "reason": "removed", "action": "delete", "place": "", "labels": {}}
    dropped = [_agent("sales-us", index, now, **(removed if index < 12 else {})) for index in range(31)]
    await store.put_resources("sales-us", dropped, ())
    await _history(store, now)


async def _sources(store: Store, now: float) -> None:
    good = {
        "head": HEAD,
        "good": HEAD,
        "good_time": int(now) - 900,
        "seen_at": now - 20,
        "fetched_at": now - 880,
    }
    await store.put_source(
        SourceRecord("agents", "https://git.example.com/platform/agents.git", "refs/heads/main", **good)
    )
    await store.put_source(
        SourceRecord(
            "research",
            "https://git.example.com/research/agents.git",
            "refs/heads/main",
            head=BEFORE,
            good=OLDER,
            good_time=int(now) - 90_000,
            seen_at=now - 40,
            fetched_at=now - 90_000,
            stale_since=now - 8_100,
            error="the newest commit of research is signed by nobody that the configuration names",
            hint="Sign it with a key listed under `signatures`, or add the key.",
        )
    )


def _projects(now: float) -> list[ProjectRecord]:
    def project(
        name: str, health: Health, resources: int, counts: Mapping[str, int], **more: Any
    ) -> ProjectRecord:
        return ProjectRecord(
            **{
                "name": name,
                "source": "agents",
                "endpoint": ENDPOINT.format(name),
                "owner": f"git.example.com/platform/agents#{name}",
                "health": health,
                "revision": HEAD,
                "wanted": HEAD,
                "resources": resources,
                "summary": {"add": 0, "change": 0, "unchanged": resources}
                | {f"health:{key}": count for key, count in counts.items()},
                "conditions": ({"type": "Ready", "status": "True", "reason": "", "message": "", "time": ""},),
                "last_run": f"run-{name}",
                "last_run_at": now - 130,
                "last_good_at": now - 130,
                "next_at": now + 170,
                **more,
            }
        )

    rows = agents(now)
    unready = {"type": "Ready", "status": "False", "time": "2027-01-15T07:58:00Z"}
    return [
        project(
            "prod",
            Health.FAILED,
            len(rows),
            Counter(str(row.health) for row in rows),
            reason="1 agent failed, 1 drifted, 1 is refused",
            last_good_at=now - 5_200,
            conditions=({**unready, "reason": "Failed", "message": f"1 of {len(rows)} agents is not ready"},),
        ),
        project("stage", Health.IN_SYNC, 24, {"in-sync": 24}),
        project(
            "dev",
            Health.WAITING,
            12,
            {"in-sync": 10, "waiting": 2},
            reason="2 versions are starting",
            revision=BEFORE,
            wanted=HEAD,
            next_at=now + 4,
        ),
        project(
            "sales-eu",
            Health.OBSERVED,
            24,
            {"in-sync": 21, "observed": 3},
            reason="suspended by mira@contoso.com",
        ),
        project(
            "sales-us",
            Health.REFUSED,
            31,
            {"in-sync": 19, "refused": 12},
            reason="12 deletions are more than the limit of 5",
            digest="8d1f3a90" * 8,
            asks="deletions beyond the limit",
            failures=3,
            conditions=({**unready, "reason": "Refused", "message": "12 of 31 agents are held by a limit"},),
        ),
        project("finance", Health.IN_SYNC, 9, {"in-sync": 9}),
        project("legal", Health.OBSERVED, 7, {"in-sync": 5, "observed": 2}, mode="observe"),
        project("platform", Health.IN_SYNC, 41, {"in-sync": 38, "unmanaged": 3}),
        project(
            "research",
            Health.DRIFTED,
            18,
            {"in-sync": 16, "drifted": 2},
            source="research",
            revision=OLDER,
            wanted=OLDER,
            reason="2 agents were changed outside of Git",
        ),
        project("archive", Health.IN_SYNC, 3, {"in-sync": 3}, removed=True, next_at=0),
        project("demo", Health.UNKNOWN, 0, {}, revision="", last_run="", last_run_at=0, last_good_at=0),
    ]


def _agent(project: str, index: int, now: float, **more: Any) -> ResourceRecord:
    team, job = _TEAMS[index % len(_TEAMS)], _JOBS[index // len(_TEAMS) % len(_JOBS)]
    suffix = f"-{index // 40 + 1}" if index >= 40 else ""
    number = str(index * 7 % 19 + 1)
    values: dict[str, Any] = {
        "project": project,
        "resource": f"Agent/{team}-{job}{suffix}",
        "health": Health.IN_SYNC,
        "serving": number,
        "latest": number,
        "definition_kind": ("prompt", "prompt", "hosted", "prompt", "workflow")[index % 5],
        "place": f"agents/{team}/{job}{suffix}.yaml:1:1",
        "labels": {"team": team},
        "changed_at": now - 3_600 - index * 4_321,
    }
    return ResourceRecord(**(values | more))


def agents(now: float) -> list[ResourceRecord]:
    """The agents of `prod`, one in each state among them."""
    rows = {row.resource: row for row in (_agent("prod", index, now) for index in range(56))}

    def put(name: str, health: Health, **more: Any) -> None:
        base = vars(rows[f"Agent/{name}"]) if f"Agent/{name}" in rows else vars(_agent("prod", 3, now))
        rows[f"Agent/{name}"] = ResourceRecord(
            **(base | {"resource": f"Agent/{name}", "health": health, "changed_at": now - 300} | more)
        )

    put(
        "support-triage",
        Health.DRIFTED,
        reason="changed",
        action="update",
        serving="7:90,8:10",
        latest="8",
        detail={"change": DRIFT, "conditions": [DRIFTED]},
        references=("Agent/support-router", "Model/gpt-5-mini"),
        labels={"team": "support", "tier": "1"},
    )
    put("support-router", Health.IN_SYNC, serving="11", latest="12", references=("Model/gpt-5-mini",))
    put(
        "invoice-reader",
        Health.FAILED,
        reason="failed",
        action="update",
        serving="3",
        latest="4",
        definition_kind="hosted",
        labels={"team": "finance"},
        place="agents/finance/invoice.yaml:1:1",
        detail={
            "change": change("update", "failed", notes=[_FAILED]),
            "outcomes": [OUTCOME],
            "conditions": [STALLED],
        },
    )
    put(
        "refund-clerk",
        Health.REFUSED,
        reason="changed",
        action="update",
        detail={
            "verdicts": [
                {
                    "severity": "refuse",
                    "rule": "secret-in-version",
                    "message": "`environment_variables.API_KEY` looks like a secret",
                    "hint": "Use a connection: `${{connections.NAME}}`.",
                    "place": "agents/finance/refund.yaml:14:9",
                }
            ]
        },
    )
    put(
        "order-status",
        Health.WAITING,
        reason="creating",
        action="update",
        detail={"conditions": [STARTING]},
        latest="6",
        serving="5",
    )
    put(
        "knowledge-sync",
        Health.WAITING,
        reason="creating",
        action="update",
        detail={"conditions": [STARTING]},
        latest="2",
        serving="1",
    )
    for name in ("playground", "test-of-anna", "copy-of-support-triage", "hello-world"):
        put(name, Health.UNMANAGED, reason="unmanaged", place="", labels={}, serving="1", latest="1")
    for name in ("sales-router", "finance-router", "legal-router"):
        put(name, Health.IN_SYNC, references=("Agent/support-router", "Agent/sales-answers", "Model/gpt-5"))
    put("sales-answers", Health.IN_SYNC, references=("Agent/knowledge-sync", "Model/gpt-5"))
    return sorted(rows.values(), key=lambda row: row.resource)


def _version(number: int, now: float, **more: Any) -> Version:
    return Version(str(number), {}, created_at=int(now - (9 - number) * 190_000 - 4_000), **more)


_FILES: Final = {
    "support-triage": "agents/support/triage.yaml",
    "invoice-reader": "agents/finance/invoice.yaml",
}


def _mark(name: str, number: int, commit: str) -> Mark:
    return Mark(
        OWNER, f"Agent/{name}", "1:x", str(number - 1), commit=commit, file="agents/support/triage.yaml"
    )


def lives(now: float = NOW) -> dict[tuple[str, str], Live]:
    """Live agents of `prod` as a look finds them, by Project and `Agent/NAME`."""
    triage = Key("prod", "Agent", "support-triage")
    made = [
        _version(8, now, mark=_mark("support-triage", 7, HEAD)),
        *(_version(n, now, mark=_mark("support-triage", n, (OLDER, BEFORE)[n % 2])) for n in (7, 6)),
        _version(5, now, mark=_mark("copy", 5, OLDER)),
        _version(4, now, mark=_mark("support-triage", 4, OLDER)),
        _version(3, now, mark=_mark("support-triage", 3, OLDER)),
        *(_version(n, now) for n in (2, 1)),
    ]
    reader = Key("prod", "Agent", "invoice-reader")
    failed = _version(
        4,
        now,
        health=VersionHealth.FAILED,
        failure=Failure("image_pull_failed", "manifest for contoso.azurecr.io/invoice-reader:2.1 not found"),
        mark=_mark("invoice-reader", 4, HEAD),
    )
    older = tuple(_version(n, now, mark=_mark("invoice-reader", n, OLDER)) for n in (3, 2, 1))
    return {
        ("prod", "Agent/support-triage"): Live(
            triage, made[0], selector=(("7", 90), ("8", 10)), versions=tuple(made[1:]), all_versions=True
        ),
        ("prod", "Agent/invoice-reader"): Live(
            reader, failed, selector=(("3", 100),), versions=older, all_versions=True
        ),
    }


async def _history(store: Store, now: float) -> None:
    results = (
        "applied",
        "unchanged",
        "unchanged",
        "drifted",
        "unchanged",
        "partly",
        "unchanged",
        "superseded",
    )
    asked = (
        (f"commit {HEAD[:12]}",),
        ("interval",),
        ("check",),
        (f"commit {HEAD[:12]}", "requeue"),
        ("manual by jon@contoso.com",),
    )
    for index in range(60, 0, -1):
        result = results[index % len(results)]
        at = now - 130 - index * 301
        run = RunRecord(
            f"run-{index:03d}",
            ("prod", "stage", "dev")[index % 3],
            "agents",
            asked[index % len(asked)],
            (HEAD, BEFORE, OLDER)[index % 3],
            at,
            at + 0.4 + index % 7 * 1.3,
            result,
            {"change": 2, "add": 1} if result == "applied" else {"change": 1} if result == "drifted" else {},
            "reconciler-7d9f-1",
        )
        await store.start_run(run)
        await store.end_run(run)
    prod = RunRecord(
        "run-prod", "prod", "agents", (f"commit {HEAD[:12]}",), HEAD, now - 130, now - 117.6, "partly"
    )
    report = {
        "changes": [
            DRIFT | {"key": "prod/Agent/support-triage"},
            change(
                "update",
                "failed",
                key="prod/Agent/invoice-reader",
                notes=[_FAILED],
            ),
        ],
        "outcomes": [
            OUTCOME | {"key": "prod/Agent/invoice-reader"},
            OUTCOME
            | {
                "key": "prod/Agent/support-triage",
                "step": "add-version",
                "outcome": "created",
                "note": "",
                "error": [],
                "hint": "",
                "request_id": "",
                "reason": "",
                "version": "8",
            },
        ],
        "verdicts": [
            {
                "severity": "warn",
                "key": "prod/Agent/order-status",
                "rule": "model-retires",
                "message": "the model gpt-4o retires on 2027-03-01",
                "hint": "Name a newer one.",
                "place": "agents/orders.yaml:9:12",
            }
        ],
        "conditions": [STALLED | {"key": "prod/Agent/invoice-reader"}],
        "failed": None,
    }
    summary = {"add": 0, "change": 2, "failed": 1}
    await store.start_run(prod)
    await store.end_run(
        RunRecord(**(vars(prod) | {"report": report, "summary": summary, "replica": "reconciler-7d9f-1"}))
    )
    refused = RunRecord(
        "run-sales-us",
        "sales-us",
        "agents",
        (f"commit {HEAD[:12]}",),
        HEAD,
        now - 190,
        now - 189.2,
        "refused",
    )
    limit = {"rule": "delete-limit", "message": "12 deletions are more than the limit of 5", "place": ""}
    hint = "Approve the plan, or raise `limits.deletes` in the Project."
    verdicts = [limit | {"severity": "refuse", "key": "sales-us", "hint": hint}]
    await store.start_run(refused)
    await store.end_run(
        RunRecord(**(vars(refused) | {"report": {"verdicts": verdicts}, "summary": {"destroy": 12}}))
    )
    await store.start_run(RunRecord("run-dev", "dev", "agents", (f"commit {HEAD[:12]}",), HEAD, now - 3))
    events = [
        (
            "release",
            "info",
            "prod",
            "Agent/support-router",
            "version 12 of Agent/support-router was created",
            "",
        ),
        (
            "source-stale",
            "warning",
            "",
            "",
            "source research is stale: its newest commit is signed by nobody that the configuration names",
            "Sign it with a key listed under `signatures`, or add the key.",
        ),
        (
            "suspended",
            "warning",
            "sales-eu",
            "",
            "Project sales-eu was suspended by mira@contoso.com: Holiday sale, no releases until Monday",
            "",
        ),
        (
            "rollback",
            "warning",
            "prod",
            "Agent/support-router",
            "Agent/support-router was rolled back to version 11 by jon@contoso.com: see INC-4711",
            "",
        ),
        (
            "refused",
            "warning",
            "sales-us",
            "",
            "12 deletions are more than the limit of 5",
            "Approve the plan, or raise `limits.deletes`.",
        ),
        ("drift", "warning", "prod", "Agent/support-triage", "Agent/support-triage was changed", ""),
        (
            "failure",
            "error",
            "prod",
            "Agent/invoice-reader",
            f"Agent/invoice-reader: {_FAILED}",
            "Check that the image exists and that the project's identity may pull it.",
        ),
        ("recovery", "info", "stage", "", "Project stage is in sync again", ""),
    ]
    await store.add_events(
        [
            EventRecord(
                now - 7_500 + index * 1_030,
                type_,
                severity,
                project,
                message,
                resource=resource,
                source="agents" if project else "research",
                commit=HEAD,
                hint=hint,
                run="run-prod" if resource else "",
            )
            for index, (type_, severity, project, resource, message, hint) in enumerate(events)
        ]
    )
    for at, actor, action, project, resource, why in (
        (7_300, "mira@contoso.com", "suspend", "sales-eu", "", "Holiday sale, no releases until Monday"),
        (
            5_400,
            "jon@contoso.com",
            "rollback",
            "prod",
            "Agent/support-router",
            "Routes returns to billing, see INC-4711",
        ),
        (2_100, "ana@contoso.com", "denied", "sales-us", "", "The twelve agents moved to sales-eu"),
        (130, "jon@contoso.com", "sync", "prod", "", ""),
    ):
        detail = (
            {"version": "11"}
            if action == "rollback"
            else {"action": "approve", "role": "operator", "needs": "admin"}
            if action == "denied"
            else {}
        )
        await store.add_audit(AuditRecord(now - at, actor, action, project, resource, why, detail))

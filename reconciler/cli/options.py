"""The options that several commands share, each said once."""

from __future__ import annotations

from typing import Annotated

import typer

Path = Annotated[
    str, typer.Argument(help="A folder, a Git checkout, or a Git URL (ref with --ref).", metavar="PATH")
]
Ref = Annotated[str | None, typer.Option("--ref", help="Branch, tag or commit of a Git URL.")]
Projects = Annotated[
    list[str] | None, typer.Option("-p", "--project", help="Only this Project; may be repeated.")
]
Selector = Annotated[
    list[str] | None,
    typer.Option("--selector", "-l", help="Only manifests with this label, KEY=VALUE; may be repeated."),
]
Only = Annotated[
    list[str] | None, typer.Option("--only", help="Only this resource, KIND/NAME; may be repeated.")
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        "-f",
        help="What standard output gets: text, json, markdown, github, junit, sarif, azure-devops, gitlab.",
    ),
]
Output = Annotated[
    list[str] | None,
    typer.Option("--output", "-o", help="Also write FORMAT=FILE; may be repeated.", metavar="FORMAT=FILE"),
]

AllowEmpty = Annotated[bool, typer.Option("--allow-empty", help="No manifests may mean no agents.")]
AllowOlder = Annotated[bool, typer.Option("--allow-older", help="Apply a checkout older than what is live.")]
AllowRename = Annotated[bool, typer.Option("--allow-rename", help="Let a rename lose the agent's identity.")]
TakeOver = Annotated[bool, typer.Option("--take-over", help="Take agents that carry another owner's mark.")]
TakeTraffic = Annotated[
    bool, typer.Option("--take-traffic", help="Move traffic back that somebody moved by hand.")
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Make a failed version again although Git did not move.")
]
Mark = Annotated[
    bool, typer.Option("--mark", help="Make a version with our mark of agents that are equal already.")
]
DeleteEdited = Annotated[
    bool, typer.Option("--delete-edited", help="Delete agents that somebody edited since we made them.")
]
ForceSessions = Annotated[
    bool, typer.Option("--force-sessions", help="End active sessions of agents that are deleted.")
]
OutsideWindow = Annotated[
    bool, typer.Option("--outside-window", help="Write although no sync window is open.")
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0, help="Longest wait for versions to start or throttled changes, in s."),
]
MaxDeletes = Annotated[
    int | None, typer.Option("--max-deletes", min=0, help="Allow this many deletions in this run.")
]

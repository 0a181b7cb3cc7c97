"""The closed union of calls that keep an agent in line. Values only; `foundry/agents.py` carries them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from reconciler.resource import Code, JsonObject, Mark, Ref


@dataclass(frozen=True)
class AddVersion:
    """Create a version: `form` is sent with `mark` in its metadata; with `code` as a zip upload."""

    form: JsonObject
    mark: Mark
    code: Code | None = None


@dataclass(frozen=True)
class RemoveFailed:
    """Delete a failed version that serves nothing, so that the service makes it anew (rule R4)."""

    version: str


@dataclass(frozen=True)
class AwaitActive:
    """A gate: the version is active."""

    version: str | Ref


@dataclass(frozen=True)
class MoveTraffic:
    """Send all traffic to one version. `pin` says that it serves already and shall stay."""

    version: str | Ref
    pin: bool = False


@dataclass(frozen=True)
class PatchDetails:
    """Change the mutable part: a merge patch with `agent_endpoint` and `agent_card`."""

    patch: JsonObject


@dataclass(frozen=True)
class Enable:
    """Let the agent answer."""


@dataclass(frozen=True)
class Disable:
    """Stop the agent from answering; management goes on."""


@dataclass(frozen=True)
class RetireVersion:
    """Delete one old version of ours that nothing uses (rule R7)."""

    version: str


@dataclass(frozen=True)
class DeleteAgent:
    """Delete the agent with all versions. `force` also ends its sessions."""

    force: bool = False
    owners: frozenset[str] = frozenset()
    delete_edited: bool = False


AgentCall: TypeAlias = (
    AddVersion
    | RemoveFailed
    | AwaitActive
    | MoveTraffic
    | PatchDetails
    | Enable
    | Disable
    | RetireVersion
    | DeleteAgent
)

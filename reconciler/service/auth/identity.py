"""Who asks, and which roles they have on which Projects. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from reconciler.globs import compiled


class Role(StrEnum):
    """What somebody may do; each role includes those before it.

    A viewer looks; an operator syncs, suspends, resumes and rolls back; an admin approves refused plans.
    """

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    @property
    def includes(self) -> frozenset[Role]:
        """This role and every lesser one."""
        order = list(Role)
        return frozenset(order[: order.index(self) + 1])


@dataclass(frozen=True)
class Scope:
    """The Projects that somebody may look at, as globs over their names."""

    globs: tuple[str, ...]

    def __contains__(self, project: object) -> bool:
        return self.whole or any(compiled(glob).fullmatch(str(project)) for glob in self.globs)

    @property
    def whole(self) -> bool:
        """Whether this is every Project, and with it what belongs to none: sources, the service itself."""
        return "*" in self.globs


EVERYTHING: Final = Scope(("*",))


@dataclass(frozen=True)
class Grant:
    """One role on the Projects that the globs match."""

    role: Role
    projects: tuple[str, ...] = ("*",)


@dataclass(frozen=True)
class Identity:
    """Somebody who signed in. `kind` is local, token or oidc; `name` is shown and goes into the audit log."""

    name: str
    kind: str
    grants: tuple[Grant, ...] = ()

    @property
    def scope(self) -> Scope:
        """What they may look at."""
        return Scope(tuple(dict.fromkeys(glob for grant in self.grants for glob in grant.projects)))

    def may(self, role: Role, project: str) -> bool:
        """Whether they have this role, or one that includes it, on a Project."""
        return any(role in grant.role.includes and project in Scope(grant.projects) for grant in self.grants)

    def role_on(self, project: str) -> Role | None:
        """Their strongest role on a Project, None where they may not even look."""
        return strongest(grant.role for grant in self.grants if project in Scope(grant.projects))


def strongest(roles: Iterable[Role]) -> Role | None:
    """The role that includes all the others, None of none."""
    return max(roles, key=lambda role: len(role.includes), default=None)


# Without `auth` only this machine is served, and whoever uses it is trusted with it.
LOCAL: Final = Identity("local", "local", (Grant(Role.ADMIN),))

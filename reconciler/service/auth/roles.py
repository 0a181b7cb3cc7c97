"""Which roles the configuration gives to whom. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from reconciler.service.auth.identity import Grant, Role
from reconciler.service.config_spec import RoleSpec


def of_token(roles: Iterable[RoleSpec], name: str) -> tuple[Grant, ...]:
    """The roles of a token in the token file."""
    return tuple(_grant(spec) for spec in roles if name in spec.tokens)


def of_user(roles: Iterable[RoleSpec], names: Collection[str], groups: Collection[str]) -> tuple[Grant, ...]:
    """The roles of somebody who signed in.

    Args:
        names: what they are called: subject, object id, user name, verified address. Case does not count.
        groups: what the provider says of them: groups by name or id, and application roles.
    """
    folded = {name.casefold() for name in names}
    return tuple(
        _grant(spec)
        for spec in roles
        if not folded.isdisjoint(user.casefold() for user in spec.users)
        or not set(groups).isdisjoint(spec.groups)
    )


def named_groups(roles: Iterable[RoleSpec]) -> frozenset[str]:
    """Every group that the configuration gives a role to."""
    return frozenset(group for spec in roles for group in spec.groups)


def _grant(spec: RoleSpec) -> Grant:
    return Grant(Role(spec.role), spec.projects)

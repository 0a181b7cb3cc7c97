"""Whether a version is fit for what a person orders: to serve again, or to be made once more. Pure."""

from __future__ import annotations

from reconciler.service.records import Health, ResourceRecord
from reconciler.service.refusals import Conflicting
from reconciler.service.views_models import Timeline
from reconciler.suggest import listed


def check_rollback(resource: str, number: str, found: Timeline) -> None:
    """Whether a version can serve, as far as its versions are known.

    Raises:
        Conflicting: it cannot.
    """
    version = next((one for one in found.versions if one.number == number), None)
    if version is None:
        if not found.complete:
            return
        there = listed((one.number for one in found.versions), 8) or "none"
        raise Conflicting(f"{resource} has no version {number}", hint=f"Its versions are {there}.")
    if version.draft or version.health != "active":
        what = "is a draft" if version.draft else f"is {version.health}"
        raise Conflicting(
            f"version {number} of {resource} {what} and cannot serve",
            hint="Choose a version that is active.",
        )


def failed_version(record: ResourceRecord, found: Timeline | None) -> str:
    """The number of the version that Git wants and that failed to start.

    Args:
        found: the versions, asked just now; where that failed, the row of the last run decides.

    Raises:
        Conflicting: there is none.
    """
    if record.health is Health.UNMANAGED:
        raise Conflicting(
            f"{record.resource} has no manifest in Git, so no run would make a version of it",
            hint="Write a manifest with `reconciler import`.",
        )
    blamed = record.reason == "failed" and record.health is Health.FAILED
    if found is None or found.old:
        failed, state = [record.latest] if blamed else [], "none is known to have failed"
    else:
        # Somebody may have made another version since the one that failed.
        wanted = [version for version in found.versions if version.latest or blamed]
        failed = [version.number for version in wanted if version.health == "failed"]
        state = next((f"version {one.number} is {one.health}" for one in wanted), "it has none")
    if failed:
        return failed[0]
    raise Conflicting(
        f"no version of {record.resource} is there to try again: {state}",
        hint="A version is made once more only after it failed to start; everything else is done by a sync.",
    )

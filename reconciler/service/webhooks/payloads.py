"""From the body of a delivery to an `Event`, for each provider. Pure; what is absent or odd is left open.

Every field may be missing, null or of another type: panics on those were the security holes of others
(Argo CD, GHSA-f9gq-prrc-hrhc, GHSA-wp4p-9pxh-cgx2, GHSA-gpx4-37g2-c8pv).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import orjson

from reconciler.service.webhooks.events import BRANCH, TAG, Change, Event, path_of

_ZEROS: Final = re.compile(r"0{40,64}")
# GitHub sends one field.
_MOST_FIELDS: Final = 8

Body = Mapping[str, Any]
# The event's name from its header, "" without one, and the body.
Reader = Callable[[str, Body], Event]


def parsed(body: bytes, *, form: bool) -> Body | None:
    """The JSON object of a body, or of the field `payload` of a form; None for anything else."""
    try:
        if not form:
            value = orjson.loads(body)
        else:
            fields = parse_qs(body.decode("ascii"), errors="strict", max_num_fields=_MOST_FIELDS)
            (payload,) = fields.get("payload", [""])
            value = orjson.loads(payload)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def github(name: str, body: Body) -> Event:
    """`push` and `ping` as GitHub, Gitea, Forgejo and Gogs write them."""
    if name not in ("push", ""):
        return Event("ping" if name == "ping" else "other")
    repository = _object(body, "repository")
    addresses = [repository.get(key) for key in ("html_url", "clone_url", "ssh_url", "git_url")]
    return Event("push", _one(body), _paths(addresses))


_GITLAB_KINDS: Final = {"Push Hook": "push", "Tag Push Hook": "tag_push"}


def gitlab(name: str, body: Body) -> Event:
    """Pushes of branches and tags, and what a system hook says of several refs at once."""
    kind = body.get("object_kind") or body.get("event_name") or _GITLAB_KINDS.get(name, "push")
    if kind not in ("push", "tag_push", "repository_update"):
        return Event("other")
    project, repository = _object(body, "project"), _object(body, "repository")
    addresses = [
        project.get(key) for key in ("web_url", "git_http_url", "git_ssh_url", "http_url", "ssh_url")
    ]
    addresses += [repository.get(key) for key in ("homepage", "git_http_url", "git_ssh_url")]
    several = kind == "repository_update"
    return Event("push", _many(body, "changes", _after) if several else _one(body), _paths(addresses))


def azure_devops(_: str, body: Body) -> Event:
    """`git.push`, whose hook may be set to leave the resource out."""
    if _text(body, "eventType") not in ("git.push", ""):
        return Event("other")
    resource = _object(body, "resource")
    repository = _object(resource, "repository")
    addresses = [repository.get(key) for key in ("remoteUrl", "sshUrl", "webUrl")]
    return Event("push", _many(resource, "refUpdates", _ref_update), _paths(addresses), _text(body, "id"))


def bitbucket(name: str, body: Body) -> Event:
    """`repo:push` of Bitbucket Cloud."""
    if name not in ("repo:push", ""):
        return Event("other")
    repository = _object(body, "repository")
    page = _object(_object(repository, "links"), "html").get("href")
    return Event("push", _many(_object(body, "push"), "changes", _new_and_old), _paths([page]))


def bitbucket_server(name: str, body: Body) -> Event:
    """`repo:refs_changed` of Bitbucket Data Center, and the same from one of its mirrors."""
    if name not in ("repo:refs_changed", "mirror:repo_synchronized", ""):
        return Event("ping" if name == "diagnostics:ping" else "other")
    repository = _object(body, "repository")
    clones = _object(repository, "links").get("clone")
    addresses = [_as_object(item).get("href") for item in clones] if isinstance(clones, list) else []
    paths = _paths(addresses)
    project, slug = _text(_object(repository, "project"), "key"), _text(repository, "slug")
    if project and slug:
        # Behind SSH the path is as it is, behind HTTP there is `scm/` before it.
        name = f"{project}/{slug}".casefold()
        paths |= {name, f"scm/{name}"}
    return Event("push", _many(body, "changes", _typed), paths)


def _one(body: Body) -> tuple[Change, ...] | None:
    """The one ref of an event, None where it is not named."""
    ref = _text(body, "ref")
    return (Change(ref, _is_zeros(body.get("after")) or body.get("deleted") is True),) if ref else None


def _many(body: Body, key: str, read: Callable[[Body], Change]) -> tuple[Change, ...] | None:
    """Each change of a list, None where there is no list. One that cannot be read may be any."""
    items = body.get(key)
    return tuple(read(_as_object(item)) for item in items) if isinstance(items, list) else None


def _after(item: Body) -> Change:
    return Change(_text(item, "ref"), _is_zeros(item.get("after")))


def _ref_update(item: Body) -> Change:
    return Change(_text(item, "name"), _is_zeros(item.get("newObjectId")))


def _typed(item: Body) -> Change:
    ref = _text(_object(item, "ref"), "id") or _text(item, "refId")
    return Change(ref, item.get("type") == "DELETE" or _is_zeros(item.get("toHash")))


def _new_and_old(item: Body) -> Change:
    new, old = _object(item, "new"), _object(item, "old")
    side = new or old
    name, kind = _text(side, "name"), side.get("type")
    prefix = {"branch": BRANCH, "tag": TAG, "annotated_tag": TAG}.get(kind if isinstance(kind, str) else "")
    return Change(prefix + name if prefix and name else "", gone=bool(old) and item.get("new", old) is None)


def _paths(addresses: Iterable[Any]) -> frozenset[str]:
    paths = (path_of(address) for address in addresses if isinstance(address, str) and len(address) < 4096)
    return frozenset(path for path in paths if path)


def _object(body: Body, key: str) -> Body:
    return _as_object(body.get(key))


def _as_object(value: Any) -> Body:
    return value if isinstance(value, dict) else {}


def _text(body: Body, key: str) -> str:
    value = body.get(key)
    return value if isinstance(value, str) else ""


def _is_zeros(value: Any) -> bool:
    """Whether this is the id of no commit, by which a deletion is told."""
    return isinstance(value, str) and _ZEROS.fullmatch(value) is not None

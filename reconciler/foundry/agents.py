"""The agent port: reads over the bare pipeline, single attempts at writes by the SDK over the same."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, Final

from reconciler.errors import ServiceError
from reconciler.foundry import routes, wire
from reconciler.foundry.created import came_from, judge_created
from reconciler.foundry.errors import no_json, translated
from reconciler.foundry.pipeline import Pipe
from reconciler.foundry.reads import Reader
from reconciler.foundry.remembered import Remembered
from reconciler.foundry.warm import import_sdk
from reconciler.kinds.agent.calls import (
    AddVersion,
    AgentCall,
    AwaitActive,
    DeleteAgent,
    Disable,
    Enable,
    MoveTraffic,
    PatchDetails,
    RemoveFailed,
    RetireVersion,
)
from reconciler.kinds.agent.details import differences, satisfied
from reconciler.mark import MARK_KEY, encode
from reconciler.remedies import remedy
from reconciler.resource import Code, Done, Health, Json, JsonObject, Key, Live, Version

# The status of a starting version is known to flap (azd reads twice): a failure counts when it stays so long.
_FLAP_S: Final = 0.5


class AgentPort:
    """Agents of one project.

    Args:
        project: the Project's name, for keys.
        zipped: makes the code zip of a folder; called only for an upload.
        remembered: pages of earlier lists, for a caller that reads again and again.
    """

    def __init__(
        self,
        pipe: Pipe,
        project: str,
        zipped: Callable[[Code], bytes],
        remembered: Remembered | None = None,
    ) -> None:
        self._remembered = remembered
        self._pipe = pipe
        self._project = project
        self._zipped = zipped
        self._reader = Reader(pipe)
        self._sdk: Any = None

    # Reads

    async def list(self) -> AsyncIterator[Live]:
        """Every agent with its latest version, in pages of 100."""
        pages = self._reader.converted(
            "list the agents", routes.LIST_AGENTS, self._live, self._remembered, self._project
        )
        async for page in pages:
            for live in page:
                yield live

    def _live(self, body: Json) -> Live:
        return wire.live_of(self._project, body)

    async def read(self, name: str) -> Live | None:
        """One agent as it is now."""
        url = routes.url(self._pipe.endpoint, routes.GET_AGENT, {"agent_name": name})
        body = await self._reader.get(f"read agent {name}", url)
        return None if body is None else wire.live_of(self._project, body)

    async def deepen(self, live: Live, numbers: tuple[str, ...] | None) -> Live:
        """The agent with more of its versions read: where one is gone, all that are left."""
        name = live.key.name
        found = [await self._version(name, number) for number in numbers or ()]
        if numbers is None or None in found:
            versions = tuple(await self._versions(name))
            return replace(live, versions=versions, all_versions=True)
        return replace(live, versions=(*live.versions, *filter(None, found)))

    async def _versions(self, name: str) -> Sequence[Version]:
        what, names = f"list the versions of agent {name}", {"agent_name": name}
        pages = self._reader.pages(what, routes.LIST_VERSIONS, names)
        return [wire.version_of(body) async for page in pages for body in page]

    async def _version(self, name: str, number: str) -> Version | None:
        names = {"agent_name": name, "agent_version": number}
        url = routes.url(self._pipe.endpoint, routes.GET_VERSION, names)
        body = await self._reader.get(f"read version {number} of agent {name}", url)
        return None if body is None else wire.version_of(body)

    async def download_code(self, name: str, number: str) -> bytes:
        """The deployed code zip of a version, for `drift --verify-code`."""
        with translated(f"download the code of agent {name} version {number}", self._pipe.endpoint):
            stream = await self._agents().download_code(name, agent_version=number)
            return b"".join([chunk async for chunk in stream])

    # Writes: one attempt each

    def _agents(self) -> Any:
        """The SDK's operations over our pipeline. Importing it takes a second, so only a write does."""
        if self._sdk is None:
            import_sdk()
            from azure.ai.projects.aio import AIProjectClient

            self._sdk = AIProjectClient(
                self._pipe.endpoint,
                self._pipe.credential,
                allow_preview=True,
                pipeline=self._pipe.pipeline,
            )
        return self._sdk.agents

    async def do(self, key: Key, call: AgentCall) -> Done:
        """One attempt at one call, and a reading that proves it where the answer does not."""
        name = key.name
        match call:
            case AddVersion():
                return await self._add(key, call)
            case AwaitActive():
                return await self._await_active(name, str(call.version))
            case MoveTraffic():
                return await self._move(name, str(call.version), pin=call.pin)
            case PatchDetails():
                return await self._patch(name, call.patch)
            case Enable():
                return await self._switch(name, enabled=True)
            case Disable():
                return await self._switch(name, enabled=False)
            case RetireVersion():
                return await self._retire(name, call.version)
            case RemoveFailed():
                return await self._remove_failed(name, call.version)
            case DeleteAgent():
                return await self._delete(key, call)

    async def settled(self, key: Key, call: AgentCall) -> Done | None:
        """Whether a call whose answer was lost happened, by reading; None when it did not (so far)."""
        name = key.name
        match call:
            case AddVersion():
                return await self._added(key, call)
            case AwaitActive():
                return None
            case RetireVersion() | RemoveFailed():
                gone = await self._version(name, call.version) is None
                return Done("deleted", version=call.version) if gone else None
        live = await self.read(name)
        match call:
            case DeleteAgent():
                return Done("deleted") if live is None else None
            case MoveTraffic():
                there = live is not None and live.selector == ((str(call.version), 100),)
                return Done("moved", version=str(call.version)) if there else None
            case PatchDetails():
                there = live is not None and satisfied(call.patch, live.details)
                return Done("updated") if there else None
            case Enable() | Disable():
                enabled = isinstance(call, Enable)
                there = live is not None and live.enabled == enabled
                return Done("enabled" if enabled else "disabled") if there else None

    async def _add(self, key: Key, call: AddVersion) -> Done:
        body, zipped = self._body(call)
        what = f"create a version of agent {key.name}"
        with translated(what, self._pipe.endpoint):
            if zipped is None:
                answer = await self._agents().create_version(key.name, body=body, cls=_json)
            else:
                answer = await self._upload(key.name, body, zipped)
        try:
            version = wire.version_of(answer)
        except ServiceError as error:
            # It said 200, so a version may be there: found out by reading, as after a lost answer.
            raise no_json(what, self._pipe.endpoint) from error
        between: Sequence[Version] = []
        if version.order > int(call.mark.base) + 1:
            between = await self._versions(key.name)
        return judge_created(key, call, version, between)

    def _body(self, call: AddVersion) -> tuple[JsonObject, bytes | None]:
        """What is sent, with the mark; the zip's hash is known only now that it is needed."""
        zipped = self._zipped(call.code) if call.code else None
        sha256 = hashlib.sha256(zipped).hexdigest() if zipped is not None else ""
        mark = encode(replace(call.mark, code_sha256=sha256))
        metadata = {**call.form.get("metadata", {}), MARK_KEY: mark}
        definition = wire.without_read_only(call.form["definition"])
        return {**call.form, "definition": definition, "metadata": metadata}, zipped

    async def _upload(self, name: str, body: JsonObject, zipped: bytes) -> Any:
        from azure.ai.projects.models import HostedAgentDefinition

        stream = io.BytesIO(zipped)
        stream.name = "code.zip"
        return await self._agents().create_version_from_code(
            name,
            definition=HostedAgentDefinition(body["definition"]),
            code=stream,
            code_zip_sha256=hashlib.sha256(zipped).hexdigest(),
            description=body.get("description"),
            metadata=body["metadata"],
            cls=_json,
        )

    async def _added(self, key: Key, call: AddVersion) -> Done | None:
        """Our version among those newer than the base: the mark says which create made it."""
        live = await self.read(key.name)
        if live is None or live.latest is None or live.latest.order <= int(call.mark.base):
            return None
        found = (
            [live.latest] if live.latest.order == int(call.mark.base) + 1 else await self._versions(key.name)
        )
        for version in found:
            if came_from(call, version):
                others = [other for other in found if other.number != version.number]
                return judge_created(key, call, version, others)
        return None

    async def _await_active(self, name: str, number: str) -> Done:
        version = await self._version(name, number)
        if version is not None and version.health is Health.FAILED:
            await asyncio.sleep(_FLAP_S)
            version = await self._version(name, number)
        if version is None:
            return Done("pending", number, reason="VersionGone", note=f"version {number} is gone")
        if version.health is Health.ACTIVE:
            # Moving traffic there reads it once more, so a flap to active is found out as well.
            return Done("activated", number)
        if version.health is Health.CREATING:
            return Done("pending", number, reason="Creating", note=f"version {number} is being provisioned")
        return failed_version(version)

    async def _move(self, name: str, number: str, *, pin: bool) -> Done:
        target = await self._version(name, number)
        if target is None or target.health is not Health.ACTIVE:
            return _not_active(number)
        try:
            with translated(f"move the traffic of agent {name} to version {number}", self._pipe.endpoint):
                body = wire.selector_to(number)
                answer = await self._agents().update_details(name, body=body, cls=_json)
        except ServiceError as error:
            if error.status == 400:
                error.hint = "The service takes no traffic rule here: set `release.strategy: direct`."
            raise
        wanted = ((number, 100),)
        if isinstance(answer, dict) and wire.selector_of(answer.get("agent_endpoint")) == wanted:
            return Done("moved", number, note="pinned" if pin else "")
        live = await self.read(name)
        if live is not None and live.selector == wanted:
            return Done("moved", number, note="pinned" if pin else "")
        note = "the service accepted the traffic rule and did not take it"
        return Done("unchanged", number, reason="NotTaken", note=note)

    async def _patch(self, name: str, patch: JsonObject) -> Done:
        for number, share in wire.selector_of(patch.get("agent_endpoint")) or ():
            version = await self._version(name, number) if share else None
            if share and (version is None or version.health is not Health.ACTIVE):
                return _not_active(number)
        with translated(f"change the endpoint or card of agent {name}", self._pipe.endpoint):
            await self._agents().update_details(name, body=patch)
        live = await self.read(name)
        left = differences(patch, live.details if live else {})
        if not left:
            return Done("updated")
        paths = ", ".join(path for path, _, _ in left)
        note = f"the service accepted the change and did not take {paths}"
        return Done("unchanged", reason="NotTaken", note=note)

    async def _switch(self, name: str, *, enabled: bool) -> Done:
        word = "enable" if enabled else "disable"
        agents = self._agents()
        try:
            with translated(f"{word} agent {name}", self._pipe.endpoint):
                await (agents.enable(name) if enabled else agents.disable(name))
        except ServiceError as error:
            # The SDK takes 204 only; the service has also answered 200.
            if error.status is None or not 200 <= error.status < 300:
                raise
        live = await self.read(name)
        if live is not None and live.enabled == enabled:
            return Done(word + "d")
        return Done("unchanged", reason="NotTaken", note=f"the service did not {word} the agent")

    async def _retire(self, name: str, number: str) -> Done:
        """Rule R7, read again right before: neither what serves nor the latest, so another one stays."""
        live = await self.read(name)
        if live is None:
            return Done("unchanged", number, note="the agent is gone")
        if live.latest is None or number in {live.latest.number, *dict(live.traffic)}:
            return Done("skipped", number, reason="InUse", note=f"version {number} is in use")
        return await self._delete_version(name, number)

    async def _remove_failed(self, name: str, number: str) -> Done:
        """Rule R4, read again right before: it has failed, serves nothing, and is not the only one (R8)."""
        live, version = await self.read(name), await self._version(name, number)
        if live is None or version is None:
            return Done("unchanged", number, note="it was gone already")
        if version.health is not Health.FAILED:
            note = f"version {number} is {version.health} by now"
            return Done("skipped", number, reason="InUse", note=note)
        others = [other for other in await self._versions(name) if other.number != number]
        if number in dict(live.traffic) or not others:
            note = f"version {number} serves, or it is the only one: deleting it would delete the agent"
            return Done("skipped", number, reason="InUse", note=note)
        return await self._delete_version(name, number)

    async def _delete_version(self, name: str, number: str) -> Done:
        return await self._deleted(
            f"delete version {number} of agent {name}",
            lambda: self._agents().delete_version(name, number),
            number,
        )

    async def _delete(self, key: Key, call: DeleteAgent) -> Done:
        live = await self.read(key.name)
        if live is None:
            return Done("unchanged", note="the agent is gone already")
        if not await self._owned(key, live, call):
            note = "no version carries our genuine mark any more"
            return Done("skipped", reason="NotOurs", note=note)
        force = {"force": True} if call.force else {}
        return await self._deleted(
            f"delete agent {key.name}", lambda: self._agents().delete(key.name, **force), ""
        )

    async def _owned(self, key: Key, live: Live, call: DeleteAgent) -> bool:
        """Rules D1 and M4, read again right before: the newest genuine mark of this very name is ours."""
        if live.latest is not None and _genuine(key, live.latest):
            return _owner(live.latest) in call.owners
        if not call.delete_edited:
            return False
        versions = sorted(await self._versions(key.name), key=lambda version: version.order, reverse=True)
        newest = next((version for version in versions if _genuine(key, version)), None)
        return newest is not None and _owner(newest) in call.owners

    async def _deleted(self, what: str, send: Callable[[], Any], number: str) -> Done:
        try:
            with translated(what, self._pipe.endpoint):
                await send()
        except ServiceError as error:
            if error.status == 404:
                return Done("unchanged", number, note="it was gone already")
            if error.status == 409:
                # The service has no code of its own for this (unknown until seen): its words say what it is.
                said = f": {error.detail}" if error.detail else ""
                ends = "" if number else "; --force-sessions or `lifecycle.force_delete` ends them"
                note = f"it has active sessions{ends}{said}"
                return Done("skipped", number, reason="ActiveSessions", note=note)
            raise
        return Done("deleted", number)


def _json(response: Any, model: Any, headers: Any) -> Any:
    """What the SDK's `cls` takes instead of its model: the answer's JSON as it came."""
    return response.http_response.json()


def _genuine(key: Key, version: Version) -> bool:
    return version.mark is not None and version.mark.genuine(key, version.number)


def _owner(version: Version) -> str:
    return version.mark.owner if version.mark else ""


def _not_active(number: str) -> Done:
    note = f"version {number} is not active, so traffic stays where it is"
    return Done("skipped", number, reason="NotActive", note=note)


def failed_version(version: Version) -> Done:
    """The outcome of a version that the service could not start, with its reason and the remedy."""
    failure = version.failure
    code, message = (failure.code, failure.message) if failure else ("", "")
    what = f"version {version.number} is {version.health}"
    note = ": ".join(part for part in (what, code, message) if part)
    return Done("failed", version.number, reason=code or "VersionFailed", note=note, hint=remedy(code))

from __future__ import annotations

import json
from collections import Counter

import pytest

from .builders import hosted, prompt, shares
from .clients import Client, Refused
from .conftest import Control

ON_1 = {"version_indicator": {"type": "version_ref", "agent_version": "1"}}


@pytest.fixture
def ready(control: Control) -> None:
    """Hosted versions are active at once."""
    control.set(provisioning={"delay_s": 0})


@pytest.mark.usefixtures("ready")
async def test_a_session_is_on_the_version_asked_for(client: Client) -> None:
    await client("create_version", "a", hosted())
    await client("create_version", "a", hosted("acr.example/a:2"))
    session = await client("create_session", "a", {**ON_1, "agent_session_id": "mine"})
    assert (session["agent_session_id"], session["status"]) == ("mine", "active")
    assert session["version_indicator"] == ON_1["version_indicator"]
    assert session["expires_at"] - session["last_accessed_at"] == 30 * 24 * 3600
    assert await client("get_session", "a", "mine") == session
    assert await client("list_sessions", "a") == [session]


@pytest.mark.usefixtures("ready")
async def test_sessions_follow_the_selector_in_its_ratio(client: Client) -> None:
    await client("create_version", "a", hosted())
    await client("create_version", "a", hosted("acr.example/a:2"))
    await client("update_details", "a", shares(v1=80, v2=20))
    found: Counter[str] = Counter()
    for _ in range(100):
        session = await client("create_session", "a", {})
        found[session["version_indicator"]["agent_version"]] += 1
    assert found == {"1": 80, "2": 20}


@pytest.mark.usefixtures("ready")
async def test_without_a_selector_sessions_are_on_the_latest(client: Client) -> None:
    await client("create_version", "a", hosted())
    await client("create_version", "a", hosted("acr.example/a:2"))
    session = await client("create_session", "a", {})
    assert session["version_indicator"]["agent_version"] == "2"


@pytest.mark.usefixtures("ready")
async def test_stopped_sessions_are_idle_and_deleted_ones_gone(client: Client) -> None:
    await client("create_version", "a", hosted())
    await client("create_session", "a", {**ON_1, "agent_session_id": "s"})
    assert await client("stop_session", "a", "s") is None
    session = await client("get_session", "a", "s")
    assert (session["status"], "stopped_at" in session) == ("idle", True)
    assert await client("delete_session", "a", "s") is None
    with pytest.raises(Refused) as refused:
        await client("get_session", "a", "s")
    assert refused.value.status == 404


@pytest.mark.usefixtures("ready")
async def test_active_sessions_hold_back_deletes_without_force(client: Client) -> None:
    for image in ("1", "2"):
        await client("create_version", "a", hosted(image))
    await client("create_session", "a", ON_1)
    for operation, args in (("delete", ("a",)), ("delete_version", ("a", "1"))):
        for force in ({}, {"force": False}):
            with pytest.raises(Refused) as refused:
                await client(operation, *args, **force)
            assert refused.value.status == 409
    assert (await client("delete_version", "a", "2"))["deleted"] is True
    assert (await client("delete", "a", force=True))["deleted"] is True


@pytest.mark.usefixtures("ready")
async def test_stopped_sessions_hold_back_nothing(client: Client) -> None:
    await client("create_version", "a", hosted())
    session = await client("create_session", "a", ON_1)
    await client("stop_session", "a", session["agent_session_id"])
    assert (await client("delete", "a"))["deleted"] is True


async def test_a_version_that_is_not_active_takes_no_session(client: Client, control: Control) -> None:
    control.set(provisioning={"delay_s": 60})
    await client("create_version", "a", hosted())
    with pytest.raises(Refused) as refused:
        await client("create_session", "a", ON_1)
    assert (refused.value.status, refused.value.error["code"]) == (424, "session_not_ready")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"version_indicator": {"type": "version_ref", "agent_version": "9"}}, 404),
        ({"version_indicator": {"type": "other"}}, 400),
        ({"agent_session_id": "a b", **ON_1}, 400),
        ({"agent_session_id": "taken", **ON_1}, 409),
    ],
)
@pytest.mark.usefixtures("ready")
async def test_wrong_sessions_are_refused(client: Client, body: dict, status: int) -> None:
    await client("create_version", "a", hosted())
    await client("create_session", "a", {"agent_session_id": "taken", **ON_1})
    with pytest.raises(Refused) as refused:
        await client("create_session", "a", body)
    assert refused.value.status == status


@pytest.mark.usefixtures("ready")
async def test_sessions_are_paged_newest_first(client: Client) -> None:
    await client("create_version", "a", hosted())
    names = [f"s{number}" for number in range(5)]
    for name in names:
        await client("create_session", "a", {"agent_session_id": name, **ON_1})
    found = await client("list_sessions", "a", limit=2)
    assert [each["agent_session_id"] for each in found] == names[::-1]


@pytest.mark.usefixtures("ready")
async def test_the_log_of_a_session_is_an_event_stream(client: Client) -> None:
    await client("create_version", "a", hosted())
    await client("create_session", "a", {"agent_session_id": "s", **ON_1})
    content = await client("get_session_log_stream", "a", "1", "s")
    frames = content.decode().strip().split("\n\n")
    for frame in frames:
        event, data = frame.split("\n")
        assert event == "event: log"
        assert set(json.loads(data.removeprefix("data: "))) == {"timestamp", "stream", "message"}
    with pytest.raises(Refused):
        await client("get_session_log_stream", "a", "1", "other")


@pytest.mark.usefixtures("ready")
async def test_files_live_in_folders_of_the_session(client: Client) -> None:
    await client("create_version", "a", prompt())
    await client("create_session", "a", {"agent_session_id": "s", **ON_1})
    written = await client("upload_session_file", "a", "s", b"\x00abc", path="/in/deep/a.bin")
    assert written == {"path": "in/deep/a.bin", "bytes_written": 4}
    for name in ("b.txt", "c.txt", "d.txt"):
        await client("upload_session_file", "a", "s", b"x", path=f"in/{name}")
    assert await client("download_session_file", "a", "s", path="in/deep/a.bin") == b"\x00abc"
    home = await client("list_session_files", "a", "s")
    assert [(each["name"], each["is_directory"]) for each in home] == [("in", True)]
    entries = await client("list_session_files", "a", "s", path="in", limit=2)
    assert [(each["name"], each["size"]) for each in entries] == [
        ("b.txt", 1),
        ("c.txt", 1),
        ("d.txt", 1),
        ("deep", 0),
    ]
    with pytest.raises(Refused) as refused:
        await client("delete_session_file", "a", "s", path="in")
    assert refused.value.status == 409
    await client("delete_session_file", "a", "s", path="in", recursive=True)
    assert await client("list_session_files", "a", "s") == []


@pytest.mark.parametrize(
    ("operation", "path", "status"),
    [
        ("download_session_file", "none.txt", 404),
        ("download_session_file", "../secret", 400),
        ("delete_session_file", "none.txt", 404),
        ("list_session_files", "none", 404),
        ("list_session_files", "a/../../b", 400),
    ],
)
@pytest.mark.usefixtures("ready")
async def test_wrong_paths_are_refused(client: Client, operation: str, path: str, status: int) -> None:
    await client("create_version", "a", prompt())
    await client("create_session", "a", {"agent_session_id": "s", **ON_1})
    with pytest.raises(Refused) as refused:
        await client(operation, "a", "s", path=path)
    assert refused.value.status == status


async def test_sessions_go_idle_and_expire_by_the_clock() -> None:
    """The clock is an argument here: thirty days cannot be waited for over HTTP."""
    from reconciler.sandbox.sessions import LIFE_S, status, view

    session = {
        "name": "s",
        "version": "1",
        "idle_s": 900.0,
        "created_at": 0.0,
        "last_accessed_at": 0.0,
        "stopped_at": None,
    }
    seen = [(at, status(session, at)) for at in (0.0, 899.0, 900.0, LIFE_S - 1, LIFE_S)]  # type: ignore[arg-type]
    assert [word for _, word in seen] == ["active", "active", "idle", "idle", "expired"]
    assert view(session, 1000.0)["stopped_at"] == 900  # type: ignore[arg-type]

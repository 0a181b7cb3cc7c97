"""What servers and repositories do to a source: each is survived, or an error that says what to do."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from reconciler import git_objects
from reconciler.errors import InvalidInput, SourceError, SourceUnreachable
from reconciler.git_credentials import Login
from reconciler.location import GitUrl
from reconciler.service import mirror as mirrors
from reconciler.service.source import SourceReader
from reconciler.service.source_limits import Calls, FetchLimits, Watched
from tests.service.source.readers import PROJECT, agent, commit, git, reader, repo
from tests.source.repos import black_hole, git_server, repository


@pytest.fixture
def root(tmp_path):
    return repo(tmp_path / "srv/repo")


@pytest.fixture
def server(root):
    with git_server(root.parent) as found:
        yield found


def refused(source: SourceReader) -> SourceError:
    with pytest.raises(SourceError) as caught:
        source.checkout()
    assert caught.value.hint
    return caught.value


def names(checkout) -> list[str]:
    return [desired.key.name for desired in checkout.loaded.projects[0].resources]


def caches(home: Path) -> list[Path]:
    """The repositories that are kept, of every process."""
    return [folder for folder in (home / ".cache/reconciler/service").glob("*/*") if folder.is_dir()]


def test_a_source_that_has_not_moved_costs_one_question(tmp_path, root, server):
    source = reader(tmp_path / "home", f"{server.url}/repo")
    first = source.checkout()
    server.requests = 0
    for _ in range(3):
        assert source.checkout(source.head()) is first
    assert server.requests == 3


def test_a_push_is_one_fetch_and_brings_only_what_is_new(tmp_path, root, server):
    source = reader(tmp_path / "home", f"{server.url}/repo")
    source.checkout()
    pushed = commit(root, {"agents/a.yaml": agent("a", "gpt-5")})
    server.requests = 0
    checkout = source.checkout(source.head())
    assert (checkout.commit, server.requests) == (pushed, 3)
    assert {key.name for key in checkout.changed["prod"]} == {"a"}


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_a_force_push_is_followed(tmp_path, root, server, scheme):
    source = reader(tmp_path / "home", f"{server.url}/repo" if scheme == "http" else root)
    first = commit(root, {"agents/c.yaml": agent("c")})
    assert source.checkout().commit == first
    git(root, "reset", "-q", "--hard", "HEAD~")
    rewritten = commit(root, {"agents/d.yaml": agent("d")})
    second = source.checkout()
    assert (second.commit, names(second)) == (rewritten, ["a", "b", "d"])
    assert {key.name for key in second.changed["prod"]} == {"c", "d"}
    git(root, "update-ref", "refs/heads/main", first)
    assert names(source.checkout()) == ["a", "b", "c"]


def test_another_history_of_many_objects_is_fetched_without_its_past(tmp_path, root, server, monkeypatch):
    monkeypatch.setattr(mirrors, "_MOST_OBJECTS", 5)
    source = reader(tmp_path / "home", f"{server.url}/repo")
    source.checkout()
    git(root, "checkout", "-q", "--orphan", "new")
    for number in range(5):
        head = commit(root, {"agents/c.yaml": agent("c", f"m{number}")})
    git(root, "branch", "-f", "main", head)
    checkout = source.checkout()
    assert (checkout.commit, names(checkout)) == (head, ["a", "b", "c"])
    (folder,) = caches(tmp_path / "home")
    assert git(folder, "rev-list", "--count", head) == "1"


def test_a_repository_that_was_replaced_is_followed(tmp_path, root, server):
    source = reader(tmp_path / "home", f"{server.url}/repo")
    source.checkout()
    shutil.rmtree(root)
    repo(root, {"project.yaml": PROJECT, "agents/new.yaml": agent("new")})
    assert names(source.checkout()) == ["new"]


def test_a_deleted_branch_is_said_and_comes_back(tmp_path, root, server):
    source = reader(tmp_path / "home", f"{server.url}/repo", ref="live")
    head = git(root, "rev-parse", "HEAD")
    git(root, "branch", "live")
    first = source.checkout()
    git(root, "branch", "-D", "live")
    error = refused(source)
    assert str(error) == f"no branch or tag `live` in {server.url}/repo"
    assert "deleted" in error.hint
    # A folder of refs in its place, as a branch `live/a` would be.
    git(root, "branch", "live/a", head)
    refused(source)
    git(root, "branch", "-D", "live/a")
    git(root, "branch", "live", head)
    assert source.checkout() is first


@pytest.mark.parametrize("kind", ["light", "annotated", "commit", "default"])
def test_a_ref_may_be_a_tag_a_commit_or_left_out(tmp_path, root, server, kind):
    head = git(root, "rev-parse", "HEAD")
    git(root, "tag", *(["-a", "-m", "x"] if kind == "annotated" else []), "v1")
    ref = {"commit": head[:12], "default": None}.get(kind, "v1")
    source = reader(tmp_path / "home", f"{server.url}/repo", **({"ref": ref} if ref else {"ref": None}))
    checkout = source.checkout()
    assert checkout.commit == head
    if kind == "commit":
        assert source.checkout().commit == head
    commit(root, {"agents/c.yaml": agent("c")})
    git(root, "tag", "-f", "v1")
    moved = kind in ("light", "default")
    assert (source.checkout().commit != head) == (moved or kind == "annotated")


def test_a_server_that_went_away_comes_back(tmp_path, root):
    with git_server(root.parent) as server:
        port = int(server.url.rpartition(":")[2])
        source = reader(tmp_path / "home", f"{server.url}/repo", limits={"timeout": "2s"})
        first = source.checkout()
    with pytest.raises(SourceUnreachable):
        source.head()
    with pytest.raises(SourceUnreachable):
        source.checkout()
    with git_server(root.parent, port=port):
        assert source.checkout() is first


def test_silence_ends_a_call(tmp_path):
    with black_hole() as url:
        source = reader(tmp_path / "home", f"{url}/repo", limits={"timeout": "1s"})
        started = time.monotonic()
        error = refused(source)
    assert isinstance(error, SourceUnreachable)
    assert time.monotonic() - started < 3


def test_who_waits_for_a_server_that_hangs_is_let_go_at_the_end(tmp_path):
    with black_hole() as url, ThreadPoolExecutor(1) as other:
        source = reader(tmp_path / "home", f"{url}/repo")
        waiting = other.submit(source.head)
        time.sleep(0.3)
        started = time.monotonic()
        source.close()
        with pytest.raises(SourceUnreachable, match="is not asked any more"):
            waiting.result(5)
        with pytest.raises(SourceUnreachable, match="is not asked any more"):
            source.head()
        assert time.monotonic() - started < 1


@contextmanager
def dripping() -> str:
    """The address of a server that sends a byte of its answer every 50 ms and never ends."""
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        listening.settimeout(0.05)
        held: list[socket.socket] = []
        while not over.is_set():
            try:
                held.append(listening.accept()[0])
                held[-1].sendall(b"HTTP/1.1 200 OK\r\nX-Pad: ")
            except TimeoutError:
                pass
            for connection in held:
                try:
                    connection.sendall(b"x")
                except OSError:
                    continue
        for connection in held:
            connection.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            thread.join()


def test_a_server_that_drips_is_given_up_and_does_not_gather_threads(tmp_path):
    with dripping() as url:
        source = reader(tmp_path / "home", f"{url}/repo", limits={"timeout": "1s"})
        before = set(threading.enumerate())
        for _ in range(3):
            with pytest.raises(SourceUnreachable, match="said nothing for 1 s") as caught:
                source.head()
            assert "limits.timeout" in caught.value.hint
        started = time.monotonic()
        with pytest.raises(SourceUnreachable, match=r"3 earlier calls to .* still hang"):
            source.head()
        assert time.monotonic() - started < 0.5
        assert [t.name for t in set(threading.enumerate()) - before if t.name == "git"] == ["git"] * 3


@pytest.mark.parametrize(
    ("limits", "message", "hint"),
    [
        ({"megabytes": 1}, "sends more than 1 MB", "limits.megabytes"),
        ({"files": 3}, "4 files in .*, more than 3", "limits.files"),
    ],
    ids=["bytes", "files"],
)
def test_a_repository_over_its_limits_is_refused_and_one_within_is_read_again(
    tmp_path, root, server, limits, message, hint
):
    source = reader(tmp_path / "home", f"{server.url}/repo", limits=limits)
    first = source.checkout()
    git(root, "checkout", "-q", "-b", "large")
    (root / "large.bin").write_bytes(os.urandom(3 * 1024 * 1024))
    git(root, "branch", "-f", "main", commit(root, {}))
    for _ in range(2):
        with pytest.raises(SourceError, match=message) as caught:
            source.checkout()
        assert hint in caught.value.hint
    used = sum(file.stat().st_size for folder in caches(tmp_path / "home") for file in folder.rglob("*"))
    assert used < 10 * 1024 * 1024
    git(root, "branch", "-f", "main", first.commit)
    assert source.checkout() is first


def test_a_tree_that_contains_itself_over_and_over_is_refused(tmp_path, monkeypatch):
    """Ten folders in each of ten levels are 27 objects, and ten thousand million files."""
    monkeypatch.setattr(git_objects, "MAX_FILES_IN_ALL", 20_000)
    root = repository(tmp_path / "repo", {"a": "x"})
    entry = f"100644 blob {git(root, 'rev-parse', 'HEAD:a')}\ta"
    for _ in range(10):
        tree = git(root, "mktree", stdin=f"{entry}\n")
        entry = "\n".join(f"040000 tree {tree}\t{number}" for number in range(10))
    git(root, "update-ref", "refs/heads/main", git(root, "commit-tree", "-m", "x", tree))
    started = time.monotonic()
    error = refused(reader(tmp_path / "home", root))
    assert "more than 20,000 files" in str(error)
    assert time.monotonic() - started < 20


def test_a_folder_that_is_not_there_is_said(tmp_path, root):
    error = refused(reader(tmp_path / "home", root, path="manifests"))
    assert "no folder `manifests`" in str(error)
    assert "`path`" in error.hint


def test_only_the_projects_of_the_configuration_are_handled(tmp_path, root):
    commit(
        root, {"dev.yaml": PROJECT.replace("prod", "dev"), "dev-eu.yaml": PROJECT.replace("prod", "dev-eu")}
    )
    source = reader(tmp_path / "home", root, projects=["dev*"])
    assert [project.project.name for project in source.checkout().loaded.projects] == ["dev", "dev-eu"]
    assert set(source.checkout().changed) == {"dev", "dev-eu"}
    # One that another service handles may be broken as it likes.
    commit(root, {"project.yaml": PROJECT.replace("sandbox://prod", "nonsense")})
    assert set(source.checkout().changed) == {"dev", "dev-eu"}


def test_globs_that_match_no_project_are_said(tmp_path, root):
    with pytest.raises(InvalidInput, match=r"no Project in .* is called `stage-\*`") as caught:
        reader(tmp_path / "home", root, projects=["stage-*"]).checkout()
    assert "`projects` of the source" in caught.value.hint


@pytest.mark.parametrize(
    ("credentials", "environ", "hint"),
    [
        (None, {}, "`credentials` of its own"),
        ({"token": {"env": "TOKEN"}}, {"TOKEN": "wrong"}, "wrong, has expired"),
        ({"token": {"env": "TOKEN"}}, {"TOKEN": "t0ken"}, ""),
        ({"username": "ada", "token": {"env": "TOKEN"}}, {"TOKEN": "t0ken", "RECONCILER_GIT_TOKEN": "x"}, ""),
        (None, {"RECONCILER_GIT_TOKEN": "t0ken"}, ""),
    ],
    ids=["none", "wrong", "token", "before-the-environment", "environment"],
)
def test_the_sources_own_credentials_come_first(tmp_path, root, credentials, environ, hint):
    own = {"credentials": credentials} if credentials else {}
    with git_server(root.parent, password="t0ken") as server:
        source = reader(tmp_path / "home", f"{server.url}/repo", environ=environ, **own)
        if not hint:
            assert source.checkout()
            return
        error = refused(source)
    assert "refuses access" in str(error)
    assert hint in error.hint
    assert "wrong" not in str(error)


def test_a_broken_project_file_is_told_with_its_problems(tmp_path, root):
    source = reader(tmp_path / "home", root)
    first = source.checkout()
    commit(root, {"project.yaml": PROJECT.replace("sandbox://prod", "nonsense")})
    with pytest.raises(InvalidInput) as caught:
        source.checkout()
    assert "project.yaml:4" in str(caught.value.problems[0])
    commit(root, {"project.yaml": PROJECT, "agents/c.yaml": agent("c")})
    second = source.checkout()
    assert {key.name for key in second.changed["prod"]} == {"c"}
    assert second.loaded.projects[0].resources[0] is first.loaded.projects[0].resources[0]


def test_secrets_of_the_service_are_no_values_of_a_project(tmp_path, root):
    """Who can push could otherwise read them in an agent."""
    environ = {
        "GIT_TOKEN": "t0ken",
        "AZURE_CLIENT_SECRET": "s",
        "RECONCILER_GIT_TOKEN": "x",
        "PGPASSWORD": "p",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=k",
        "https_proxy": "http://u:p@proxy",
        "TEAM": "support",
    }
    asked = f"values_from_env: [{', '.join(environ)}]"
    more = f", description: {{$text: '{''.join(f'${{{name}}}' for name in environ)}'}}"
    commit(
        root,
        {
            "project.yaml": PROJECT.replace("owner:", f"{asked}, owner:"),
            "agents/a.yaml": agent("a", more=more),
        },
    )
    with git_server(root.parent, password="t0ken") as server:
        url = f"{server.url}/repo"
        source = reader(tmp_path / "home", url, environ=environ, credentials={"token": {"env": "GIT_TOKEN"}})
        (project,) = source.checkout().loaded.projects
        # A state of before, and a pull request: nobody gets more by asking for another commit.
        (other,) = source.at("refs/heads/main", environ).projects
    for problems in (project.problems, other.problems):
        missing = "".join(map(str, problems))
        for name in environ.keys() - {"TEAM"}:
            assert f"environment variable {name}, which is not set" in missing
        assert "variable TEAM" not in missing


def test_another_ref_is_read_beside_and_changes_nothing(tmp_path, root, server):
    source = reader(tmp_path / "home", f"{server.url}/repo")
    first = source.checkout()
    git(root, "checkout", "-q", "-b", "wish")
    commit(root, {"agents/c.yaml": agent("c")})
    git(root, "update-ref", "refs/pull/7/head", "HEAD")
    loaded = source.at("refs/pull/7/head", {})
    assert [desired.key.name for desired in loaded.projects[0].resources] == ["a", "b", "c"]
    assert source.checkout() is first
    head = commit(root, {"agents/d.yaml": agent("d")})
    git(root, "branch", "-f", "main", head)
    assert {key.name for key in source.checkout().changed["prod"]} == {"c", "d"}


class TestTheCache:
    @pytest.mark.parametrize("scheme", ["http", "file"])
    def test_old_objects_go_after_some_fetches_and_old_snapshots_stay_readable(
        self, tmp_path, root, server, scheme, monkeypatch
    ):
        monkeypatch.setattr(mirrors, "_FETCHES", 3)
        source = reader(tmp_path / "home", f"{server.url}/repo" if scheme == "http" else root)
        commit(root, {"big": "x" * 100_000, "noise": os.urandom(60_000).hex()})
        first = source.checkout()
        sizes = []
        for number in range(7):
            commit(root, {"agents/a.yaml": agent("a", f"m{number}"), "noise": os.urandom(60_000).hex()})
            assert names(source.checkout()) == ["a", "b"]
            self.settled(source)
            gc.collect()
            sizes.append(sum(f.stat().st_size for c in caches(tmp_path / "home") for f in c.rglob("*.pack")))
        if scheme == "http":
            assert max(sizes) < 1_500_000
        assert len(caches(tmp_path / "home")) <= 3
        assert first.loaded.snapshot.read("big") == b"x" * 100_000
        assert first.loaded.snapshot.read("noise")

    def settled(self, source: SourceReader) -> None:
        thread = source._mirror._renewing
        if thread is not None:
            thread.join()

    @pytest.mark.parametrize("what", ["all", "objects", "packs", "repository"])
    def test_a_cache_that_was_tidied_away_is_made_again(self, tmp_path, root, server, what):
        source = reader(tmp_path / "home", f"{server.url}/repo")
        source.checkout()
        for folder in caches(tmp_path / "home"):
            gone = {"all": folder.parent, "objects": folder / "objects", "repository": folder}
            shutil.rmtree(gone.get(what, folder / "objects/pack"))
        commit(root, {"agents/c.yaml": agent("c")})
        assert names(source.checkout()) == ["a", "b", "c"]

    def test_a_folder_that_cannot_be_written_is_said(self, tmp_path, root):
        (tmp_path / "file").write_text("")
        source = reader(tmp_path / "home", root, environ={"RECONCILER_CACHE": str(tmp_path / "file/cache")})
        error = refused(source)
        assert "cannot write the Git cache" in str(error)
        assert "RECONCILER_CACHE" in error.hint

    def test_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_stays(self, tmp_path, root):
        home = tmp_path / "home"
        code = (
            "import sys, pathlib\n"
            "from tests.service.source.readers import reader\n"
            f"source = reader(pathlib.Path({str(home)!r}), {f'file://{root}'!r})\n"
            "source.checkout(); print('ready', flush=True); sys.stdin.read()\n"
        )
        children = [
            subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for _ in range(2)
        ]
        try:
            for child in children:
                assert child.stdout.readline() == b"ready\n"
            assert len(caches(home)) == 2
            children[0].send_signal(signal.SIGKILL)
            children[0].wait()
            ours = reader(home, root)
            ours.checkout()
            assert len(caches(home)) == 2
            children[1].communicate(timeout=20)
            # Ended in order, it has tidied up by itself.
            assert caches(home) == [ours._mirror._generation.folder]
        finally:
            for child in children:
                child.kill()
                child.wait()
                child.stdin.close()
                child.stdout.close()

    def test_a_source_that_is_given_up_leaves_nothing(self, tmp_path, root):
        source = reader(tmp_path / "home", root)
        source.checkout()
        assert caches(tmp_path / "home")
        del source
        gc.collect()
        assert caches(tmp_path / "home") == []


def test_a_mirror_opens_no_file_while_it_rests(tmp_path, root, server):
    def open_files() -> int:
        links = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        return sum(link.startswith(str(tmp_path)) and "/pack-" in link for link in links)

    sources = [reader(tmp_path / "home", f"{server.url}/repo") for _ in range(3)]
    checkouts = [source.checkout() for source in sources]
    assert open_files() == 0
    assert checkouts[0].loaded.snapshot.read("project.yaml") == PROJECT.encode()


def test_a_transfer_without_end_is_given_up_and_ends_at_its_next_sign_of_life():
    url = GitUrl("http", "h", "http://h/r")
    limits = FetchLimits(silence_s=5, whole_s=0.3, most_bytes=1000, files=1)
    watched = Watched(url, Login(), limits)
    ended = threading.Event()

    def transfer() -> None:
        try:
            for _ in range(100):
                watched.transfer_progress(SimpleNamespace(received_bytes=10, total_objects=1))
                time.sleep(0.05)
        finally:
            ended.set()

    with pytest.raises(SourceUnreachable, match=r"took more than 0.3 s") as caught:
        Calls(url, limits).run(transfer, watched)
    assert "limits.timeout" in caught.value.hint
    assert ended.wait(2)


_ASKED_WHILE_READ = """
import sys, threading, time
from pathlib import Path
from reconciler.location import parse_location
from reconciler.service.mirror import Mirror
from reconciler.service.source_limits import FetchLimits

mirror = Mirror(parse_location(sys.argv[1], "main"), {}, Path(sys.argv[2]), FetchLimits(60, 600, 2**30, 1000))
name, commit = mirror.head()
end, asked = time.monotonic() + 3, [0, 0]

def ask(number):
    while time.monotonic() < end:
        assert mirror.head() == (name, commit)
        asked[number] += 1

asking = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
for thread in asking:
    thread.start()
while time.monotonic() < end:
    mirror.rest(mirror.fetch(name, commit))
for thread in asking:
    thread.join()
assert min(asked) > 10
"""


def test_a_source_that_is_asked_while_its_files_are_closed_ends_no_process(tmp_path, root):
    (tmp_path / "cache").mkdir()
    command = [sys.executable, "-c", _ASKED_WHILE_READ, f"file://{root}", str(tmp_path / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_source_that_is_asked_while_it_is_read_for_the_first_time_is_read(tmp_path, root):
    for number in range(40):
        source, together = reader(tmp_path / f"home-{number}", root), threading.Barrier(2)

        def ask(source=source, together=together) -> None:
            together.wait()
            source.head()

        asking = threading.Thread(target=ask)
        asking.start()
        together.wait()
        assert names(source.checkout()) == ["a", "b"]
        asking.join()

"""A Git server over HTTP on this machine: Git's own `http-backend`, spoken to as CGI, with a webhook on push.

For demonstrations, benchmarks and tests. It listens on loopback only and asks nobody who they are.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

_MAX_BYTES = 256 * 1024 * 1024


class GitServer:
    """Bare repositories below a folder, served while the block runs.

    Args:
        root: an empty folder; `create("agents")` makes `root/agents.git`, served at `url/agents.git`.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._hooks: dict[str, tuple[str, str]] = {}
        self.deliveries: list[int] = []
        # When each request was answered (Unix seconds), and its path.
        self.answered: list[tuple[float, str]] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:4711`."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def create(self, name: str) -> str:
        """Make an empty repository; the URL to clone and push."""
        path = self.root / f"{name}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(path)], check=True)
        subprocess.run(["git", "-C", str(path), "config", "http.receivepack", "true"], check=True)
        return f"{self.url}/{name}.git"

    def webhook(self, name: str, url: str, secret: str) -> None:
        """Tell `url` of every push to this repository from now on, signed as Gitea signs."""
        self._hooks[name] = (url, secret)

    def pushed(self, name: str, before: Mapping[str, str]) -> None:
        """Deliver one webhook for each branch that moved."""
        after = self.heads(name)
        if name not in self._hooks:
            return
        url, secret = self._hooks[name]
        for ref in sorted({*before, *after}):
            if before.get(ref) == after.get(ref):
                continue
            body = json.dumps(
                {
                    "ref": ref,
                    "before": before.get(ref, "0" * 40),
                    "after": after.get(ref, "0" * 40),
                    "repository": {"clone_url": f"{self.url}/{name}.git", "default_branch": "main"},
                }
            ).encode()
            signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
            request = urllib.request.Request(
                url,
                body,
                {
                    "Content-Type": "application/json",
                    "X-Gitea-Event": "push",
                    "X-Gitea-Delivery": hashlib.sha256(os.urandom(16)).hexdigest()[:32],
                    "X-Gitea-Signature": signature,
                },
            )
            try:
                with urllib.request.urlopen(request, timeout=5) as answer:
                    self.deliveries.append(answer.status)
            except OSError as error:
                # A service that is down hears of the push by its next poll, as with any other forge.
                self.deliveries.append(getattr(error, "code", 0) or 0)

    def heads(self, name: str) -> dict[str, str]:
        """The branches of a repository with their commits."""
        done = subprocess.run(
            ["git", f"--git-dir={self.root / name}.git", "for-each-ref", "--format=%(refname) %(objectname)"],
            capture_output=True,
            text=True,
            check=True,
        )
        return dict(line.split(" ") for line in done.stdout.splitlines())

    def __enter__(self) -> GitServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        # A client that was killed is no news; of anything else the thread's traceback tells.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(server: GitServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._cgi(b"")

        def do_POST(self) -> None:
            self._cgi(self._body())

        def log_message(self, format: str, *args: object) -> None:
            pass

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)
            return self.rfile.read(min(int(self.headers.get("Content-Length") or 0), _MAX_BYTES))

        def _cgi(self, body: bytes) -> None:
            parts = urlsplit(self.path)
            name = unquote(parts.path).lstrip("/").split(".git/")[0]
            pushes = parts.path.endswith("/git-receive-pack") and self.command == "POST"
            before = server.heads(name) if pushes else {}
            environ = {
                **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
                "GIT_PROJECT_ROOT": str(server.root),
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": unquote(parts.path),
                "QUERY_STRING": parts.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "CONTENT_LENGTH": str(len(body)),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "REMOTE_ADDR": "127.0.0.1",
            }
            done = subprocess.run(
                ["git", "http-backend"], input=body, env=environ, capture_output=True, check=False
            )
            head, _, answer = done.stdout.partition(b"\r\n\r\n")
            fields = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if ": " in line]
            status = next((value for key, value in fields if key.lower() == "status"), "200 OK")
            self.send_response(int(status.split(" ")[0]))
            for key, value in fields:
                if key.lower() not in ("status", "content-length"):
                    self.send_header(key, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            server.answered.append((time.time(), parts.path))
            if pushes:
                server.pushed(name, before)

    return Handler

"""Code-based hosted agents: the multipart upload, its checksum, and the download."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from io import BytesIO

from reconciler.sandbox import agents, validation, versions
from reconciler.sandbox.errors import ApiError, invalid, not_found
from reconciler.sandbox.wire import Call, Json, Reply, parse_json

MAX_ZIP_BYTES = 250 * 1024 * 1024
"""Source: docstring of `create_version_from_code`, azure-ai-projects 2.10."""

MAX_BYTES = MAX_ZIP_BYTES + 1024 * 1024
"""Biggest multipart body: the zip and a definition."""

HASH_HEADER = "x-ms-code-zip-sha256"


@dataclass(frozen=True)
class Part:
    """One part of a multipart body; `filename` None means that it is a field."""

    name: str
    filename: str | None
    content: bytes


def is_upload(call: Call) -> bool:
    """Whether the request is a form and not JSON."""
    return call.headers.get("content-type", "").lower().startswith("multipart/")


def uploaded(call: Call) -> tuple[Json, str]:
    """The JSON body inside an upload, and the checksum under which its zip is stored from now on.

    Raises:
        ApiError: 400, the form is broken, a part is missing, or the zip is not the one that was announced;
            413, the zip is too big.
    """
    parts = {part.name: part for part in parse_form(call.headers.get("content-type", ""), call.body)}
    if "metadata" not in parts:
        raise invalid("The part 'metadata' is missing.", "metadata")
    code = parts.get("code")
    if code is None or code.filename is None:
        raise invalid("The part 'code' is missing, or has no file name.", "code")
    body = parse_json(parts["metadata"].content)
    if not isinstance(body, dict):
        raise invalid("The part 'metadata' must be a JSON object.", "metadata")
    if call.settings["validation"] != "off":
        definition = validation.definition_of(body)
        if definition["kind"] != "hosted" or definition.get("code_configuration") is None:
            raise invalid("Code needs a hosted definition with 'code_configuration'.", "definition")
    return body, _stored(call, code.content)


def _stored(call: Call, content: bytes) -> str:
    if len(content) > MAX_ZIP_BYTES:
        raise ApiError(413, "The code zip is larger than 250 MB.", code="file_size_exceeded", param="code")
    if call.settings["validation"] == "strict" and not zipfile.is_zipfile(BytesIO(content)):
        raise invalid("The part 'code' is not a zip file.", "code")
    sha = hashlib.sha256(content).hexdigest()
    announced = call.headers.get(HASH_HEADER)
    if announced is not None and announced.strip().lower() != sha:
        raise invalid("The code zip does not have the announced SHA-256.", HASH_HEADER)
    call.db.execute("INSERT OR IGNORE INTO zips (sha, content) VALUES (?, ?)", (sha, content))
    return sha


def parse_form(content_type: str, body: bytes) -> list[Part]:
    """The named parts of a `multipart/form-data` body, contents byte for byte.

    Raises:
        ApiError: 400, no boundary, no end, or a part without a name.
    """
    header = Message()
    header["Content-Type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise invalid("The form has no boundary.", "Content-Type")
    try:
        fence = b"\r\n--" + boundary.encode("ascii")
    except UnicodeEncodeError as e:
        raise invalid("The boundary of the form is not ASCII.", "Content-Type") from e
    # The first fence may stand at the very start; with a line break before it all fences look alike.
    pieces = (b"\r\n" + body).split(fence)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise invalid("The form does not end with its boundary.")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, gap, content = piece.partition(b"\r\n\r\n")
    if not gap or not head.startswith(b"\r\n"):
        raise invalid("A part of the form has no header.")
    headers = HeaderParser().parsestr(head[2:].decode("latin-1"))
    name, filename = headers.get_param("name", header="content-disposition"), headers.get_filename()
    if not isinstance(name, str) or not name:
        raise invalid("A part of the form has no name.")
    return Part(name, filename, content)


def download(call: Call) -> Reply:
    """`GET /agents/{agent_name}/code:download?agent_version`: of the latest version by default."""
    agent = agents.agent_of(call)
    name = call.query.get("agent_version") or "@latest"
    version = versions.version(call.db, agent["id"], name)
    if version is None:
        raise not_found("Version", f"{agent['name']}:{name}")
    row = call.db.execute("SELECT content FROM zips WHERE sha = ?", (version["code_sha"],)).fetchone()
    if row is None:
        raise ApiError(
            409,
            f"Version '{agent['name']}:{version['version']}' is not code-based.",
            code="AgentNotCodeBased",
        )
    headers = {
        "x-ms-agent-version": version["version"],
        HASH_HEADER: version["code_sha"],
        "Content-Disposition": "attachment; filename=code.zip",
    }
    return Reply(body=row["content"], headers=headers, content_type="application/zip")

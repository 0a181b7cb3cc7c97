from __future__ import annotations

import hashlib
import io
import json
import zipfile

import aiohttp
import pytest

from .builders import code_definition, hosted
from .clients import Client, Raw, Refused
from .conftest import Control


def zipped(text: str = "print('hello')\r\n--x\r\n\r\n") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("main.py", text)
    return stream.getvalue()


async def test_uploaded_code_can_be_downloaded_byte_for_byte(client: Client) -> None:
    content = zipped()
    version = await client(
        "create_version_from_code", "a", definition=code_definition(), code=content, description="Coded"
    )
    assert version["description"] == "Coded"
    sha = hashlib.sha256(content).hexdigest()
    assert version["definition"]["code_configuration"]["content_hash"] == sha
    assert version["metadata"] == {"enableVnextExperience": "false"}
    assert await client("download_code", "a") == content
    assert await client("download_code", "a", agent_version="1") == content


async def test_downloads_say_what_they_are(raw: Raw) -> None:
    content = zipped()
    await raw("create_version_from_code", "a", definition=code_definition(), code=content)
    answer, _ = await raw.send("GET", "/agents/a/code:download")
    assert answer.headers["x-ms-agent-version"] == "1"
    assert answer.headers["x-ms-code-zip-sha256"] == hashlib.sha256(content).hexdigest()
    assert answer.headers["Content-Disposition"] == "attachment; filename=code.zip"
    assert answer.content_type == "application/zip"


async def test_the_same_code_again_is_the_same_version(client: Client) -> None:
    for expected, content in (("1", zipped()), ("1", zipped()), ("2", zipped("other")), ("3", zipped())):
        version = await client("create_version_from_code", "a", definition=code_definition(), code=content)
        assert version["version"] == expected


async def test_a_definition_sent_back_as_read_is_the_same_version(raw: Raw) -> None:
    version = await raw("create_version_from_code", "a", definition=code_definition(), code=zipped())
    again = await raw("create_version_from_code", "a", definition=version["definition"], code=zipped())
    assert again["version"] == "1"


async def test_a_wrong_checksum_is_refused(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        await client(
            "create_version_from_code",
            "a",
            definition=code_definition(),
            code=zipped(),
            code_zip_sha256="0" * 64,
        )
    assert (refused.value.status, refused.value.error["param"]) == (400, "x-ms-code-zip-sha256")
    assert await client("list") == []


async def test_image_agents_have_no_code(client: Client) -> None:
    await client("create_version", "a", hosted())
    with pytest.raises(Refused) as refused:
        await client("download_code", "a")
    assert (refused.value.status, refused.value.error["code"]) == (409, "AgentNotCodeBased")


async def test_code_needs_a_code_definition(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        await client("create_version_from_code", "a", definition=hosted()["definition"], code=zipped())
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nx\r\n--b--"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name=code\r\n\r\nx"),
        (
            "multipart/form-data; boundary=b",
            b"--b\r\nContent-Disposition: form-data; name=metadata\r\n\r\n{}\r\n--b--",
        ),
        ("multipart/form-data; boundary=\xe9", b"--b"),
        ("multipart/mixed; boundary=b", b"--b--"),
    ],
)
async def test_a_broken_form_is_refused(raw: Raw, content_type: str, body: bytes) -> None:
    answer, content = await raw.send(
        "POST", "/agents/a/versions", data=body, headers={"Content-Type": content_type}
    )
    assert (answer.status, b'"error"' in content) == (400, True)


async def test_rest_clients_create_and_update_with_code(raw: Raw, control: Control) -> None:
    def form(text: str) -> aiohttp.FormData:
        fields = aiohttp.FormData()
        fields.add_field("code", zipped(text), filename="code.zip")
        fields.add_field("metadata", json.dumps({"definition": code_definition()}))
        return fields

    headers = {"x-ms-agent-name": "a"}
    agent = await raw.json("POST", "/agents", data=form("1"), headers=headers)
    assert (agent["name"], agent["versions"]["latest"]["version"]) == ("a", "1")
    for text, expected in (("1", "1"), ("2", "2")):
        agent = await raw.json("POST", "/agents/a", data=form(text))
        assert agent["versions"]["latest"]["version"] == expected

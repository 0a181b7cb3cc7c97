"""What is secret never leaves; what is not stays readable."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.masking import MASK, Masker, looks_secret, secret_name

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.abcDEF_123"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("key s3cr3t-value here", f"key {MASK} here", id="known-value"),
        pytest.param("GET /?q=s3cr3t-value%21", f"GET /?q={MASK}%21", id="known-value-in-a-url"),
        pytest.param("https://bob:pw@host/repo", f"https://{MASK}@host/repo", id="password-in-a-url"),
        pytest.param("https://ghp_tok@host/repo", f"https://{MASK}@host/repo", id="user-in-a-url"),
        pytest.param("ssh://git@host/repo, postgresql://USER@HOST/DATABASE", None, id="public-user-in-a-url"),
        pytest.param("Authorization: Bearer abcdefgh123", f"Authorization: Bearer {MASK}", id="bearer"),
        pytest.param(f"token {JWT}.", f"token {MASK}.", id="jwt"),
        pytest.param("x;AccountKey=abcd1234==;y", f"x;AccountKey={MASK};y", id="storage-key"),
        pytest.param("?se=1&sig=abcd%2B12&x=1", f"?se=1&sig={MASK}&x=1", id="sas-signature"),
        pytest.param("ghp_" + "a1" * 18, MASK, id="github-token"),
        pytest.param("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----", MASK, id="pem"),
        pytest.param("\x1b[31mred\x07", "\\x1b[31mred\\x07", id="terminal-sequences-are-shown"),
        pytest.param("a\u202eb", "a\\u202eb", id="direction-marks-are-shown"),
        pytest.param("a\r\nb\tc\n", "a\\x0d\nb\tc\n", id="tab-and-line-feed-stay"),
        pytest.param("mail me: a@example.com, see https://host/a@b", None, id="addresses-stay"),
        pytest.param("the bearer documents; basic authentication; sk-learn; KEY=", None, id="words-stay"),
        pytest.param("${{connections.bing.credentials.key}}", None, id="placeholder-stays"),
    ],
)
@pytest.mark.rule("P11")
def test_text(text, expected):
    assert Masker(["s3cr3t-value", "abc"]).text(text) == (text if expected is None else expected)


@pytest.mark.rule("P11")
def test_values_under_secret_names_are_masked_and_others_stay():
    form = {
        "definition": {
            "instructions": "Say hello; the word is s3cr3t-value.",
            "environment_variables": {
                "API_KEY": "plain words",
                "LOG_LEVEL": "INFO",
                "USE_API_KEY": "true",
                "BING_KEY": "${{connections.bing.credentials.key}}",
                "OTHER": "s3cr3t-value",
            },
            "tools": [
                {
                    "type": "mcp",
                    "authorization": "opaque words",
                    "headers": {"x-api-key": "opaque", "accept": "*/*"},
                },
            ],
        }
    }
    masked = Masker(["s3cr3t-value"]).json(form)["definition"]
    assert masked["instructions"] == f"Say hello; the word is {MASK}."
    assert masked["environment_variables"] == {
        "API_KEY": MASK,
        "LOG_LEVEL": "INFO",
        "USE_API_KEY": "true",
        "BING_KEY": "${{connections.bing.credentials.key}}",
        "OTHER": MASK,
    }
    assert masked["tools"] == [
        {"type": "mcp", "authorization": MASK, "headers": {"x-api-key": MASK, "accept": "*/*"}}
    ]


@pytest.mark.parametrize(
    ("pointer", "value", "expected"),
    [
        ("/definition/environment_variables/DB_PASSWORD", "hunter22", MASK),
        ("/definition/environment_variables/LOG_LEVEL", "hunter22", "hunter22"),
        ("/definition/environment_variables", {"DB_PASSWORD": "hunter22"}, {"DB_PASSWORD": MASK}),
        ("/definition/tools/0/authorization", "hunter22", MASK),
        ("/definition/tools/0/headers/x~1token", "hunter22", MASK),
        ("/definition/tools/0/name", "password", "password"),
        ("", {"a": [1, None, True, 1.5]}, {"a": [1, None, True, 1.5]}),
        (
            "/definition/environment_variables",
            [{"name": "A_TOKEN", "value": "hunter22"}],
            [{"name": "A_TOKEN", "value": MASK}],
        ),
    ],
)
def test_one_field_is_masked_as_it_is_in_the_whole(pointer, value, expected):
    assert Masker().json(value, pointer) == expected


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("OPENAI_API_KEY", True),
        ("apiKey", True),
        ("APIKEY", True),
        ("x-functions-key", True),
        ("GITHUB_TOKEN", True),
        ("DB_PASSWORD", True),
        ("AZURE_STORAGE_CONNECTION_STRING", True),
        ("Authorization", True),
        ("MAX_TOKENS", False),
        ("TOKEN_LIMIT", False),
        ("KEY_VAULT_NAME", False),
        ("PARTITION_KEY", False),
        ("PUBLIC_KEY", False),
        ("MONKEY", False),
        ("", False),
    ],
)
def test_secret_name(name, secret):
    assert secret_name(name) is secret


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        ("Zm9vYmFyQmF6MTIzNDU2Nzg5MFF1eFF1dXg=", True),
        ("text-embedding-3-large-2024-05-13", False),
        ("6f1ed002-ab59-4e7a-9a0e-11d2c3b4a5f6", False),
        ("sha256:" + "ab12" * 16, False),
        ("/subscriptions/6f1ed002/resourceGroups/Rg1/providers/X", False),
        ("https://Contoso1.example.com/a/b/c", False),
        ("12345", False),
    ],
)
def test_values_with_the_form_of_a_secret_are_found_by_themselves(value, secret):
    assert looks_secret("SETTING", value) is secret


secrets = st.text(st.characters(codec="utf-8"), min_size=4, max_size=40).filter(
    lambda text: len(text.strip()) >= 4
)


# Letters against signs, so that the rest of the line cannot spell the secret again.
words = st.text("abcxyzABC019", min_size=4, max_size=40)
signs = st.text("<>|,!() \n\té…", max_size=30)


@given(words, signs, signs)
@pytest.mark.rule("P11")
def test_a_known_secret_is_in_no_text_and_the_rest_of_it_stays(secret, before, after):
    assert Masker([secret]).text(before + secret + after) == before + MASK + after


@given(secrets)
@pytest.mark.rule("P11")
def test_a_known_secret_is_in_no_json(secret):
    masked = Masker([secret]).json({"a": [f"x{secret}y"], "b": {"c": secret}})
    assert masked == {"a": [f"x{MASK}y"], "b": {"c": MASK}}


@given(st.text())
def test_masked_text_holds_no_control_characters(text):
    masked = Masker().text(text)
    assert all(
        character in "\t\n" or character.isprintable() or ord(character) >= 0xA0 for character in masked
    )


def test_a_secret_in_escaped_json_is_masked():
    secret = 'quo"te\\and\nline'
    assert "quo" not in Masker([secret]).text(json.dumps({"a": secret}))


@pytest.mark.parametrize(
    "word", ["sk-", "bearer ", "://", "eyJaaaaaaaa.", "password=", "-----BEGIN ", "accountkey"]
)
def test_no_text_takes_long(word: str) -> None:
    """A manifest may be a megabyte, and every prompt in it is looked through."""
    began = time.process_time()
    Masker({"geheim"}).text("key private key-----" + word * (100_000 // len(word)))
    assert time.process_time() - began < 3

"""The routes we read ourselves, and the preview features the SDK asks for when it writes.

Source: azure-ai-projects 2.10, `operations/_operations.py` and `models/_patch.py`; a contract test drives the
SDK and these against one recorder and compares the request lines.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

API_VERSION: Final = "v1"
# The service's largest page; smaller ones only cost requests.
PAGE: Final = 100

LIST_AGENTS: Final = "/agents"
GET_AGENT: Final = "/agents/{agent_name}"
LIST_VERSIONS: Final = "/agents/{agent_name}/versions"
GET_VERSION: Final = "/agents/{agent_name}/versions/{agent_version}"
DOWNLOAD_CODE: Final = "/agents/{agent_name}/code:download"

# Reads of agents carry no Foundry-Features header, also with previews allowed (measured).
FEATURES: Final[dict[str, str]] = {
    LIST_AGENTS: "",
    GET_AGENT: "",
    LIST_VERSIONS: "",
    GET_VERSION: "",
    DOWNLOAD_CODE: "",
}


def url(endpoint: str, route: str, names: dict[str, str] | None = None, **query: str | int) -> str:
    """The full URL of a route; names are escaped for a path, the api-version comes last."""
    asked = {**query, "api-version": API_VERSION}
    path = route.format(**{key: quote(value, safe="") for key, value in (names or {}).items()})
    return f"{endpoint}{path}?{urlencode(asked, quote_via=quote)}"

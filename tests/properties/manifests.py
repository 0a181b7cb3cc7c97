"""Strategies for what Git may say of an agent: specs of all five kinds, and desired values made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

from reconciler.kinds.agent import AGENT
from reconciler.kinds.agent.spec import AgentSpec
from reconciler.resource import Code, Desired, Key

Json = Any
KINDS: Final = ("prompt", "hosted", "workflow", "external", "voice")

# Text as prompts hold it: other scripts, line ends, braces, dollars; no lone surrogates, which are no UTF-8.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12) | st.sampled_from(
    ["Answer briefly.", "${name} {{user}} ${{x}}", "Zeile\r\nzwei", "名前: é", "'\"\\`"]
)
words = st.sampled_from(["alpha", "beta", "gamma", "delta"])
scalars = st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, 1.0, 1.5]) | texts
users_json = st.recursive(
    st.none() | scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=4,
)


class OneFolder:
    """A source with one code folder, whose content is the revision in its name: `app@3`."""

    def code(self, folder: str, ignore_file: str = ".agentignore") -> tuple[Code, tuple[()]]:
        return Code(folder, f"tree-of-{folder}", (("main.py", folder), ("requirements.txt", folder))), ()


def zipped(code: Code) -> bytes:
    """Bytes that differ as the folder's content does; the service looks at their hash only."""
    return b"PK\x05\x06" + bytes(18) + code.tree.encode()


def _some(required: Mapping[str, Json], optional: Mapping[str, st.SearchStrategy[Json]]) -> Any:
    fixed = {name: st.just(value) if isinstance(value, str) else value for name, value in required.items()}
    return st.fixed_dictionaries(fixed, optional=dict(optional))


functions = _some(
    {"type": "function", "name": words, "parameters": st.dictionaries(words, users_json, max_size=2)},
    {"description": texts, "strict": st.booleans()},
)
servers = _some(
    {"type": "mcp", "server_label": words, "server_url": st.just("https://mcp.example.com")},
    {
        "allowed_tools": st.lists(words, max_size=2),
        "require_approval": st.sampled_from(["always", "never"]),
        "headers": st.dictionaries(words, words, max_size=1),
    },
)
tools = st.lists(
    functions | servers | st.just({"type": "web_search"}),
    max_size=3,
    unique_by=lambda tool: (tool["type"], tool.get("name"), tool.get("server_label")),
)

_prompt = _some(
    {"kind": "prompt", "model": st.sampled_from(["gpt-5-mini", "gpt-4.1"])},
    {
        "instructions": texts,
        "temperature": st.sampled_from([0, 0.5, 1, 1.0]),
        "top_p": st.sampled_from([0.1, 1]),
        "tools": tools,
        "reasoning": st.fixed_dictionaries({}, optional={"effort": st.sampled_from(["low", "high"])}),
        "structured_inputs": st.dictionaries(
            words,
            st.fixed_dictionaries({}, optional={"description": texts, "default_value": users_json}),
            max_size=2,
        ),
        "text": st.just({"format": {"type": "text"}}),
    },
)
_hosted = _some(
    {
        "kind": "hosted",
        "cpu": st.just("1"),
        "memory": st.just("2Gi"),
        "protocol_versions": st.lists(
            st.sampled_from(
                [{"protocol": "responses", "version": "2.0.0"}, {"protocol": "a2a", "version": "1"}]
            ),
            min_size=1,
            max_size=2,
            unique_by=lambda item: item["protocol"],
        ),
    },
    {"environment_variables": st.dictionaries(words, texts, max_size=3)},
)
_image = _some({"image": st.sampled_from(["r.example.com/bot:1", "r.example.com/bot:2"])}, {})
_code = _some(
    {"runtime": "python_3_13", "entry_point": st.just(["python", "main.py"])},
    {"dependency_resolution": st.sampled_from(["bundled", "remote_build"])},
)
_workflow = _some({"kind": "workflow", "workflow": st.text("ab \n:-", min_size=1, max_size=12)}, {})
_external = _some({"kind": "external"}, {"otel_agent_id": words})
_voice = _some(
    {"kind": "voice", "model_type": "managed", "model": "gpt-realtime"},
    {"instructions": texts, "tools": tools, "greeting": st.just({"type": "text", "text": "Hello"})},
)
definitions: Final[Mapping[str, st.SearchStrategy[Json]]] = {
    "prompt": _prompt,
    "hosted": st.tuples(_hosted, _image).map(lambda pair: {**pair[0], "container_configuration": pair[1]}),
    "workflow": _workflow,
    "external": _external,
    "voice": _voice,
}
any_definition = st.sampled_from(KINDS).flatmap(lambda kind: definitions[kind])
code_definition = st.tuples(_hosted, _code).map(lambda pair: {**pair[0], "code_configuration": pair[1]})

metadata = st.dictionaries(st.sampled_from(["owner", "tier", "cost"]), texts, max_size=2)
_ignored: Final = {
    "prompt": ["/definition/temperature", "/definition/reasoning/effort", "/definition/tools/*/description"],
    "hosted": ["/definition/environment_variables/alpha", "/definition/cpu"],
    "workflow": ["/description"],
    "external": ["/metadata/owner"],
    "voice": ["/definition/instructions", "/metadata"],
}
_endpoints = st.fixed_dictionaries(
    {},
    optional={
        "protocol_configuration": st.sampled_from([{"responses": {}}, {"responses": {}, "a2a": {}}]),
        "authorization_schemes": st.just([{"type": "Entra"}]),
    },
)
_cards = st.none() | st.fixed_dictionaries(
    {
        "version": st.sampled_from(["1", "2"]),
        "skills": st.just([{"id": "s", "name": "S", "description": "d", "tags": []}]),
    }
)


@st.composite
def specs(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> Json:
    """The `spec` of a valid Agent manifest; one in eight hosted ones is made of code."""
    kind = draw(st.sampled_from(kinds))
    coded = kind == "hosted" and draw(st.integers(0, 7)) == 0
    spec: Json = {"definition": draw(code_definition if coded else definitions[kind])}
    if coded:
        spec["code"] = {"path": draw(st.sampled_from(["app@1", "app@2"]))}
    optional = {
        "description": texts,
        "metadata": metadata,
        "endpoint": _endpoints,
        "card": _cards,
        "state": st.sampled_from(["enabled", "disabled"]),
    }
    spec |= draw(st.fixed_dictionaries({}, optional=optional))
    strategies = ["direct"] if kind == "external" else ["direct", "pinned"]
    release = {"strategy": st.sampled_from(strategies), "metadata_only": st.sampled_from(["try", "defer"])}
    spec["release"] = draw(
        st.fixed_dictionaries(
            {"keep": st.sampled_from([0, 1, 10]), "keep_days": st.just(0)}, optional=release
        )
    )
    lifecycle = {
        "ignore": st.lists(st.sampled_from(_ignored[kind]), max_size=2, unique=True),
        "protect": st.booleans(),
        "on_remove": st.sampled_from(["delete", "keep"]),
        "allow_kind_change": st.booleans(),
        "force_delete": st.booleans(),
    }
    spec["lifecycle"] = draw(st.fixed_dictionaries({}, optional=lifecycle))
    return spec


def desired_of(name: str, spec: Json, project: str = "prod") -> Desired:
    """The desired value of a spec, as loading makes it."""
    found, findings = AGENT.desire(Key(project, "Agent", name), AgentSpec.model_validate(spec), OneFolder())
    assert found is not None, findings
    return found

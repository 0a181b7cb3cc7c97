"""For every live state: import, then a plan says no changes, or the agent is left out with a reason."""

from __future__ import annotations

from typing import Any

import pytest

from reconciler.yaml_nodes import parse
from tests.world import Result, World, hosted, prompt

CLEAN = "Checked: a plan of what was written says no changes."
NASTY = (
    "costs $5 ${HOME} {x} # no: comment\ttab \nline with end   \n\"q\" 's' \\n %d @me *a &b\n"
    "— ünïcode 👩\u200d💻\n"
)


def version(definition: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"definition": definition or prompt(), **more}


def rules(**shares: int) -> list[dict[str, Any]]:
    return [{"agent_version": key[1:], "traffic_percentage": share} for key, share in shares.items()]


def v(number: int) -> dict[str, Any]:
    return version(prompt(f"Version {number}."))


def failed(number: int) -> dict[str, Any]:
    return {**v(number), "status": "failed", "error": {"code": "image_pull_failed", "message": "no image"}}


ENDPOINT = {
    "protocol_configuration": {"responses": {}, "a2a": {}},
    "authorization_schemes": [{"type": "Entra"}],
}
CARD = {
    "version": "1.0",
    "skills": [{"id": "s", "name": "sort", "description": "Sorts: mail", "tags": ["yes"]}],
}

# What is live, and the manifest's part that says it; `...` for whatever.
STATES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({"versions": [v(1)]}, {"definition": prompt("Version 1.")}),
    "follows-latest": ({"versions": [v(1), v(2)]}, {"definition": prompt("Version 2.")}),
    "pinned-to-latest": (
        {"versions": [v(1), v(2)], "selector": rules(v2=100)},
        {"definition": prompt("Version 2.")},
    ),
    "pinned-to-older": (
        {"versions": [v(1), v(2)], "selector": rules(v1=100)},
        {"definition": prompt("Version 1.")},
    ),
    "pinned-to-older-of-equals": (
        {"versions": [v(1), v(1), v(1)], "selector": rules(v2=100)},
        {"definition": prompt("Version 1.")},
    ),
    "split": (
        {"versions": [v(1), v(2)], "selector": rules(v1=90, v2=10)},
        {"definition": prompt("Version 2."), "release": {"strategy": "manual"}},
    ),
    "split-with-newer-outside": (
        {"versions": [v(1), v(2), v(3)], "selector": rules(v1=50, v2=50)},
        {"definition": prompt("Version 2."), "release": {"strategy": "manual"}},
    ),
    "pinned-below-a-failed-latest": (
        {"versions": [v(1), failed(2)], "selector": rules(v1=100)},
        {"definition": prompt("Version 1.")},
    ),
    "pinned-below-a-creating-latest": (
        {"versions": [v(1), {**v(2), "status": "creating"}], "selector": rules(v1=100)},
        {"definition": prompt("Version 1.")},
    ),
    "with-a-draft": (
        {"versions": [v(1), {**v(2), "draft": True}]},
        {"definition": prompt("Version 1.")},
    ),
    "disabled": ({"versions": [v(1)], "state": "disabled"}, {"state": "disabled"}),
    "card": ({"versions": [v(1)], "card": CARD}, {"card": CARD}),
    "endpoint": ({"versions": [v(1)], "endpoint": ENDPOINT}, {"endpoint": ENDPOINT}),
    "no-endpoint": ({"versions": [v(1)], "endpoint": None}, {}),
    "description-and-metadata": (
        {"versions": [version(description="Sorts: mail #1", metadata={"team": "yes", "n": "12"})]},
        {"description": "Sorts: mail #1", "metadata": {"team": "yes", "n": "12"}},
    ),
    "metadata-of-other-tools": (
        {"versions": [version(metadata={"enableVnextExperience": "true", "team": "a"})]},
        {"metadata": {"team": "a"}},
    ),
    "nasty-prompt": ({"versions": [version(prompt(NASTY))]}, {"definition": prompt(NASTY)}),
    "crlf-prompt": ({"versions": [version(prompt("a\r\nb\r\n"))]}, {"definition": prompt("a\r\nb\r\n")}),
    "words-that-yaml-reads-otherwise": (
        {"versions": [version(prompt("null", structured_inputs={"no": {"default_value": "2024-01-01"}}))]},
        {"definition": prompt("null", structured_inputs={"no": {"default_value": "2024-01-01"}})},
    ),
    "empty-prompt": ({"versions": [version(prompt(""))]}, {"definition": prompt("")}),
    "one-very-long-line": (
        {"versions": [version(prompt("word " * 3000))]},
        {"definition": prompt("word " * 3000)},
    ),
    "tools": (
        {
            "versions": [
                version(
                    prompt(
                        tools=[
                            {
                                "type": "function",
                                "name": "f",
                                "description": "x",
                                "strict": True,
                                "parameters": {
                                    "type": "object",
                                    "$defs": {"a": {"type": "string", "default": None}},
                                    "properties": {"p": {"$ref": "#/$defs/a"}},
                                },
                            },
                            {
                                "type": "mcp",
                                "server_label": "m",
                                "server_url": "https://x/y",
                                "allowed_tools": [],
                            },
                        ]
                    )
                )
            ]
        },
        {},
    ),
    "hosted": ({"versions": [version(hosted())]}, {"definition": hosted()}),
    "hosted-with-numbers-as-text": (
        {"versions": [version(hosted(environment_variables={"A": "1", "B": "true", "C": "", "D": "~"}))]},
        {"definition": hosted(environment_variables={"A": "1", "B": "true", "C": "", "D": "~"})},
    ),
    "hosted-with-an-empty-legacy-list": (
        {"versions": [version(hosted(container_protocol_versions=[]))]},
        {"definition": hosted()},
    ),
    "hosted-below-a-failed-latest": (
        {
            "versions": [
                version(hosted()),
                {**version(hosted("registry.example.com/x:2")), "status": "failed"},
            ],
            "selector": rules(v1=100),
        },
        {"definition": hosted()},
    ),
    "unknown-preview-key": (
        {"versions": [version(prompt(preview_thing={"x": 1}))]},
        {"schema": "warn"},
    ),
    "unknown-preview-tool": (
        {"versions": [version(prompt(tools=[{"type": "telepathy_preview", "range_m": 3}]))]},
        {"schema": "warn"},
    ),
    "workflow": (
        {"versions": [version({"kind": "workflow", "workflow": "kind: workflow\r\nactions: []\r\n"})]},
        {},
    ),
    "external": ({"versions": [version({"kind": "external", "otel_agent_id": "a"})]}, {}),
    "external-by-default": ({"versions": [version({"kind": "external"})]}, {}),
    "voice": (
        {"versions": [version({"kind": "voice", "model_type": "managed", "model": "gpt-realtime"})]},
        {},
    ),
    "a-tier-that-is-no-more": (
        {"versions": [version(hosted(cpu="3", memory="7Gi"))]},
        {"definition": hosted(cpu="3", memory="7Gi")},
    ),
    "fifteen-pairs-of-metadata": (
        {"versions": [version(metadata={f"k{n}": "v" for n in range(15)})]},
        {"lifecycle": {"ignore": ["/metadata"]}},
    ),
    "image-in-its-old-place": (
        {
            "versions": [
                version({**hosted(), "container_configuration": None, "image": "registry.example.com/t:1"})
            ]
        },
        {"release": {"version": "1"}},
    ),
}


def imported(world: World, *args: str) -> Result:
    return world.run("import", str(world.repo), "--endpoint", world.endpoint, *args)


def spec_of(world: World, name: str) -> dict[str, Any]:
    parsed = parse((world.repo / f"agents/{name}.yaml").read_bytes())
    spec: dict[str, Any] = parsed.documents[0].value["spec"]
    return spec


def no_changes(world: World) -> None:
    world.forget()
    result = world.plan()
    assert (result.exit_code, result.last_line) == (0, "No changes. Live agents match the manifests."), (
        result.stdout + result.stderr
    )
    assert world.writes() == []


@pytest.mark.parametrize("state", STATES)
def test_a_plan_after_an_import_says_no_changes(bare_world: World, state: str) -> None:
    world, (live, expected) = bare_world, STATES[state]
    world.seed({"name": "it", **live})
    world.forget()

    done = imported(world)

    assert world.writes() == []
    assert (done.exit_code, CLEAN in done.stdout) == (0, True), done.stdout + done.stderr
    spec = spec_of(world, "it")
    assert {key: spec.get(key) for key in expected if key != "endpoint"} == {
        key: value for key, value in expected.items() if key != "endpoint"
    }
    no_changes(world)

"""Whatever values are chosen: what is rendered is valid, safe and fits together."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.deploy import laws
from tests.deploy.rendering import VERSIONS, example, render, validate

pytestmark = pytest.mark.xdist_group("helm")

_STORES = st.sampled_from(
    [
        "sqlite:////var/lib/reconciler/store.db",
        "postgresql://reconciler@db/reconciler",
        "postgresql://db:6432/x?sslmode=require",
        "postgresql://[fd00::1]:5433/x",
    ]
)
_SWITCHES = (
    "ingress",
    "httpRoute",
    "migration",
    "networkPolicy",
    "persistence",
    "serviceMonitor",
    "workloadIdentity",
)
_PORTS = st.integers(1, 65535)
_NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,40}[a-z0-9])?", fullmatch=True)
_LABELS = st.dictionaries(_NAMES, st.sampled_from(["yes", "1", "true", "", "a.b"]), max_size=2)
# What YAML could take for something else, were it not quoted.
_TEXTS = st.sampled_from(["yes", "0x1", "{}", "a: b", "{{ .Values }}", "'", '"', "\n", "%", "ä", "- x", "&a"])


@st.composite
def values(draw: st.DrawFn) -> dict[str, Any]:
    """Values that an installation may have."""
    made = example("sqlite")
    config = made["config"]
    config["store"] = draw(_STORES)
    config["listen"] = f"{draw(st.sampled_from(['0.0.0.0', '[::]', '10.0.0.1']))}:{draw(_PORTS)}"
    config["sources"][0]["projects"] = draw(st.lists(st.sampled_from(["*", "prod", "[a-c]*"]), min_size=1))
    config["limits"] = {"webhooks_per_minute": draw(st.integers(1, 100_000))}
    made["replicaCount"] = draw(st.integers(0, 1 if config["store"].startswith("sqlite") else 50))
    for name in (
        "ingress",
        "httpRoute",
        "networkPolicy",
        "serviceMonitor",
        "workloadIdentity",
        "persistence",
    ):
        made[name] = {"enabled": draw(st.booleans())}
    made["ingress"]["hosts"] = draw(st.lists(_NAMES, min_size=1, max_size=3))
    made["httpRoute"]["parentRefs"] = [{"name": draw(_NAMES)}]
    made["workloadIdentity"]["clientId"] = "3" * 8
    made["serviceAccount"] = {"name": draw(st.just("") | _NAMES)}
    made["fullnameOverride"] = draw(st.just("") | _NAMES)
    made["commonLabels"] = draw(_LABELS)
    made["podLabels"] = draw(_LABELS)
    made["service"] = {"port": draw(_PORTS)}
    if draw(st.booleans()):
        made["secretFiles"] = {
            "data": {"git-token": "abcdefgh", "tokens": f"ops: sha256:{'c' * 64}", "x": draw(_TEXTS)}
        }
    made["secretEnv"] = {"data": draw(st.dictionaries(st.sampled_from(["PGPASSWORD", "A"]), _TEXTS))}
    made["knownHosts"] = draw(st.just("") | _TEXTS)
    made["env"] = [{"name": "TEXT", "value": draw(_TEXTS)}]
    return made


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(values())
def test_whatever_is_installed_is_valid_safe_and_fits_together(chosen: dict[str, Any]) -> None:
    rendered = render(chosen)

    for document in rendered.documents:
        validate(document, VERSIONS[-1])
    for _, pod in rendered.pods():
        laws.restricted(pod)
    laws.selectors_find_the_service_alone(rendered)
    laws.ports_agree(rendered)
    laws.names_are_unique_and_here(rendered)
    laws.everything_named_is_there(rendered, of_the_user=frozenset({"reconciler-files"}))
    with tempfile.TemporaryDirectory() as folder:
        config = laws.loaded(rendered, Path(folder))
    assert config.spec.store == chosen["config"]["store"]
    assert config.spec.sources[0].projects == tuple(chosen["config"]["sources"][0]["projects"])
    (container,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    assert container["env"] == chosen["env"]

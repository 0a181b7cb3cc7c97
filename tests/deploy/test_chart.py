"""The chart's examples: what they make is valid, safe and fits together."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import laws
from tests.deploy.rendering import (
    CHART,
    EXAMPLES,
    ROOT,
    VERSIONS,
    Rendered,
    example,
    is_hook,
    lint,
    render,
    validate,
)

pytestmark = pytest.mark.xdist_group("helm")

_OF_THE_USER = frozenset({"reconciler-files", "reconciler-postgresql", "company-ca"})
_ALWAYS = {"ConfigMap", "Deployment", "Service", "ServiceAccount"}


@pytest.fixture(params=EXAMPLES)
def rendered(request: pytest.FixtureRequest) -> Rendered:
    """What each example makes."""
    return render(example(request.param))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sqlite", {"PersistentVolumeClaim"}),
        ("postgresql", {"PodDisruptionBudget", "Job"}),
        (
            "everything",
            {
                "PodDisruptionBudget",
                "Job",
                "Secret",
                "Ingress",
                "HTTPRoute",
                "NetworkPolicy",
                "ServiceMonitor",
            },
        ),
    ],
)
def test_an_example_makes_what_it_needs(name: str, kinds: set[str]) -> None:
    assert {document["kind"] for document in render(example(name)).documents} == _ALWAYS | kinds


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_document(rendered: Rendered, version: str) -> None:
    for document in rendered.documents:
        validate(document, version)


def test_what_kubernetes_refuses_is_seen() -> None:
    """The check of the check: a typo in either kind of schema is an error."""
    for document in render(example("everything")).documents:
        broken = {**document, "spec": {**document.get("spec", {}), "selektor": 1}}
        if "spec" in document:
            with pytest.raises(Exception, match="selektor"):
                validate(broken, VERSIONS[-1])


def test_every_pod_is_restricted(rendered: Rendered) -> None:
    for _, pod in rendered.pods():
        laws.restricted(pod)


def test_everything_fits_together(rendered: Rendered) -> None:
    laws.selectors_find_the_service_alone(rendered)
    laws.ports_agree(rendered)
    laws.names_are_unique_and_here(rendered)
    laws.everything_named_is_there(rendered, of_the_user=_OF_THE_USER)


def test_the_service_takes_the_configuration(rendered: Rendered, tmp_path: Path) -> None:
    config = laws.loaded(rendered, tmp_path)

    assert config.spec.sources[0].name == "agents"


def test_the_migration_has_the_store_and_no_credentials(tmp_path: Path) -> None:
    rendered = render(example("everything"))
    config = laws.loaded(rendered, tmp_path, hook=True)
    (container,) = rendered.one("Job", hook=True)["spec"]["template"]["spec"]["containers"]

    assert config.spec.store == example("everything")["config"]["store"]
    assert not config.secrets
    assert container["args"] == ["serve", "--migrate", "--config", "/etc/reconciler/config/service.yaml"]


def test_the_migration_starts_after_what_it_reads() -> None:
    hooks = [document for document in render(example("everything")).documents if is_hook(document)]
    weights = {
        document["kind"]: int(document["metadata"]["annotations"]["helm.sh/hook-weight"])
        for document in hooks
    }

    assert weights.keys() == {"Job", "ConfigMap", "Secret"}
    assert all(weight < weights["Job"] for kind, weight in weights.items() if kind != "Job")


def test_a_file_has_one_process_at_a_time() -> None:
    deployment = render(example("sqlite")).one("Deployment")["spec"]

    assert deployment["replicas"] == 1
    assert deployment["strategy"] == {"type": "Recreate"}


def test_replicas_are_replaced_one_after_the_other() -> None:
    deployment = render(example("postgresql")).one("Deployment")["spec"]

    assert deployment["replicas"] == 3
    assert deployment["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


def test_a_hung_pod_goes_quickly() -> None:
    """It keeps its advisory locks until it ends, and no longer hears SIGTERM."""
    (container,) = render(example("postgresql")).one("Deployment")["spec"]["template"]["spec"]["containers"]
    probe = container["livenessProbe"]

    assert probe["terminationGracePeriodSeconds"] <= 5
    assert probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"] <= 45


def test_a_stop_has_time_to_end_in_order() -> None:
    spec = render(example("sqlite")).one("Deployment")["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    waits = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])

    assert spec["terminationGracePeriodSeconds"] >= waits + 15


def test_workload_identity_is_label_and_annotation() -> None:
    rendered = render(example("everything"))
    annotations = rendered.one("ServiceAccount")["metadata"]["annotations"]
    pod = rendered.one("Deployment")["spec"]["template"]

    assert annotations == {
        "azure.workload.identity/client-id": "33333333-3333-3333-3333-333333333333",
        "azure.workload.identity/tenant-id": "00000000-0000-0000-0000-000000000000",
    }
    assert pod["metadata"]["labels"]["azure.workload.identity/use"] == "true"
    assert pod["spec"]["serviceAccountName"] == rendered.one("ServiceAccount")["metadata"]["name"]


def test_the_network_policy_lets_the_store_through() -> None:
    rendered = render(example("everything"))
    egress = rendered.one("NetworkPolicy")["spec"]["egress"]

    assert [[port["port"] for port in rule["ports"]] for rule in egress] == [
        [53, 53],
        [443, 22, 6432],
        [3128],
    ]


@pytest.mark.parametrize(
    ("store", "ports"),
    [
        pytest.param("postgresql://u@db/r", [5432], id="default"),
        pytest.param("postgresql://u@one:5433,two:5434,three/r", [5433, 5434, 5432], id="several-hosts"),
        pytest.param("postgresql://u@[fd00::1]/r?sslmode=require", [5432], id="ipv6"),
        pytest.param("postgresql://u@db/r?sslmode=require&port=6000,6001", [6000, 6001], id="parameter"),
        pytest.param("postgresql:///r?host=a,b&port=6000", [6000], id="hosts-as-parameter"),
    ],
)
def test_the_network_policy_lets_every_server_of_the_store_through(store: str, ports: list[int]) -> None:
    values = example("everything")
    values["config"]["store"] = store

    egress = render(values).one("NetworkPolicy")["spec"]["egress"]

    assert [port["port"] for port in egress[1]["ports"]] == [443, 22, *ports]


@pytest.mark.parametrize("text", ["\n", "a\n\n", " a\n", "-----BEGIN\nx\n", ""])
def test_variables_keep_their_line_ends(text: str) -> None:
    env = [{"name": "TEXT", "value": text}]

    for _, pod in render({**example("postgresql"), "env": env, "secretEnv": {"existing": ""}}).pods():
        assert pod["spec"]["containers"][0]["env"] == env


def restarts_for(values: dict[str, Any]) -> str:
    annotations = render(values).one("Deployment")["spec"]["template"]["metadata"]["annotations"]
    return str(annotations["reconciler/restarts-for"])


@pytest.mark.parametrize(
    ("change", "restarts"),
    [
        pytest.param({"log": "debug"}, False, id="log"),
        pytest.param({"limits": {"webhooks_per_minute": 5}}, False, id="other-limit"),
        pytest.param({"limits": {"reconciles": 2}}, True, id="reconciles"),
        pytest.param({"listen": "0.0.0.0:9000"}, True, id="listen"),
        pytest.param({"store": "postgresql://db/other"}, True, id="store"),
    ],
)
def test_pods_restart_only_for_what_takes_a_restart(change: dict[str, Any], restarts: bool) -> None:
    before = example("postgresql")
    after = {**before, "config": {**before["config"], **change}}

    assert (restarts_for(after) != restarts_for(before)) == restarts


@pytest.mark.parametrize(("secret", "restarts"), [("secretEnv", True), ("secretFiles", False)])
def test_pods_restart_for_variables_that_the_chart_keeps_and_read_files_again(
    secret: str, restarts: bool
) -> None:
    before = {**example("postgresql"), secret: {"existing": "", "data": {"PGPASSWORD": "old"}}}
    after = {**before, secret: {"existing": "", "data": {"PGPASSWORD": "new"}}}

    assert (restarts_for(after) != restarts_for(before)) == restarts
    assert restarts_for({**before, secret: {"existing": "mine"}}) == restarts_for(example("postgresql"))


def test_the_claim_outlives_the_release() -> None:
    claim = render(example("sqlite")).one("PersistentVolumeClaim")

    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_a_store_that_ends_with_its_pod_is_told() -> None:
    values = {**example("sqlite"), "persistence": {"enabled": False}}
    rendered = render(values)

    assert not rendered.of("PersistentVolumeClaim")
    assert "persistence.enabled is false" in rendered.notes


@pytest.mark.parametrize("values", [{}, *map(example, EXAMPLES)], ids=["none", *EXAMPLES])
def test_helm_has_nothing_to_say(values: dict[str, Any]) -> None:
    assert lint(values) == []


def test_table_of_values_and_schema_are_written_again_after_a_change() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "script" / "chart.py", "--check"], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr


def test_every_value_is_described() -> None:
    from script.chart import undocumented

    assert undocumented((CHART / "values.yaml").read_text()) == []


def test_chart_and_package_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    package = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert chart["appVersion"] == package
    assert f'org.opencontainers.image.version="{package}"' in (ROOT / "Dockerfile").read_text()

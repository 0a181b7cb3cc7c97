"""Wrong values are refused before anything is installed, with what to write instead."""

from __future__ import annotations

from typing import Any

import helm_python
import pytest

from tests.deploy.rendering import example, render

pytestmark = pytest.mark.xdist_group("helm")


def changed(path: str, value: Any, name: str = "sqlite") -> dict[str, Any]:
    """The values of an example with one of them replaced."""
    values = example(name)
    *above, last = path.split(".")
    inner = values
    for part in above:
        inner = inner.setdefault(part, {})
    inner[last] = value
    return values


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        pytest.param("replicaCount", 2, "a store in a file serves one", id="replicas-of-a-file"),
        pytest.param("image.repository", "", "image.repository is empty", id="no-image"),
        pytest.param("config.sources", [], "config.sources is empty", id="no-sources"),
        pytest.param("config.auth", None, "config.auth is missing", id="no-sign-in"),
        pytest.param("config.listen", "127.0.0.1:8080", "neither probes nor the Service", id="loopback"),
        pytest.param("config.store", "sqlite:///store.db", "outside of /var/lib/reconciler", id="read-only"),
        pytest.param("config.store", "postgresql://u:p@db/x", "holds a password", id="password"),
        pytest.param("secretFiles.data", {"a": "b"}, "both existing and data", id="two-secrets"),
        pytest.param("ingress.enabled", True, "ingress.hosts is empty", id="no-host"),
        pytest.param("httpRoute.enabled", True, "httpRoute.parentRefs is empty", id="no-gateway"),
        pytest.param("workloadIdentity.enabled", True, "clientId is empty", id="no-client"),
    ],
)
def test_values_that_do_not_go_together_are_refused(path: str, value: Any, told: str) -> None:
    with pytest.raises(helm_python.HelmRenderError, match="cannot be installed") as error:
        render(changed(path, value))

    assert told in str(error.value)
    assert len([line for line in str(error.value).splitlines() if line.startswith("  - ")]) == 1


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(helm_python.HelmRenderError) as error:
        render(changed("config.store", "postgresql://u:hunter2@db/x"))

    assert "hunter2" not in str(error.value)


def test_everything_wrong_is_told_at_once() -> None:
    with pytest.raises(helm_python.HelmRenderError) as error:
        render({})

    assert str(error.value).count("\n  - ") == 3


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        pytest.param("replicas", 2, "replicas", id="unknown-value"),
        pytest.param("image.name", "x", "name", id="unknown-inside"),
        pytest.param("config.stores", "x", "stores", id="unknown-setting"),
        pytest.param("config.sources", [{"name": "a", "uri": "x"}], "uri", id="unknown-in-a-source"),
        pytest.param("config.backoff", {"first": "5"}, "first", id="no-span"),
        pytest.param("replicaCount", "two", "replicaCount", id="no-number"),
        pytest.param("image.digest", "sha256:abc", "digest", id="short-digest"),
        pytest.param("terminationGracePeriodSeconds", 5, "terminationGracePeriodSeconds", id="hasty"),
        pytest.param("podSecurityContext.runAsNonRoot", False, "runAsNonRoot", id="root-allowed"),
        pytest.param("podSecurityContext.runAsUser", 0, "runAsUser", id="root"),
        pytest.param("secretEnv.data", {"NO-NAME": "x"}, "NO-NAME", id="no-variable"),
        pytest.param("service.port", 70000, "port", id="no-port"),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(path: str, value: Any, told: str) -> None:
    with pytest.raises(helm_python.HelmError) as error:
        render(changed(path, value))

    assert "values don't meet the specifications of the schema" in str(error.value)
    assert told in str(error.value)

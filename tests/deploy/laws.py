"""What must hold of everything that the chart renders, whatever the values."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reconciler.service.config import Config, load_config
from tests.deploy.rendering import Document, Rendered, is_hook

# Written where a Secret of the user's own would be mounted.
_FILES = {
    "git-token": "ghp_0123456789abcdef",
    "oidc": "0123456789abcdef",
    "session-key": "0123456789abcdef0123456789abcdef",
    "tokens": f"ops: sha256:{'b' * 64}\n",
    "webhook": "0123456789abcdef",
}
_MOUNT = "/etc/reconciler/secrets"


def restricted(pod: Document) -> None:
    """The pod meets the restricted Pod Security Standard, and more: nothing is written but volumes."""
    spec = pod["spec"]
    assert not any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC"))
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    for container in [*spec["containers"], *spec.get("initContainers", [])]:
        security = container["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert not security.get("privileged")
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not any("hostPort" in port for port in container.get("ports", []))
    kinds = {kind for volume in spec["volumes"] for kind in volume if kind != "name"}
    assert kinds <= {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}


def selectors_find_the_service_alone(rendered: Rendered) -> None:
    """What selects pods of the service selects those of the Deployment, and never the migration's."""
    pods = {kind: pod["metadata"]["labels"] for kind, pod in rendered.pods()}
    service = rendered.one("Service")
    selectors = [rendered.one("Deployment")["spec"]["selector"]["matchLabels"], service["spec"]["selector"]]
    selectors += [
        document["spec"]["selector"]["matchLabels"] for document in rendered.of("PodDisruptionBudget")
    ]
    for selector in selectors:
        assert selector.items() <= pods["Deployment"].items()
        assert not selector.items() <= pods.get("Job", {}).items()
    for policy in rendered.of("NetworkPolicy"):
        assert all(
            policy["spec"]["podSelector"]["matchLabels"].items() <= labels.items() for labels in pods.values()
        )
    for monitor in rendered.of("ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()


def ports_agree(rendered: Rendered) -> None:
    """From the Ingress to the address that the service listens at it is one port."""
    (container,) = rendered.one("Deployment")["spec"]["template"]["spec"]["containers"]
    (port,) = container["ports"]
    assert (
        config_text(rendered)
        .partition("listen:")[2]
        .split("\n")[0]
        .strip("' ")
        .endswith(f":{port['containerPort']}")
    )
    assert all(
        container[probe]["httpGet"]["port"] == port["name"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    )
    service = rendered.one("Service")
    (service_port,) = service["spec"]["ports"]
    assert service_port["targetPort"] == port["name"]
    for ingress in rendered.of("Ingress"):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                assert path["backend"]["service"] == {
                    "name": service["metadata"]["name"],
                    "port": {"name": service_port["name"]},
                }
    for route in rendered.of("HTTPRoute"):
        (backend,) = route["spec"]["rules"][0]["backendRefs"]
        assert backend == {"name": service["metadata"]["name"], "port": service_port["port"]}
    for monitor in rendered.of("ServiceMonitor"):
        assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [service_port["name"]]
    for policy in rendered.of("NetworkPolicy"):
        (rule,) = policy["spec"]["ingress"]
        assert rule["ports"] == [{"protocol": "TCP", "port": port["containerPort"]}]


def everything_named_is_there(rendered: Rendered, *, of_the_user: frozenset[str]) -> None:
    """Whatever a pod refers to is made here, at the same time or before, or is the user's own."""
    for kind, pod in rendered.pods():
        spec = pod["spec"]
        for needed, name in _references(spec):
            found = rendered.named(needed, name)
            assert name in of_the_user or found is not None, f"{kind} refers to {needed} {name}"
            # The Job runs before anything but hooks of a lower weight is there.
            assert found is None or is_hook(found) == (kind == "Job"), f"{kind} refers to {needed} {name}"
        names = [volume["name"] for volume in spec["volumes"]]
        assert len(names) == len(set(names))
        for container in spec["containers"]:
            mounts = container["volumeMounts"]
            assert {mount["name"] for mount in mounts} <= set(names)
            assert len({mount["mountPath"] for mount in mounts}) == len(mounts)
            assert not any("subPath" in mount for mount in mounts), "files of subPath are never updated"


def names_are_unique_and_here(rendered: Rendered) -> None:
    """No two documents are the same thing; all are in the release's namespace and carry its labels."""
    keys = [(document["kind"], document["metadata"]["name"]) for document in rendered.documents]
    assert len(keys) == len(set(keys))
    for document in rendered.documents:
        assert document["metadata"]["namespace"] == "agents"
        assert document["metadata"]["labels"]["app.kubernetes.io/instance"] == "demo"


def config_text(rendered: Rendered) -> str:
    """The configuration that the pods read."""
    text: str = rendered.one("ConfigMap")["data"]["service.yaml"]
    return text


def loaded(rendered: Rendered, folder: Path, *, hook: bool = False) -> Config:
    """The configuration as the service loads it, with Secrets in a folder of ours.

    Raises:
        InvalidInput: the service would not start.
    """
    secrets = folder / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    for name, text in {**_FILES, **_made(rendered)}.items():
        file = secrets / name
        file.touch(mode=0o600)
        file.write_text(text)
    config = folder / "service.yaml"
    text = rendered.one("ConfigMap", hook=hook)["data"]["service.yaml"]
    config.write_text(text.replace(_MOUNT, str(secrets)))
    return load_config(config, {})


def _made(rendered: Rendered) -> Mapping[str, str]:
    return {
        name: base64.b64decode(text).decode()
        for secret in rendered.of("Secret")
        if secret["metadata"]["name"].endswith("-files")
        for name, text in secret["data"].items()
    }


def _references(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Kind and name of everything that a pod cannot start without."""
    if spec["serviceAccountName"] != "default":
        yield "ServiceAccount", spec["serviceAccountName"]
    for volume in spec["volumes"]:
        if "configMap" in volume:
            yield "ConfigMap", volume["configMap"]["name"]
        if "secret" in volume:
            yield "Secret", volume["secret"]["secretName"]
        if "persistentVolumeClaim" in volume:
            yield "PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]
    for container in spec["containers"]:
        for source in container.get("envFrom", []):
            if "secretRef" in source:
                yield "Secret", source["secretRef"]["name"]

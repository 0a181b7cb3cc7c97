"""The service's configuration: one YAML file, checked like manifests, every problem at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reconciler.service.config_spec import Secret, ServiceSpec


@dataclass(frozen=True)
class Config:
    """A configuration that was checked, with every secret it names already read."""

    path: Path
    spec: ServiceSpec
    secrets: Mapping[Secret, str] = field(default_factory=dict, repr=False)

    def secret(self, where: Secret) -> str:
        """The secret kept there, as read when the configuration was loaded; never empty."""
        return self.secrets[where]


@dataclass
class Configured:
    """The configuration in force. A reload that was refused leaves `current` and says why in `rejected`."""

    current: Config
    rejected: tuple[str, ...] = ()
    rejected_at: float = 0.0
    loaded_at: float = 0.0

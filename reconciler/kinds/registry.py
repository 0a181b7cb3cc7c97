"""Every kind by name, in the order in which resources depend on each other."""

from __future__ import annotations

from typing import Final

from reconciler.kinds.agent import AGENT
from reconciler.kinds.kind import Registry

KINDS: Final[Registry] = {AGENT.name: AGENT}

"""A Foundry-shaped agents data plane over real HTTP, for tests, demos and trying things out.

It follows the service's contract, shares no code with the client it tests, and keeps its state in one SQLite
file. Its own routes, for switches, faults, seeds and the request log, are under `/_sandbox/`.
"""

from __future__ import annotations

from reconciler.sandbox.errors import SandboxError
from reconciler.sandbox.server import Sandbox, serve

__all__ = ["Sandbox", "SandboxError", "serve"]

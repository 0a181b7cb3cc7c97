"""Keeps the agents of Microsoft Foundry projects equal to the manifests in a Git repository."""

__version__ = "0.1.0"

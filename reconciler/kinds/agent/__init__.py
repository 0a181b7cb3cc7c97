"""Agents: prompt, hosted, workflow, external and voice."""

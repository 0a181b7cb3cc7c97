"""The Foundry service: the only place that imports azure."""

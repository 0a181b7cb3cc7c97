"""The long-running service: it decides when `reconcile()` runs and keeps what it returned. Nothing else."""

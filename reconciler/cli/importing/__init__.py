"""Live agents as manifests: what `reconciler import` writes, and why some agents are left out."""

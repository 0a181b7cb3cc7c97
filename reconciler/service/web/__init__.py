"""The dashboard: pages rendered here from the view models, alive by htmx, usable without any script."""

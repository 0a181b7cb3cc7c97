"""Benchmarks: what the design promises of speed and size, measured side by side with others in one run."""

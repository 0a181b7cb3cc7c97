"""The checks of `reconciler doctor`: each tries one thing, says what it found and what to do."""

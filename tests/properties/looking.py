"""How long Hypothesis looks. By default the same examples every time: a failure is the fault of a change.

`HUNT=20 pytest tests/properties` looks at twenty times as many, new ones each time.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

_HUNT: Final = int(os.environ.get("HUNT", "0"))
# Building a manifest and a live state draws a lot; that is the point here, not a mistake.
_CHECKS: Final = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def looking(examples: int) -> settings:
    """Settings for a property that is looked at with so many examples."""
    return settings(
        max_examples=examples * max(_HUNT, 1),
        derandomize=not _HUNT,
        deadline=None,
        database=None,
        suppress_health_check=_CHECKS,
    )

"""What becomes of a function whose GPUs no machine has, as `APOTHIC_ON_MISSING_GPU` says.

`error`, unless told else: its calls are refused. `cpu`: it runs without any, and sees none, which
is said once. `fake`: devices are made up for it, to try where it would run.
"""

from __future__ import annotations

import os
import sys

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import FunctionSpec

ON_MISSING = "APOTHIC_ON_MISSING_GPU"
WAYS = ("error", "cpu", "fake")

_told: set[tuple[str, str]] = set()
"""The functions of which it was said."""


def on_missing() -> str:
    """Which of the ways was chosen.

    Raises:
        InvalidOption: it is none of them.
    """
    way = os.environ.get(ON_MISSING) or WAYS[0]
    if way not in WAYS:
        raise InvalidOption(
            f"{ON_MISSING}={way!r}: it must be {', '.join(WAYS[:-1])} or {WAYS[-1]}",
            option=ON_MISSING,
        )
    return way


def tell_missing(spec: FunctionSpec) -> None:
    """Say, once, that a function runs without the GPUs that it asks for."""
    if (spec.app_name, spec.name) not in _told:
        _told.add((spec.app_name, spec.name))
        wanted = " or ".join(spec.gpu) or "GPU"
        print(  # noqa: T201 - the user is to see it
            f"apothic: no machine has {spec.gpu_count} x {wanted} for {spec.name}: it runs without "
            f"GPUs ({ON_MISSING}=cpu)",
            file=sys.stderr,
        )

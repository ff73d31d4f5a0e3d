"""What functions of tests do in containers: it needs nothing but Python."""

from __future__ import annotations

import os


def where() -> tuple[bool, int]:
    """Whether that is a container, and the number of the parent."""
    return os.path.exists("/.dockerenv"), os.getppid()  # noqa: PTH110 - travels light

"""The import alone."""

import apothic  # noqa: F401

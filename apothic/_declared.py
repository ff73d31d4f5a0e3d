"""What this program has declared."""

from __future__ import annotations

from typing import Any

DECLARED: dict[tuple[str, str], Any] = {}
"""Every function, by the names of its app and of itself; the latest of each name."""

FROZEN: set[str] = set()
"""The modules that generated functions were frozen in: code, which is shipped in any case."""

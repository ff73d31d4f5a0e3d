"""Values that travel between programs and backends: pure, standard library only."""

from __future__ import annotations

"""`python -m apothic.cli`, where the `apothic` script is not on the path."""

from __future__ import annotations

from apothic.cli import main

main()

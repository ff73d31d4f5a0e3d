"""`python -m apothic.cli`, where the `apothic` script is not on the path."""

from __future__ import annotations

import sys

from apothic.cli import main

sys.exit(main())

"""What becomes of the recipe of an image: where it is run, and the Dockerfile that it is."""

from __future__ import annotations

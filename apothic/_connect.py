"""The one open backend of this process, under the name by which the SDK knows it."""

from __future__ import annotations

from apothic_backends.connection import connect, connected, use

__all__ = ["connect", "connected", "use"]

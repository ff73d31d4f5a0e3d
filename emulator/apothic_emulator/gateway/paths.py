"""How a stream is asked for over HTTP, by an agent that opens one."""

from __future__ import annotations

from typing import Final

PATH: Final = "/v1/agent/streams"

PROTOCOL: Final = "apothic-stream"
"""What such a connection is upgraded to: from there on it is what is said, and nothing else."""

STREAM: Final = "apothic-stream"
"""The header that names the stream that is awaited."""

SERVICE: Final = "apothic-service"
"""In its place, the header that names the service to which a connection goes back."""

"""How a stream is asked for over HTTP, by an agent that opens one."""

from __future__ import annotations

import socket
from typing import Final

PATH: Final = "/v1/agent/streams"

ALIVE: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
)
"""By which both ends of a stream notice within 40 seconds that the other machine is gone."""

PROTOCOL: Final = "apothic-stream"
"""What such a connection is upgraded to: from there on it is what is said, and nothing else."""

STREAM: Final = "apothic-stream"
"""The header that names the stream that is awaited."""

CALLER: Final = "apothic-caller"
"""The header that says whose connection it is: of the answer, or of what goes back."""

SERVICE: Final = "apothic-service"
"""In its place, the header that names the service to which a connection goes back."""

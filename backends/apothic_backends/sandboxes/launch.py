"""Starts what becomes the first process of a guest on this machine."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from apothic_backends.sandboxes.inside.launch import main
main(int(sys.argv[2]), int(sys.argv[3]))
"""
_ABOVE = str(Path(__file__).parents[2])


def launch_here(asked: socket.socket, told: socket.socket) -> subprocess.Popen[bytes]:
    """Start an interpreter that becomes the first process of a guest."""
    with asked, told:
        fds = (asked.fileno(), told.fileno())
        return subprocess.Popen(  # noqa: S603 - our own words
            [sys.executable, "-I", "-S", "-c", _PROGRAM, _ABOVE, *map(str, fds)],
            pass_fds=fds,
            env={},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

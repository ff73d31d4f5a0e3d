"""What a connection to a port of a guest is taken for, with real sockets."""

from __future__ import annotations

import errno
import socket

from apothic_backends.sandboxes.guest import trouble_of


def test_one_that_somebody_accepts_stands() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as connection,
    ):
        assert trouble_of(connection) == 0


def test_one_that_a_port_has_made_to_itself_is_none() -> None:
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        connection.connect(connection.getsockname())

        assert trouble_of(connection) == errno.ECONNREFUSED

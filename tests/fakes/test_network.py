"""What a rented machine of the fakes reaches: what its variables name, for as long as that is."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.network import Network
from tests.fakes.running import Program, start

DIAL = """
import socket, sys
for port in sys.argv[1:]:
    try:
        with socket.create_connection(("127.0.0.1", port)) as there:
            print(there.recv(100).decode())
    except OSError as error:
        print(type(error).__name__)
"""


@pytest.fixture(autouse=True, scope="module")
def allowed() -> None:
    try:
        Network(()).close()
    except OSError as error:
        pytest.skip(f"no process here may have a network of its own: {error.strerror}")


@pytest.fixture
def near() -> Iterator[socket.socket]:
    """Somebody who listens here."""
    with socket.create_server(("127.0.0.1", 0)) as near:
        near.settimeout(60)
        yield near


def port(listening: socket.socket) -> int:
    return int(listening.getsockname()[1])


def dial(folder: Path, env: dict[str, str], *ports: int) -> Program:
    words = [str(it) for it in ports]
    return start([sys.executable, "-c", DIAL, *words], env, folder, is_let=True)


def greet(listening: socket.socket) -> None:
    there, _ = listening.accept()
    with there:
        there.sendall(b"hello")


def test_it_reaches_what_its_variables_name_and_nothing_else(
    near: socket.socket, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        url = {"APOTHIC_AGENT_URL": f"http://127.0.0.1:{port(near)}/v1"}
        program = dial(tmp_path, url, port(near), port(other))
        greet(near)
        program.wait(60)

        assert program.output().split() == ["hello", "ConnectionRefusedError"]
        program.kill()


def test_nothing_passes_where_it_is_cut_until_it_is_mended(near: socket.socket) -> None:
    network = Network([("127.0.0.1", port(near))])
    listening = ("127.0.0.1", port(near))
    early = network.run(lambda: socket.create_connection(listening))
    there, _ = near.accept()

    network.cut()
    with pytest.raises(OSError, match="unreachable"):
        network.run(lambda: socket.create_connection(listening))
    early.settimeout(0.2)
    there.sendall(b"hello")
    with pytest.raises(TimeoutError):
        early.recv(100)

    network.mend()
    early.settimeout(60)
    assert early.recv(100) == b"hello"  # it was sent again
    for it in (early, there):
        it.close()
    network.close()


def test_nobody_reaches_what_it_serves(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        serve = f"""
import socket
with socket.create_server(("127.0.0.1", {port(free)})) as server:
    print("serving", flush=True)
    server.accept()
"""
        program = start([sys.executable, "-c", serve], {}, tmp_path, is_let=True)
        while "serving" not in program.output():
            assert program.poll() is None, program.output()
            time.sleep(0.01)

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port(free)))
        program.kill()

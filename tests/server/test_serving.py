"""How a server starts, where it listens, and how it ends."""

from __future__ import annotations

import resource
import signal
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.commands import GetDurability
from apothic_backends.remote.address import address_of
from apothic_backends.remote.backend import RemoteBackend, open_remote
from apothic_backends.remote.connection import Connection
from apothic_backends.remote.errors import Unreachable
from tests.server.served import Served, cli, served


def refused(home: Path, *options: str) -> str:
    """What a server says that does not start."""
    ran = cli(home, "serve", "--port", "0", *options)
    assert ran.returncode != 0
    return ran.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_an_address_that_others_reach_needs_tls(home: Path, host: str) -> None:
    assert "--insecure-network" in refused(home, "--host", host)


def test_a_risk_that_is_taken_is_told(home: Path) -> None:
    with served(home, "--host", "0.0.0.0", "--insecure-network") as server:
        assert "in the clear" in server.text


def test_a_host_by_its_address_is_ours_on_every_address(home: Path) -> None:
    with served(home, "--host", "0.0.0.0", "--insecure-network") as server:
        assert server.ask("GET", "/openapi.json", host=f"127.0.0.1:{server.port}").status == 200
        assert server.ask("GET", "/openapi.json", host=f"0.0.0.0:{server.port}").status == 403


def test_a_name_that_was_listed_is_ours(home: Path) -> None:
    with served(home, "--allow-host", "api.example.com") as server:
        assert server.ask("GET", "/openapi.json", host="api.example.com").status == 200
        assert server.ask("GET", "/openapi.json", host="evil.example.com").status == 403


def test_a_second_server_on_the_same_state_is_refused_by_name_of_the_first(home: Path) -> None:
    with served(home) as server:
        said = refused(home)

    assert str(server.process.pid) in said


def test_a_second_server_with_a_home_of_its_own_is_refused_by_the_state(home: Path) -> None:
    other, state = home / "other", f"sqlite:{home / 'state'}"
    other.mkdir()
    with served(home, state=state) as server:
        said = refused(other, "--state", state)

    assert f"in use by process {server.process.pid} on " in said


def test_a_port_that_is_taken_is_told(home: Path, server: Served) -> None:
    assert "--port" in refused(home, "--port", str(server.port))


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_when_it_is_asked_to(home: Path, signum: int) -> None:
    with served(home) as server:
        assert server.stop(signum) == 0


def test_who_waits_hears_that_the_server_ends(home: Path) -> None:
    with served(home) as server:
        server.reply("open-queue", queue="q")
        heard: list[Any] = []
        waiter = threading.Thread(target=lambda: heard.append(server.call("take-items", queue="q")))
        waiter.start()
        while "apothic_open_requests 2.0" not in server.ask("GET", "/metrics").body.decode():
            pass

        assert server.stop() == 0

        waiter.join()
        assert (heard[0].status, heard[0].code) == (503, "backend_closed")
        assert heard[0].headers["retry-after"] == "1"


def test_a_job_that_runs_has_a_while_to_end(home: Path) -> None:
    with served(home, "--grace", "20") as server:
        function = server.reply(
            "register-function",
            spec={"app_name": "a", "name": "sleep"},
            code={"codec": "ref", "data": "time:sleep"},
        )
        job = server.reply("submit-job", function_id=function, arguments={"data": {"args": [1]}})
        while server.reply("get-job", job_id=job)["status"] != "running":
            pass
        assert server.stop() == 0

    with served(home) as server:
        assert server.reply("get-job", job_id=job)["status"] == "succeeded"


def test_a_secret_of_the_server_is_not_for_jobs(home: Path) -> None:
    with served(home) as server:
        function = server.reply(
            "register-function",
            spec={"app_name": "a", "name": "getenv"},
            code={"codec": "ref", "data": "os:getenv"},
        )
        outcome = server.reply(
            "run-job", function_id=function, arguments={"data": {"args": ["APOTHIC_STATE"]}}
        )

    assert outcome["result"]["data"] is None


def test_without_an_agent_jobs_wait(home: Path) -> None:
    with served(home, "--no-agent") as server:
        function = server.reply(
            "register-function",
            spec={"app_name": "a", "name": "f"},
            code={"codec": "ref", "data": "builtins:int"},
        )
        job = server.reply("submit-job", function_id=function, arguments={"data": {}})

        assert server.reply("get-job", job_id=job)["status"] == "queued"


def test_tls_is_spoken_with_a_certificate(home: Path) -> None:
    import ssl

    cert, key = certificate(home)
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    with served(home, *options) as server:
        context = ssl.create_default_context(cafile=str(cert))
        with (
            socket.create_connection((server.host, server.port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(f"GET /healthz HTTP/1.1\r\nHost: {server.own_host}\r\n\r\n".encode())
            assert secure.recv(64).startswith(b"HTTP/1.1 200")


def test_a_certificate_that_nobody_knows_is_told_at_once_and_sees_no_key(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate(home)
    with served(home, "--tls-cert", str(cert), "--tls-key", str(key)) as server:
        url = f"https://{server.own_host}"
        with (
            closing(open_remote(url, server.token)) as backend,
            pytest.raises(Unreachable, match=r"does not trust, .* SSL_CERT_FILE"),
        ):
            backend.start(GetDurability()).wait()

        monkeypatch.setenv("SSL_CERT_FILE", str(cert))
        with closing(open_remote(url, server.token)) as backend:
            assert backend.start(GetDurability()).wait() == "disk"


@pytest.mark.parametrize(("scheme", "said"), [("https", "http:// one"), ("http", "refused")])
def test_an_address_that_is_none_is_told(server: Served, scheme: str, said: str) -> None:
    port = server.port if scheme == "https" else 1
    at = address_of(f"{scheme}://127.0.0.1:{port}")
    connection = Connection(at, None, first_s=0.1)
    backend = RemoteBackend(connection)

    with closing(backend), pytest.raises(Unreachable, match=said):
        backend.start(GetDurability()).wait()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1, and its key."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test")])
    now = dt.datetime.now(dt.UTC)
    san = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(1))
        .not_valid_after(now + dt.timedelta(1))
        .add_extension(san, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(encoding))
    (folder / "key.pem").write_bytes(
        key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


def test_a_full_disk_refuses_writes_and_nothing_else(home: Path) -> None:
    with served(home) as server:
        server.reply("put-key", name="d", key='"small"', value={"data": 1}, create=True)
        log = home / "server" / "accounts" / "default" / "state.db-wal"
        most = log.stat().st_size + (256 << 10)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))

        value = {"data": "x" * 100_000}
        answers = [server.call("put-key", name="d", key='"k"', value=value) for _ in range(8)]

        refused = [answer for answer in answers if answer.status != 200]
        assert {(answer.status, answer.code) for answer in refused} == {(507, "store_full")}
        (entry,) = server.reply("get-keys", name="d", keys=['"small"'])
        assert entry["value"]["data"] == 1

        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, unlimited)
        server.reply("put-key", name="d", key='"k"', value={"data": 2})

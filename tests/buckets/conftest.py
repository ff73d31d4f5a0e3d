"""A real S3 server in a process of its own, which checks keys."""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.request import urlopen

import boto3
import pytest

from apothic import App, CloudBucketMount
from apothic._connect import use
from apothic_backends.buckets.bucket import Bucket, Place
from apothic_backends.registry import open_backend
from apothic_backends.vault import Vault


def _has_fuse() -> bool:
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
        ctypes.CDLL("libfuse3.so.3")
    except OSError:
        return False
    return find_spec("mfusepy") is not None


IN_WORKERS = ["fuse", "copy"] if _has_fuse() else ["copy"]
"""The ways in which a worker may see a bucket on this machine."""
collect_ignore = [] if "fuse" in IN_WORKERS else ["test_fuse.py"]
_OPEN_ACTIONS = 6
"""Actions of ours before it begins to check keys: those that make two users."""

PAGE = 10
"""How many keys the server tells at once, where the real one tells a thousand."""

_SERVE = """
import json, sys, threading
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
app = DomainDispatcherApplication(create_backend_app)
seen = []
never = threading.Event()

def counted(environ, start):
    method, path = environ['REQUEST_METHOD'], environ['PATH_INFO']
    if path == '/_seen':
        start('200 OK', [('Content-Type', 'application/json')])
        return [json.dumps(seen).encode()]
    seen.append((method, path, environ.get('HTTP_RANGE')))
    if path.endswith(f'/stuck-{method}') and 'partNumber=1' not in environ['QUERY_STRING']:
        never.wait()
    return app(environ, start)

server = make_server(sys.argv[1], 0, counted, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Server(NamedTuple):
    """Where it is, keys that may do everything, and keys that may read.

    It has no answer for `PUT stuck-PUT`, `GET stuck-GET` and the like, but to the first part.
    """

    url: str
    access_key: str
    secret_key: str
    reader: tuple[str, str] = ("", "")

    def client(self, kind: str) -> Any:
        """One of Amazon's own library."""
        connect: Any = boto3.client
        return connect(
            kind,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
        )


def _user(iam: Any, name: str, *actions: str) -> tuple[str, str]:
    iam.create_user(UserName=name)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
    allow = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName=name, PolicyName="some", PolicyDocument=allow)
    return made["AccessKeyId"], made["SecretAccessKey"]


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with serving("127.0.0.1") as server:
        yield server


@contextmanager
def serving(host: str) -> Generator[Server]:
    """A server at that address of this machine."""
    env = {
        **os.environ,
        "INITIAL_NO_AUTH_ACTION_COUNT": str(_OPEN_ACTIONS),
        "MOTO_S3_DEFAULT_MAX_KEYS": str(PAGE),
    }
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVE, host],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    url = f"http://{host}:{int(process.stdout.readline())}"
    try:
        iam = Server(url, "first", "first").client("iam")
        keys = _user(iam, "tests", "s3:*")
        yield Server(url, *keys, reader=_user(iam, "reader", "s3:Get*", "s3:List*"))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class S3:
    """One bucket, seen by Amazon's own library."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.name = f"b-{secrets.token_hex(6)}"
        self._client = server.client("s3")
        self._client.create_bucket(Bucket=self.name)

    def asked(self, method: str, key: str) -> list[str | None]:
        """The ranges of the requests so far for a key."""
        with urlopen(f"{self.server.url}/_seen") as answer:
            seen = json.load(answer)
        return [part for how, path, part in seen if (how, path) == (method, f"/{self.name}/{key}")]

    def drop(self) -> None:
        """Have the bucket no more."""
        for key in self.keys():
            self._client.delete_object(Bucket=self.name, Key=key)
        self._client.delete_bucket(Bucket=self.name)

    def put(self, key: str, data: bytes = b"data") -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return bytes(self._client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def tag(self, key: str) -> str:
        return str(self._client.head_object(Bucket=self.name, Key=key)["ETag"])

    def unfinished(self) -> int:
        """How many uploads in parts have begun and not ended."""
        return len(self._client.list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def keys(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [one["Key"] for page in pages for one in page.get("Contents", [])]

    def place(self, prefix: str = "") -> Place:
        return Place(self.name, prefix, self.server.url)

    def open(self, prefix: str = "") -> Bucket:
        return Bucket(self.place(prefix), self.server.access_key, self.server.secret_key)


@pytest.fixture
def s3(server: Server) -> S3:
    return S3(server)


@pytest.fixture(params=[*IN_WORKERS, "inline"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "copy":
        monkeypatch.setenv("APOTHIC_BUCKETS", "copy")
    opened = open_backend("inline" if request.param == "inline" else "local")
    before = use(opened)
    yield request.param
    use(before)
    opened.close()


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3: S3) -> Vault:
    home = tmp_path / "home"
    home.mkdir(0o700)
    monkeypatch.setenv("APOTHIC_HOME", str(home))
    monkeypatch.setenv("APOTHIC_SECRETS_KEY", "file")
    vault = Vault(home)
    vault.put("ACCESS", {"ACCESS": s3.server.access_key})
    vault.put("SECRET", {"anything": s3.server.secret_key})
    return vault


@pytest.fixture
def path(tmp_path: Path, backend: str) -> str:
    """Where it is mounted: inline that is a link, whose folder has to be there."""
    return str(tmp_path / "here") if backend == "inline" else "/apothic-bucket/here"


def bucket(s3: S3, prefix: str | None = None, **options: Any) -> CloudBucketMount:
    return CloudBucketMount(s3.name, "ACCESS", "SECRET", s3.server.url, prefix, **options)


def declare(function: Any, mount: Any, **options: Any) -> Any:
    return App("buckets").function(volumes=[mount], **options)(function)

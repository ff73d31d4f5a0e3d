"""A real S3 server in a process of its own, which checks keys."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import boto3
import pytest

from apothic_backends.buckets.bucket import Bucket, Place

_OPEN_ACTIONS = 3
"""Actions of ours before it begins to check keys: those that make the user."""

_SERVE = """
import sys
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server('127.0.0.1', 0, DomainDispatcherApplication(create_backend_app), threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""


class Server(NamedTuple):
    """Where it is, and keys that may do everything."""

    url: str
    access_key: str
    secret_key: str

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


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    env = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(_OPEN_ACTIONS)}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", _SERVE],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    url = f"http://127.0.0.1:{int(process.stdout.readline())}"
    try:
        iam = Server(url, "first", "first").client("iam")
        iam.create_user(UserName="tests")
        made = iam.create_access_key(UserName="tests")["AccessKey"]
        statement = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
        allow = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="tests", PolicyName="all", PolicyDocument=allow)
        yield Server(url, made["AccessKeyId"], made["SecretAccessKey"])
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

    def put(self, key: str, data: bytes = b"data") -> None:
        self._client.put_object(Bucket=self.name, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        return bytes(self._client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def tag(self, key: str) -> str:
        return str(self._client.head_object(Bucket=self.name, Key=key)["ETag"])

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

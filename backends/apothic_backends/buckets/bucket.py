"""The objects of a bucket below a prefix, as files with relative names.

obstore does the talking. What it raises is translated here: into `BucketFailed`, with the number
that the operating system would have for it.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from apothic_backends.model.errors import BucketFailed
from apothic_backends.model.record import Record

_TIMEOUT_S = 60
_RETRIES = 3
_REFUSED = ("403", "401", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch")
_NO_FILE = (
    "a key in it can be no file ('..', '//', or a control character); choose a prefix without such "
    "keys"
)
PART_BYTES = 8 << 20
"""Larger objects are sent in parts of this size, of which each is tried again by itself."""


class Place(Record):
    """Where a bucket is. Without `endpoint_url` that is AWS."""

    bucket_name: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    force_path_style: bool | None = None

    @property
    def shown(self) -> str:
        """What messages call it."""
        prefix = f"/{self.prefix.strip('/')}" if self.prefix.strip("/") else ""
        return f"{self.bucket_name}{prefix} at {self.endpoint_url or 'AWS'}"


class Object(NamedTuple):
    """An object: its name below the prefix, its size in bytes, and what tells versions apart."""

    name: str
    size: int
    tag: str


class Bucket:
    """One bucket under one pair of keys; without keys it is asked as anybody."""

    def __init__(self, place: Place, access_key: str | None, secret_key: str | None) -> None:
        try:
            self._api: Any = import_module("obstore")
            stores: Any = import_module("obstore.store")
        except ImportError as error:
            raise BucketFailed(
                f"the bucket {place.shown} needs obstore: pip install 'apothic[s3]'",
                errno=errno.ENOSYS,
            ) from error
        self.place = place
        self._prefix = place.prefix.strip("/")
        is_at_aws = place.endpoint_url is None
        is_by_path = not is_at_aws if place.force_path_style is None else place.force_path_style
        config: dict[str, Any] = {
            "region": place.region or "us-east-1",
            "virtual_hosted_style_request": not is_by_path,
            "skip_signature": access_key is None,
        }
        if not is_at_aws:
            config["endpoint"] = place.endpoint_url
        if access_key is not None:
            config |= {"access_key_id": access_key, "secret_access_key": secret_key or ""}
        self._store: Any = stores.S3Store(
            place.bucket_name,
            prefix=self._prefix or None,
            config=config,
            client_options={"allow_http": True, "timeout": timedelta(seconds=_TIMEOUT_S)},
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=_TIMEOUT_S),
            },
        )

    def list(self) -> Iterator[Object]:
        """Every object, a thousand at a time.

        Raises:
            BucketFailed: the keys are wrong, there is no such bucket, it cannot be reached, or a
                key in it can be no file.
        """
        try:
            for batch in self._api.list(self._store):
                for one in batch:
                    name = _below(str(one["path"]), self._prefix)
                    if name:
                        yield Object(name, int(one["size"]), str(one["e_tag"]))
        except BucketFailed:
            raise
        except Exception as error:
            raise self._failed(error, "list it") from error

    def fetch(self, name: str, target: Path) -> bool:
        """Write an object to a file, which is as old as that; False if there is none (any more).

        Raises:
            BucketFailed: it cannot be had.
        """
        try:
            found = self._api.get(self._store, name)
            with target.open("wb") as file:
                for piece in found.stream(min_chunk_size=1 << 20):
                    file.write(piece)
            then = found.meta["last_modified"].timestamp()
            os.utime(target, (then, then))
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            return False
        except OSError:
            raise
        except Exception as error:
            raise self._failed(error, f"read {name!r}") from error
        return True

    def store(self, name: str, source: Path) -> str:
        """Make a file an object, in parts if it is large; gives what tells versions apart.

        Raises:
            BucketFailed: it cannot be written.
        """
        try:
            with source.open("rb") as file:
                made = self._api.put(self._store, name, file, chunk_size=PART_BYTES)
        except Exception as error:
            raise self._failed(error, f"write {name!r}") from error
        return str(made["e_tag"])

    def delete(self, name: str) -> None:
        """Remove an object.

        Raises:
            BucketFailed: that is not allowed.
        """
        try:
            self._api.delete(self._store, name)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._failed(error, f"delete {name!r}") from error

    def _failed(self, error: Exception, wish: str) -> BucketFailed:
        """An error of obstore as one of ours: its class and its text say what it was."""
        number, why = _meaning(error)
        shown = self.place.shown
        return BucketFailed(f"bucket {shown}: cannot {wish}: {why}", errno=number, bucket=shown)


def _meaning(error: Exception) -> tuple[int, str]:
    kind, said = type(error).__name__, str(error)
    if kind in ("PermissionDeniedError", "UnauthenticatedError") or any(
        sign in said for sign in _REFUSED
    ):
        return errno.EACCES, "access denied; look at the secrets with its keys and their rights"
    if "NoSuchBucket" in said:
        return errno.ENOENT, "there is no such bucket; make it, or correct bucket_name"
    if kind == "InvalidPathError" or "InvalidPath" in said or "parse path" in said:
        return errno.EINVAL, _NO_FILE
    return errno.EIO, said.partition("\n")[0][:300]


def _below(key: str, prefix: str) -> str:
    """The part of a key behind the prefix, if that is a path of a file; else nothing.

    A store that answers with the whole key is understood as well as one that leaves the prefix out.
    """
    name = key.removeprefix(f"{prefix}/") if prefix else key
    parts = PurePosixPath(name).parts
    is_file = bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name
    return name if is_file and "/".join(parts) == name else ""

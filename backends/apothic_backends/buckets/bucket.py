"""The objects of a bucket below a prefix, as files with relative names.

obstore does the talking. What it raises is translated here: into `BucketFailed`, with the number
that the operating system would have for it.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from apothic_backends.model.errors import BucketFailed
from apothic_backends.model.record import Record

_TIMEOUT_S = 60
_RETRIES = 3
_CODE = re.compile(r"<Code>(\w+)</Code>|\(code: (\w+)\)$", re.MULTILINE)
"""What S3 says of a request that failed (Amazon S3 API reference, error responses)."""
_REFUSED = (
    *("AccessDenied", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken"),
    "SignatureDoesNotMatch",
)
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
    """An object: its name below the prefix, its size in bytes, and what tells versions apart.

    The tag is empty if the server says none.
    """

    name: str
    size: int
    tag: str
    mtime: float = 0.0
    """When it was written, as a Unix time."""


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

    def list(self, folder: str = "") -> Iterator[Object]:
        """Every object, or those below a folder, a thousand at a time.

        Raises:
            BucketFailed: the keys are wrong, there is no such bucket, it cannot be reached, or a
                key in it can be no file.
        """
        try:
            for batch in self._api.list(self._store, folder or None):
                for one in batch:
                    name = _below(str(one["path"]))
                    if name:
                        yield _object(name, one)
        except BucketFailed:
            raise
        except Exception as error:
            raise self._failed(error, "list it") from error

    def children(self, folder: str) -> tuple[list[Object], list[str]]:
        """The objects right in a folder, and the names of the folders in it.

        Raises:
            BucketFailed: as for `list`.
        """
        try:
            found = self._api.list_with_delimiter(self._store, folder or None)
        except Exception as error:
            raise self._failed(error, f"list {folder!r}") from error
        named = [(_below(str(one["path"])), one) for one in found["objects"]]
        folders = [_below(str(path)) for path in found["common_prefixes"]]
        inside = [_object(name, one) for name, one in named if name and name != folder]
        return inside, [*filter(None, folders)]

    def has_below(self, folder: str, *, besides_marker: bool = False) -> bool:
        """Whether anything is below a folder; what marks the folder itself may count or not.

        Raises:
            BucketFailed: as for `list`.
        """
        try:
            return any(
                not besides_marker or _below(str(one["path"])) != folder
                for batch in self._api.list(self._store, folder or None)
                for one in batch
            )
        except Exception as error:
            raise self._failed(error, f"list {folder!r}") from error

    def head(self, name: str) -> Object | None:
        """What an object is; None if there is none.

        Raises:
            BucketFailed: that cannot be asked.
        """
        try:
            return _object(name, self._api.head(self._store, name))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._failed(error, f"look at {name!r}") from error

    def read(self, name: str, start: int, end: int, tag: str) -> bytes:
        """The bytes from `start` to before `end` of an object in the version with this tag.

        Raises:
            BucketFailed: with ESTALE: it has been written since; else it cannot be had.
        """
        options = {"range": (start, end)} | ({"if_match": tag} if tag else {})
        try:
            return bytes(self._api.get(self._store, name, options=options).bytes())
        except Exception as error:
            raise self._failed(error, f"read {name!r}") from error

    def copy(self, old: str, new: str) -> None:
        """Copy an object within the bucket.

        Raises:
            BucketFailed: it cannot be.
        """
        try:
            self._api.copy(self._store, old, new)
        except Exception as error:
            raise self._failed(error, f"copy {old!r} to {new!r}") from error

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
        return made["e_tag"] or ""

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
        number, why = _meaning(error, self._api.exceptions)
        shown = self.place.shown
        return BucketFailed(f"bucket {shown}: cannot {wish}: {why}", errno=number, bucket=shown)


def _meaning(error: Exception, kinds: Any) -> tuple[int, str]:
    """What is told of an error, by its class; those of lists and deletions have S3's code only."""
    said = str(error)
    found = _CODE.search(said)
    code = found[1] or found[2] if found else ""
    denied = (kinds.PermissionDeniedError, kinds.UnauthenticatedError)
    if code == "NoSuchBucket":
        return errno.ENOENT, "there is no such bucket; make it, or correct bucket_name"
    if isinstance(error, denied) or code in _REFUSED:
        return errno.EACCES, "access denied; look at the secrets with its keys and their rights"
    if isinstance(error, kinds.PreconditionError):
        return errno.ESTALE, "it has been written anew since it was opened; open it again"
    if isinstance(error, FileNotFoundError):
        return errno.ENOENT, "there is no such object any more"
    if isinstance(error, (kinds.InvalidPathError, ValueError)):
        return errno.EINVAL, _NO_FILE
    return errno.EIO, said.partition("\n")[0][:300]


def _object(name: str, found: Any) -> Object:
    written = found["last_modified"].timestamp()
    return Object(name, int(found["size"]), found["e_tag"] or "", written)


def _below(name: str) -> str:
    """The name, if it is that of a file below a folder; else nothing."""
    parts = PurePosixPath(name).parts
    is_file = bool(parts) and not name.startswith("/") and ".." not in parts and "\0" not in name
    return name if is_file and "/".join(parts) == name else ""

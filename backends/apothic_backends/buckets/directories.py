"""Directories that stand for buckets, for tests and for work without a network: `file://`."""

from __future__ import annotations

from pathlib import Path

from apothic_backends.model.errors import MountFailed
from apothic_backends.model.functions import MountSpec

_FILE = "file://"


def stands_for(spec: MountSpec) -> Path | None:
    """The directory that stands for what is mounted, be it there or not; None for a bucket."""
    url = spec.endpoint_url or ""
    if spec.kind != "bucket" or not url.startswith(_FILE):
        return None
    return Path(url.removeprefix(_FILE), spec.name, spec.prefix.strip("/"))


def directory(spec: MountSpec) -> Path:
    """The directory that stands for a bucket.

    Raises:
        MountFailed: there is none.
    """
    path = stands_for(spec)
    if path is None or not path.is_dir():
        raise MountFailed(
            f"there is no directory {path}, which stands for bucket {spec.name} at {spec.path}; "
            "make it, or correct endpoint_url, bucket_name and prefix",
            path=spec.path,
        )
    return path

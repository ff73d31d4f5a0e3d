"""The bucket in which a server keeps contents of volumes: its place and keys as S3 tools have them.

No machine but the server's has a key of it: all that is read or written passes through the server.
"""

from __future__ import annotations

import os
from typing import Any

from apothic_backends.model.errors import InvalidOption

ACCESS_KEY, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
ENDPOINT, REGION = "AWS_ENDPOINT_URL_S3", "AWS_REGION"


def check_bucket(told: str, *, runs_here: bool) -> None:
    """See to it that contents of volumes can be kept in a bucket.

    Raises:
        InvalidOption: keys are missing, or functions run here, which look on the disk.
    """
    missing = [name for name in (ACCESS_KEY, SECRET_KEY) if not os.environ.get(name)]
    if runs_here:
        raise InvalidOption(
            "--volume-bucket needs --no-agent: functions that ran here would look for volumes on "
            "the disk",
            option="--volume-bucket",
        )
    if missing or not told.partition("/")[0]:
        raise InvalidOption(
            f"--volume-bucket {told} needs the name of a bucket, and {ACCESS_KEY} and {SECRET_KEY} "
            f"in the environment ({ENDPOINT} and {REGION} say where it is, if not at AWS)",
            option="--volume-bucket",
        )


def bucket_of(told: str, account: str) -> Any:
    """The part of it that is an account's.

    Raises:
        BucketFailed: obstore is not installed.
    """
    from apothic_backends.buckets.bucket import Bucket, Place  # for few  # noqa: PLC0415

    name, _, prefix = told.partition("/")
    where = os.environ.get(ENDPOINT) or None
    below = "/".join(filter(None, (prefix.strip("/"), account)))
    place = Place(name, below, where, os.environ.get(REGION) or None)
    return Bucket(place, os.environ[ACCESS_KEY], os.environ[SECRET_KEY])

"""A bucket as a command line names it, BUCKET[/PREFIX]; variables have its keys, as for S3 tools.

No key is ever part of a command line: it would be seen by everybody on the machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from apothic_backends.buckets.bucket import Bucket, Place
from apothic_backends.model.errors import BucketFailed, InvalidOption

ACCESS_KEY, SECRET_KEY = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"
ENDPOINT, REGION = "AWS_ENDPOINT_URL_S3", "AWS_REGION"

VARIABLES: Final = (ACCESS_KEY, SECRET_KEY, ENDPOINT, REGION)


def check_told(told: str, env: Mapping[str, str]) -> None:
    """See to it that a bucket is named, and that the environment has its keys.

    Raises:
        InvalidOption: it is not, or has not.
    """
    missing = [name for name in (ACCESS_KEY, SECRET_KEY) if not env.get(name)]
    if missing or not told.partition("/")[0]:
        raise InvalidOption(
            f"--volume-bucket {told} needs the name of a bucket, and {ACCESS_KEY} and {SECRET_KEY} "
            f"in the environment ({ENDPOINT} and {REGION} say where it is, if not at AWS)",
            option="--volume-bucket",
        )


def bucket_of(told: str, env: Mapping[str, str], below: str = "") -> Bucket:
    """The bucket, and in it what is below its prefix and that.

    Raises:
        BucketFailed: obstore is not installed.
    """
    name, _, prefix = told.partition("/")
    path = "/".join(filter(None, (prefix.strip("/"), below)))
    place = Place(name, path, env.get(ENDPOINT) or None, env.get(REGION) or None)
    return Bucket(place, env[ACCESS_KEY], env[SECRET_KEY])


def try_out(bucket: Bucket) -> None:
    """See to it that its keys may write, read, list and delete, with an object of a few bytes.

    Raises:
        BucketFailed: they may not, or it cannot be reached.
    """
    name = f"tried/{secrets.token_hex(8)}"
    said = name.encode("ascii")
    with TemporaryDirectory(prefix="apothic-") as folder:
        source = Path(folder) / "said"
        source.write_bytes(said)
        bucket.store(name, source)
    try:
        found = bucket.read(name, 0, len(said), "")
        listed = [it.name for it in bucket.list("tried")]
    finally:
        bucket.delete(name)
    if found != said or name not in listed:
        shown = bucket.place.shown
        raise BucketFailed(
            f"bucket {shown}: what is written there is not what is read", bucket=shown
        )

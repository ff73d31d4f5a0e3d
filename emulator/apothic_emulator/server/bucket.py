"""The bucket in which a server keeps contents of volumes.

No machine but the server's has a key of it: all that is read or written passes through the server.
"""

from __future__ import annotations

import os

from apothic_backends.buckets.told import check_told
from apothic_backends.model.errors import InvalidOption


def check_bucket(told: str, *, runs_here: bool) -> None:
    """See to it that contents of volumes can be kept in a bucket.

    Raises:
        InvalidOption: keys are missing, or functions run here, which look on the disk.
    """
    if runs_here:
        raise InvalidOption(
            "--volume-bucket needs --no-agent: functions that ran here would look for volumes on "
            "the disk",
            option="--volume-bucket",
        )
    check_told(told, os.environ)

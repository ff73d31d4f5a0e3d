"""Buckets, and the paths at which functions see them."""

from __future__ import annotations

from typing import NoReturn

from apothic._values import Value, text
from apothic.mounts import StorageMount
from apothic_backends.model.errors import NotBuiltYet


class CloudBucketMount(Value):
    """A bucket that you have already, and the names of the secrets that open it."""

    bucket_name: str
    prefix: str | None

    def __init__(
        self,
        bucket_name: str,
        access_key_secret: str | None = None,
        secret_key_secret: str | None = None,
        endpoint_url: str | None = None,
        prefix: str | None = None,
    ) -> None:
        super().__init__(
            bucket_name=text("bucket_name", bucket_name),
            access_key_secret=access_key_secret,
            secret_key_secret=secret_key_secret,
            endpoint_url=endpoint_url,
            prefix=prefix,
        )

    def mounted_at(self, path: str) -> StorageMount:
        """The bucket at a path."""
        return StorageMount(self, path)

    @property
    def name(self) -> str:
        """That of the bucket."""
        return self.bucket_name

    @property
    def default_path(self) -> None:
        """None: a bucket has to be told where."""

    def mount_spec(self, path: str, *, read_only: bool, sub_path: str) -> NoReturn:
        """Refuse: workers cannot mount buckets yet."""
        raise NotBuiltYet(
            f"the bucket {self.bucket_name} cannot be mounted in workers yet", options=["volumes"]
        )

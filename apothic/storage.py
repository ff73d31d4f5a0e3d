"""Volumes and buckets, and the paths at which functions see them."""

from __future__ import annotations

from apothic._values import Value, refuse, text


class StorageMount(Value):
    """A volume or a bucket at a path."""

    source: Volume | CloudBucketMount
    path: str

    def __init__(self, source: Volume | CloudBucketMount, path: str) -> None:
        super().__init__(source=source, path=mount_path(path))


class Volume(Value):
    """Named files that outlive the functions which read and write them."""

    name: str
    backend: str
    create_if_missing: bool
    mount_path_default: str | None

    def __init__(
        self,
        name: str,
        backend: str,
        *,
        create_if_missing: bool = False,
        mount_path_default: str | None = None,
    ) -> None:
        if mount_path_default is not None:
            mount_path(mount_path_default)
        super().__init__(
            name=text("name", name),
            backend=text("backend", backend),
            create_if_missing=create_if_missing,
            mount_path_default=mount_path_default,
        )

    @classmethod
    def from_name(
        cls, name: str, *, create_if_missing: bool = False, mount_path_default: str | None = None
    ) -> Volume:
        """The volume of that name; it is looked up, or made, when a function needs it."""
        return cls(
            name,
            "default",
            create_if_missing=create_if_missing,
            mount_path_default=mount_path_default,
        )

    @classmethod
    def cloud(
        cls, name: str, *, create_if_missing: bool = False, mount_path_default: str | None = None
    ) -> Volume:
        """A portable volume, on object storage or in a local directory."""
        return cls(
            name,
            "cloud",
            create_if_missing=create_if_missing,
            mount_path_default=mount_path_default,
        )

    @classmethod
    def create(
        cls, name: str, *, backend: str = "default", mount_path_default: str | None = None
    ) -> Volume:
        """A new volume; `backend="vast_local"` is fast and stays on one host."""
        return cls(name, backend, create_if_missing=True, mount_path_default=mount_path_default)

    def mounted_at(self, path: str) -> StorageMount:
        """The volume at a path."""
        return StorageMount(self, path)


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


def mount_path(path: str) -> str:
    """Check a path at which storage may appear: absolute, below the root, without `..`."""
    parts = text("mount path", path).split("/")
    if parts[0] or not any(parts) or ".." in parts:
        refuse("mount path", path, "an absolute path such as '/cache', below '/' and without '..'")
    return path

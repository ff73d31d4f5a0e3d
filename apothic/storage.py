"""Buckets, and the paths at which functions see them."""

from __future__ import annotations

from apothic._values import Value, flag, refuse, text
from apothic.mounts import StorageMount
from apothic.secret import Secret
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import MountSpec
from apothic_backends.model.secrets import HELD, check_name

_BUCKET = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_MOST_NAME = 255
_SCHEMES = ("https://", "http://", "file:///")


class CloudBucketMount(Value):
    """A bucket that you have already, and the names of the secrets that open it.

    `endpoint_url` is that of any server that speaks S3 (AWS if there is none), or `file:///a/folder`
    for a local directory in its place. Of the objects, those below `prefix` are seen; it need not
    end with "/". Without secrets the bucket is asked as anybody. `force_path_style` has the bucket
    named in the path of a URL and not in its host; unless it is said, so it is everywhere but at
    AWS.

    Raises:
        InvalidOption: a name, the URL or the prefix cannot be meant, or only one secret is named.
    """

    bucket_name: str
    access_key_secret: str | None
    secret_key_secret: str | None
    endpoint_url: str | None
    prefix: str | None
    region: str | None
    force_path_style: bool | None
    is_read_only: bool | None

    def __init__(
        self,
        bucket_name: str,
        access_key_secret: str | Secret | None = None,
        secret_key_secret: str | Secret | None = None,
        endpoint_url: str | None = None,
        prefix: str | None = None,
        *,
        read_only: bool = False,
        force_path_style: bool | None = None,
        region: str | None = None,
    ) -> None:
        if (access_key_secret is None) is not (secret_key_secret is None):
            raise InvalidOption(
                "access_key_secret and secret_key_secret belong together: name both, or none",
                option="access_key_secret",
            )
        super().__init__(
            bucket_name=_bucket_name(bucket_name),
            access_key_secret=_secret_name(access_key_secret),
            secret_key_secret=_secret_name(secret_key_secret),
            endpoint_url=None if endpoint_url is None else _endpoint(endpoint_url),
            prefix=None if prefix is None else _prefix(prefix),
            region=None if region is None else text("region", region),
            force_path_style=None
            if force_path_style is None
            else flag("force_path_style", force_path_style),
            is_read_only=flag("read_only", read_only) or None,
        )

    def mounted_at(self, path: str) -> StorageMount:
        """The bucket at a path."""
        return StorageMount(self, path, read_only=bool(self.is_read_only))

    @property
    def name(self) -> str:
        """That of the bucket."""
        return self.bucket_name

    @property
    def default_path(self) -> None:
        """None: a bucket has to be told where."""

    def mount_spec(self, path: str, *, read_only: bool, sub_path: str) -> MountSpec:
        """What a backend must know."""
        access, secret = self.access_key_secret, self.secret_key_secret
        return MountSpec(
            "bucket",
            self.bucket_name,
            path,
            read_only=read_only or bool(self.is_read_only),
            prefix="/".join(part for part in ((self.prefix or "").strip("/"), sub_path) if part),
            endpoint_url=self.endpoint_url,
            region=self.region,
            force_path_style=self.force_path_style,
            keys=() if access is None or secret is None else (access, secret),
        )


def _bucket_name(name: str) -> str:
    if not {*text("bucket_name", name)} <= _BUCKET or len(name) > _MOST_NAME or name[0] in ".-_":
        refuse("bucket_name", name, "letters, digits and any of . - _ behind the first")
    return name


def _secret_name(secret: str | Secret | None) -> str | None:
    if isinstance(secret, Secret):
        if secret.name.startswith(HELD):
            raise InvalidOption(
                "the keys of a bucket are in secrets that have a name: keep them with "
                "`apothic secret set NAME`, and write Secret.from_name(NAME) or the name",
                option="access_key_secret",
            )
        return secret.name
    return None if secret is None else check_name(secret)


def _endpoint(url: str) -> str:
    if not text("endpoint_url", url).startswith(_SCHEMES):
        refuse("endpoint_url", url, "a URL such as 'https://s3.example.com' or 'file:///a/folder'")
    return url


def _prefix(prefix: str) -> str:
    parts = text("prefix", prefix).strip("/").split("/")
    if {"", ".", ".."} & {*parts} or "\0" in prefix:
        refuse("prefix", prefix, "a path in the bucket such as 'models/v1', without '..' or '//'")
    return prefix

from __future__ import annotations

from typing import Any

import pytest

from apothic import CloudBucketMount, InvalidOption, Secret

KEYS: dict[str, Any] = {"access_key_secret": "ACCESS", "secret_key_secret": "SECRET"}


def test_secrets_are_named_or_given() -> None:
    named = CloudBucketMount("data", **KEYS)
    given = CloudBucketMount("data", Secret.from_name("ACCESS"), Secret.from_name("SECRET"))

    assert named == given
    assert (named.access_key_secret, named.secret_key_secret) == ("ACCESS", "SECRET")


def test_a_value_in_place_of_a_name_is_refused() -> None:
    held = Secret.from_dict({"KEY": "open-sesame"})

    with pytest.raises(InvalidOption, match="apothic secret set NAME"):
        CloudBucketMount("data", held, held)


def test_a_bucket_that_is_read_only_is_mounted_so() -> None:
    assert CloudBucketMount("data", read_only=True).mounted_at("/data").is_read_only
    assert not CloudBucketMount("data").mounted_at("/data").is_read_only


@pytest.mark.parametrize("prefix", ["models", "models/", "/models/v1/", "a b/ü"])
def test_a_prefix_is_any_path(prefix: str) -> None:
    assert CloudBucketMount("data", prefix=prefix).prefix == prefix


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bucket_name": ""}, "bucket_name"),
        ({"bucket_name": "a/b"}, "bucket_name"),
        ({"bucket_name": "-a"}, "bucket_name"),
        ({"bucket_name": "a" * 256}, "bucket_name"),
        ({"access_key_secret": "ACCESS"}, "belong together"),
        ({"secret_key_secret": "SECRET"}, "belong together"),
        ({"access_key_secret": "a b", "secret_key_secret": "SECRET"}, "name of a secret"),
        ({"endpoint_url": "s3.example.com"}, "endpoint_url"),
        ({"endpoint_url": "file://relative"}, "endpoint_url"),
        ({"endpoint_url": "ftp://a"}, "endpoint_url"),
        ({"prefix": "../up"}, "prefix"),
        ({"prefix": "a//b"}, "prefix"),
        ({"prefix": "/"}, "prefix"),
        ({"prefix": "a\0b"}, "prefix"),
        ({"region": ""}, "region"),
        ({"read_only": 1}, "read_only"),
        ({"force_path_style": "yes"}, "force_path_style"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], told: str) -> None:
    given: Any = {"bucket_name": "data", **options}

    with pytest.raises(InvalidOption, match=told):
        CloudBucketMount(**given)

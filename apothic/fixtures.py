"""Fixtures for pytest: shared state and storage of a test's own, in the runtime of that test.

A plugin of its own beside that of the runtime, which knows nothing of handles.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def apothic_queue(apothic_runtime: Any) -> Iterator[Any]:
    """A `Queue` that ends with the test."""
    from apothic.queues import Queue  # noqa: PLC0415 - when used

    del apothic_runtime  # it has to be there
    with Queue.ephemeral() as queue:
        yield queue


@pytest.fixture
def apothic_dict(apothic_runtime: Any) -> Iterator[Any]:
    """A `Dict` that ends with the test."""
    from apothic.dicts import Dict  # noqa: PLC0415 - when used

    del apothic_runtime
    with Dict.ephemeral() as shared:
        yield shared


@pytest.fixture
def apothic_volume(apothic_runtime: Any) -> Iterator[Any]:
    """A `Volume` that ends with the test, for `with_options(volumes={path: ...})`."""
    from apothic.volumes import Volume  # noqa: PLC0415 - when used

    del apothic_runtime
    with Volume.ephemeral() as volume:
        yield volume


@pytest.fixture
def apothic_bucket(apothic_runtime: Any, tmp_path: Path) -> Any:
    """A `CloudBucketMount` over a directory of the test's, which is `tmp_path / "bucket"`."""
    from apothic.storage import CloudBucketMount  # noqa: PLC0415 - when used

    del apothic_runtime
    (tmp_path / "bucket").mkdir()
    return CloudBucketMount("bucket", endpoint_url=tmp_path.as_uri())

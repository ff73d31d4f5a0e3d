"""Functions in containers that call others in the same image, whose files are not in there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import Ran
from tests.containers.image import NAME

pytestmark = pytest.mark.docker


def test_a_function_of_a_script_calls_another_in_its_image(
    client: Any, ran: Callable[..., Ran], tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").write_text(os.urandom(4).hex())
    program = f"""
        image = apothic.Image.from_registry({NAME!r}).add_local_dir("data", "/data")

        @app.function(image=image)
        def inner():
            return open("/data/x").read()

        @app.function(image=image)
        def outer():
            return inner.remote()

        if __name__ == "__main__":
            print(outer.remote())
    """
    assert ran(program).end() == (tmp_path / "data" / "x").read_text()

"""Values that may be of several plain types, as JSON says them."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import Condition
from apothic_emulator.server import shapes


@pytest.mark.parametrize("value", [1.5, 3, "amd64", True, (1.0, "a", False)])
def test_a_condition_is_read_as_it_was_written(value: Any) -> None:
    condition = Condition("cpu_arch", "eq", value, "said")

    read = shapes.reader(Condition)(shapes.write(condition), "")

    assert read == condition
    assert type(read.value) is (float if value == 3 else type(value))


@pytest.mark.parametrize("value", [None, {"a": 1}, [[1]], [None]])
def test_what_is_none_of_these_is_refused(value: Any) -> None:
    told = {"field": "f", "operator": "eq", "value": value, "said": "s"}

    with pytest.raises(UsageError, match=r"value(\[0\])?: has to be a number, a text"):
        shapes.reader(Condition)(told, "")

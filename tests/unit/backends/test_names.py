from __future__ import annotations

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.names import check_name


@pytest.mark.parametrize("name", ["a", "A.b_c-9", "x" * 64])
def test_a_name_is_a_name(name: str) -> None:
    assert check_name("name", name) == name


@pytest.mark.parametrize("name", ["", "a/b", "..\n", "é", "x" * 65, 7, None, b"a"])
def test_what_is_no_name_is_refused_with_what_would_be(name: object) -> None:
    with pytest.raises(InvalidOption, match="partition must be 1 to 64 characters") as refused:
        check_name("partition", name)

    assert refused.value.data == {"option": "partition", "value": name}

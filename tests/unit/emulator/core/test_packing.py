from __future__ import annotations

import pytest

from apothic_emulator.core.records import pack, unpack


def test_a_record_gives_back_its_fields_and_bytes() -> None:
    assert unpack(pack(("a", 1, None), b"one\n", bytearray(b""), memoryview(b"two"))) == (
        ["a", 1, None],
        [b"one\n", b"", b"two"],
    )


def test_a_record_of_another_length_than_it_says_is_refused() -> None:
    with pytest.raises(ValueError, match="bytes where"):
        unpack(pack(("a",), b"whole") + b"more")

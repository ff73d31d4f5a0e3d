"""Numbers are computed and written."""

from __future__ import annotations

from decimal import Decimal

from tests.generation.evaluation.cases import case


@case(
    examples=[((1994,), "MCMXCIV")],
    hidden=[
        ((1,), "I"),
        ((3999,), "MMMCMXCIX"),
        ((0,), "raises ValueError"),
        ((4000,), "raises ValueError"),
    ],
)
def roman(number: int) -> str:
    """Write a number from 1 to 3999 in Roman numerals; others raise ValueError."""
    raise NotImplementedError


@case(
    examples=[((7,), True), ((9,), False)],
    hidden=[((-7,), False), ((1,), False), ((2,), True), ((999983,), True), ((1018081,), False)],
)
def is_prime(number: int) -> bool:
    """Whether a number is a prime."""
    raise NotImplementedError


@case(
    examples=[(([3.0, 1.0, 2.0],), 2.0)],
    hidden=[(([4.0, 1.0],), 2.5), (([],), None), (([5.0],), 5.0)],
)
def middle(values: list[float]) -> float | None:
    """The median; None of nothing."""
    raise NotImplementedError


@case(
    examples=[((255, 16), "ff"), ((-5, 2), "-101")],
    hidden=[
        ((0, 7), "0"),
        ((35, 36), "z"),
        ((1, 1), "raises ValueError"),
        ((1, 37), "raises ValueError"),
    ],
)
def in_base(number: int, base: int) -> str:
    """Write a whole number in a base from 2 to 36, in lower case; other bases raise ValueError."""
    raise NotImplementedError


@case(
    examples=[(("10.00", 3), ["3.34", "3.33", "3.33"])],
    hidden=[
        (("0.05", 2), ["0.03", "0.02"]),
        (("1", 1), ["1.00"]),
        (("0.29", 3), ["0.10", "0.10", "0.09"]),
        (("1.00", 0), "raises ValueError"),
    ],
)
def split_bill(total: str, people: int) -> list[str]:
    """Split an amount so that the parts add up to it, to the cent.

    Amounts are texts with two decimals. The parts differ by one cent at most, larger ones first.
    Fewer people than one raise ValueError.
    """
    raise NotImplementedError


@case(
    examples=[(([1.0, 2.0, 3.0, 4.0], 2), [1.5, 2.5, 3.5])],
    hidden=[
        (([1.0], 2), []),
        (([2.0, 4.0], 1), [2.0, 4.0]),
        (([1.0], 0), "raises ValueError"),
    ],
)
def moving_average(values: list[float], window: int) -> list[float]:
    """The mean of each `window` values in a row; a window below 1 raises ValueError."""
    raise NotImplementedError


@case(
    examples=[((1536,), "1.5 KiB"), ((12,), "12 B")],
    hidden=[((0,), "0 B"), ((1023,), "1023 B"), ((1024,), "1.0 KiB"), ((5 * 2**30,), "5.0 GiB")],
)
def human_bytes(count: int) -> str:
    """Write a number of bytes in B, KiB, MiB, GiB or TiB: the largest of which there is one whole.

    Bytes are written as they are, others with one decimal.
    """
    raise NotImplementedError


@case(
    examples=[],
    hidden=[
        ((["19.99", "0.01"], "0.19"), "Decimal('23.80')"),
        (([], "0.19"), "Decimal('0.00')"),
        ((["0.10", "0.05"], "0.5"), "Decimal('0.23')"),
    ],
)
def gross(prices: list[str], rate: str) -> Decimal:
    """The sum of prices with a tax of `rate` on it, rounded half up to the cent."""
    raise NotImplementedError

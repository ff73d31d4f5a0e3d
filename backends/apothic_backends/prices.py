"""What a second costs, as people write it: dollars, in a TOML file or in pyproject.toml.

    cpu = 0.0000131                 # a core
    memory_gib = 0.00000222
    gpu = { H100 = 0.001097 }       # one, by its model

In pyproject.toml that is the table `[tool.apothic.prices]`. What is not named costs nothing; there
are no prices unless somebody has written some.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from apothic_backends.model.costs import PICO, Prices
from apothic_backends.model.errors import InvalidOption
from apothic_backends.project import table

MOST_USD = 1_000_000
"""The most that a second of anything costs."""

_PARTS = ("cpu", "memory_gib")


def read_prices(path: Path) -> Prices:
    """The prices in a file.

    Raises:
        InvalidOption: it cannot be read, or says something else.
    """
    import tomllib  # 5 ms, for those who have prices  # noqa: PLC0415

    try:
        told: dict[str, object] = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidOption(
            f"the prices in {path} cannot be read: {error}", option="prices"
        ) from error
    return _prices(told, str(path))


def project_prices(root: Path) -> Prices | None:
    """The prices of a project, if it has some.

    Raises:
        InvalidOption: they say something else, or pyproject.toml cannot be read.
    """
    told = table(root, "prices")
    if told is None:
        return None
    if not isinstance(told, dict):
        raise _wrong("[tool.apothic] of pyproject.toml", "prices", told, "a table")
    return _prices(cast("dict[str, object]", told), "[tool.apothic.prices]")


def _prices(told: dict[str, object], where: str) -> Prices:
    unknown = told.keys() - {*_PARTS, "gpu"}
    if unknown:
        raise InvalidOption(
            f"{where} has prices of {', '.join(sorted(unknown))}; there are prices of cpu, "
            "memory_gib and gpu",
            option=min(unknown),
        )
    gpu = told.get("gpu", {})
    if not isinstance(gpu, dict):
        raise _wrong(where, "gpu", gpu, "a table such as { H100 = 0.001097 }")
    models = cast("dict[str, object]", gpu)
    parts = {name: _pico(where, name, told[name]) for name in _PARTS if name in told}
    return Prices(**parts, gpu={it: _pico(where, f"gpu.{it}", usd) for it, usd in models.items()})


def _pico(where: str, name: str, usd: Any) -> int:
    """A price in pico-USD, exactly as it was written."""
    from decimal import Decimal  # as above  # noqa: PLC0415

    is_number = isinstance(usd, int | float) and not isinstance(usd, bool)
    if not is_number or not 0 <= usd <= MOST_USD:
        raise _wrong(where, name, usd, f"dollars a second, from 0 to {MOST_USD}")
    pico = Decimal(str(usd)) * PICO
    if pico != int(pico):
        raise _wrong(where, name, usd, "a price of at most 12 digits behind the point")
    return int(pico)


def _wrong(where: str, name: str, value: object, wanted: str) -> InvalidOption:
    return InvalidOption(f"{name} in {where} has to be {wanted}, not {value!r:.80}", option=name)

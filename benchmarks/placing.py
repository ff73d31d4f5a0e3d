"""Choosing among many offers: those of the function of the spec, and one that nearly all meet."""

from __future__ import annotations

import random
import time
from typing import Any

COUNTRIES = ("Quebec, CA", ", US", "Hesse, DE", "Oslo, NO")

NARROW: dict[str, Any] = {
    "gpu": ["RTX_4070", "RTX_4070S", "RTX_4070_TI", "RTX_3080", "RTX_3060", "RTX_3060_TI"],
    "gpu_count": 1,
    "min_vram_gb": 10,
    "geolocation": ["US", "CA"],
    "max_cost_per_hour_usd": 1.5,
    "offer_filters": {
        "num_gpus": {"gte": 1, "lte": 1},
        "gpu_ram": {"gte": 10 * 1024, "lte": 24 * 1024},
        "verification": {"eq": "verified"},
        "cpu_arch": {"eq": "amd64"},
        "pci_gen": {"gte": 3},
    },
}

WIDE: dict[str, Any] = {
    "max_cost_per_hour_usd": 99,
    "disk_gb": 1,
    "offer_filters": {
        "num_gpus": {"in": [1, 2, 4, 8]},
        "gpu_ram": {"gte": 1, "lte": 999_999},
        "verification": {"in": ["verified", "unverified"]},
        "cpu_arch": {"eq": "amd64"},
        "pci_gen": {"gte": 1},
        "geolocation": {"notin": ["RU"]},
        "gpu_name": {"neq": "H100"},
    },
}


class Placing:
    """Many offers, and two functions that want some of them."""

    def __init__(self, count: int) -> None:
        from apothic_backends.placement.offers import offer_of  # noqa: PLC0415 - only ours

        rng = random.Random(1)  # noqa: S311 - any will do
        self.offers = [offer_of(f"vast {i}", _told(rng), 40) for i in range(count)]
        self.narrow, self.wide = _conditions(NARROW), _conditions(WIDE)

    def ms(self, wanted: Any) -> float:
        """How long it takes to have the candidates in order."""
        from apothic_backends.placement.offers import choose  # noqa: PLC0415 - as above

        conditions, models = wanted
        before = time.perf_counter()
        choose(conditions, self.offers, models)
        return (time.perf_counter() - before) * 1e3


def _conditions(options: dict[str, Any]) -> Any:
    from apothic_backends.model.functions import FunctionSpec  # noqa: PLC0415 - as above
    from apothic_backends.placement.compiling import (  # noqa: PLC0415 - as above
        conditions_of,
        wish_of,
    )

    wish = wish_of(options)
    fields = {field: getattr(wish, field) for field in wish.fields}
    spec = FunctionSpec("app", "f", **fields, disk_gb=options.get("disk_gb", 0))
    if options is WIDE:  # however many there are
        return [it for it in conditions_of(spec) if it.said != "gpu_count=1"], spec.gpu
    return conditions_of(spec), spec.gpu


def _told(rng: random.Random) -> dict[str, Any]:
    from apothic_backends.placement.models import MODELS  # noqa: PLC0415 - as above

    return {
        "gpu_name": rng.choice(MODELS),
        "num_gpus": rng.choice([1, 1, 1, 2, 4, 8]),
        "gpu_ram": rng.choice([8192, 10240, 12288, 16376, 24564, 49140, 81559]),
        "cpu_arch": "amd64",
        "cpu_cores": 64,
        "cpu_cores_effective": rng.choice([4.0, 8.0, 16.0, 32.0]),
        "cpu_ram": rng.choice([64_000, 128_000, 515_873]),
        "disk_space": rng.uniform(20, 2000),
        "dph_base": rng.uniform(0.05, 4),
        "storage_cost": 0.15,
        "total_flops": rng.uniform(5, 900),
        "verification": rng.choice(["verified", "unverified"]),
        "hosting_type": rng.choice([0, 1]),
        "pci_gen": rng.choice([3.0, 4.0, 5.0]),
        "geolocation": rng.choice(COUNTRIES),
        "reliability": rng.uniform(0.9, 1),
    }

from __future__ import annotations

import pytest

from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.gpus import is_model
from apothic_emulator.core.hellos import Gpu
from apothic_emulator.core.placement import Pick, pick, suits, wish

T4 = Gpu("GPU-t4", "Tesla T4", 15_360)
A40 = Gpu("GPU-a40", "NVIDIA A100-SXM4-40GB", 40_960)
A80 = Gpu("GPU-a80", "NVIDIA A100-SXM4-80GB", 81_920)
H1 = Gpu("GPU-h1", "NVIDIA H100 80GB HBM3", 81_559)
H2 = Gpu("GPU-h2", "NVIDIA H100 80GB HBM3", 81_559)
ALL = (H2, H1, A80, A40, T4)
S1, S2 = (
    Gpu(f"MIG-{i}", "NVIDIA A100-SXM4-40GB MIG 1g.5gb", 4_864, parent="GPU-a") for i in (1, 2)
)
LOST = A80.replace(trouble="it fell off the bus")


@pytest.mark.parametrize(
    ("name", "wanted", "fits"),
    [
        ("NVIDIA GeForce RTX 4090", "RTX_4090", True),
        ("NVIDIA GeForce RTX 4090", "rtx 4090", True),
        ("NVIDIA H100 80GB HBM3", "H100", True),
        ("NVIDIA A100-SXM4-80GB", "A100-80GB", True),
        ("NVIDIA A100-SXM4-40GB", "A100-80GB", False),
        ("NVIDIA GeForce RTX 4070 Ti", "RTX_4070", False),
        ("NVIDIA GeForce RTX 4070 Ti", "RTX_4070_TI", True),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "RTX_4070_TI", False),
        ("NVIDIA L40S", "L40", False),
        ("Tesla T4", "T4", True),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "A100", False),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "A100 MIG", True),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "A100:1g.5gb", True),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", "1g.10gb", False),
        ("NVIDIA A100-SXM4-40GB", "A100:1g.5gb", False),
        ("whatever it is", "", True),
    ],
)
def test_a_model_is_known_in_any_spelling(name: str, wanted: str, fits: bool) -> None:
    assert is_model(name, wanted) is fits


@pytest.mark.parametrize(
    ("gpu", "count", "memory_gb", "free", "picked"),
    [
        ((), 1, 0, ALL, (T4,)),  # the smallest is enough
        ((), 1, 20, ALL, (A40,)),
        ((), 1, 80, ALL, (H1,)),  # what is sold with 80 GB has them
        ((), 1, 81, (T4, A40), None),
        (("H100",), 1, 0, ALL, (H1,)),
        (("H100",), 2, 0, ALL, (H1, H2)),
        (("H100",), 3, 0, ALL, None),
        (("B200", "A100", "T4"), 1, 0, ALL, (A40,)),
        (("B200", "H100", "A100"), 1, 0, (A80, A40), (A40,)),
        (("A100",), 2, 0, ALL, None),  # these are two models
        ((), 2, 0, ALL, (H1, H2)),
        (("H100",), 1, 0, (), None),
        ((), 1, 0, (S2, S1), (S1,)),
        ((), 2, 0, (S2, S1), None),  # CUDA shows a process one slice only
        (("A100",), 1, 0, (S1,), None),
        (("A100",), 1, 0, (LOST,), None),
    ],
)
def test_of_what_will_do_the_first_named_and_the_smallest_is_picked(
    gpu: tuple[str, ...],
    count: int,
    memory_gb: int,
    free: tuple[Gpu, ...],
    picked: tuple[Gpu, ...] | None,
) -> None:
    spec = FunctionSpec("app", "f", gpu=gpu, gpu_count=count, min_vram_gb=memory_gb)

    found = pick(spec, free)

    assert (found and found.gpus) == picked


def test_a_pick_says_how_well_liked_it_is_and_how_large() -> None:
    spec = FunctionSpec("app", "f", gpu=("B200", "H100"), gpu_count=2)

    assert pick(spec, ALL) == Pick(1, (H1, H2))
    assert Pick(1, (H1, H2)).memory_mb == 2 * 81_559


def test_a_device_suits_by_model_and_memory() -> None:
    spec = FunctionSpec("app", "f", gpu=("A100", "T4"), gpu_count=1, min_vram_gb=40)

    assert [suits(spec, gpu) for gpu in ALL] == [False, False, True, True, False]


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({}, "1 core, 1024 MB"),
        ({"cpu": 4, "gpu_count": 1}, "4 cores, 1024 MB and 1 x GPU"),
        (
            {"gpu": ("H100", "A100"), "gpu_count": 2, "min_vram_gb": 40},
            "1 core, 1024 MB and 2 x H100 or A100 with 40 GB",
        ),
    ],
)
def test_what_a_function_needs_is_told(how: dict[str, object], told: str) -> None:
    assert wish(FunctionSpec("app", "f", **how)) == told  # type: ignore[arg-type]

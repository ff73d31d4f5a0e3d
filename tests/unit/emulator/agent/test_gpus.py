from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.agent import gpus
from apothic_emulator.core.hellos import Gpu

A, B, C = (Gpu(f"GPU-{name}", "H100", 81_559) for name in ("aa11", "ab22", "cc33"))


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (None, (A, B, C)),
        ("", ()),
        ("-1", ()),
        ("0", (A,)),
        ("2,0", (C, A)),
        (" 1 , GPU-cc33", (B, C)),
        ("GPU-c", (C,)),
        ("GPU-a", ()),  # which of the two?
        ("0,7,1", (A,)),  # up to the first that is none
        ("1,1", (B,)),
        ("MIG-1234", ()),
    ],
)
def test_what_is_visible_is_read_as_cuda_reads_it(
    wanted: str | None, seen: tuple[Gpu, ...]
) -> None:
    assert gpus.visible((A, B, C), wanted) == seen


def test_an_agent_can_give_some_of_its_devices() -> None:
    assert gpus.chosen((A, B, C), ["GPU-cc33", "GPU-aa", "GPU-cc33"]) == (C, A)


@pytest.mark.parametrize("name", ["GPU-a", "GPU-dd", ""])
def test_a_device_that_is_not_here_cannot_be_given(name: str) -> None:
    with pytest.raises(InvalidOption, match="GPU-aa11, GPU-ab22"):
        gpus.chosen((A, B), [name])


def test_devices_can_be_made_up() -> None:
    assert gpus.faked("2xH100-80GB,1xRTX 4090-24GB") == (
        Gpu("GPU-fake-H100-0", "H100", 81_920),
        Gpu("GPU-fake-H100-1", "H100", 81_920),
        Gpu("GPU-fake-RTX 4090-2", "RTX 4090", 24_576),
    )


@pytest.mark.parametrize("text", ["H100", "2xH100", "twoxH100-80GB", "1xH100-80GB,"])
def test_devices_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="APOTHIC_FAKE_GPUS"):
        gpus.faked(text)


def test_made_up_devices_stand_in_for_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xT4-16GB")

    assert gpus.find() == ((Gpu("GPU-fake-T4-0", "T4", 16_384),), "")


class NvmlError(Exception):
    pass


def library(devices: int = 1, **broken: Any) -> Any:
    """The driver's library, as `nvidia-ml-py` has it."""

    def fail(*_: Any) -> Any:
        raise NvmlError("Driver Not Loaded")

    return SimpleNamespace(
        NVMLError=NvmlError,
        nvmlInit=fail if "init" in broken else lambda: None,
        nvmlShutdown=lambda: None,
        nvmlDeviceGetCount=fail if "count" in broken else lambda: devices,
        nvmlDeviceGetHandleByIndex=lambda i: i,
        nvmlDeviceGetUUID=lambda i: f"GPU-{i}",
        nvmlDeviceGetName=lambda i: "NVIDIA L4",
        nvmlDeviceGetMemoryInfo=lambda i: SimpleNamespace(total=23_034 << 20),
    )


def test_the_driver_tells_of_each_device() -> None:
    assert gpus.ask(library(2)) == (
        (Gpu("GPU-0", "NVIDIA L4", 23_034), Gpu("GPU-1", "NVIDIA L4", 23_034)),
        "",
    )


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (library(init=True), "no NVIDIA driver: Driver Not Loaded"),
        (library(count=True), "the NVIDIA driver does not tell: Driver Not Loaded"),
        (library(0), "the NVIDIA driver knows of none"),
    ],
)
def test_without_devices_there_is_a_reason(nvml: Any, reason: str) -> None:
    assert gpus.ask(nvml) == ((), reason)

from __future__ import annotations

import pytest

from apothic_backends.model.errors import InvalidOption
from apothic_emulator.agent import gpus
from apothic_emulator.agent.nvml import Device, Inventory
from apothic_emulator.agent.visible import visible
from apothic_emulator.core.hellos import Gpu

A, B, C = (Gpu(f"GPU-{name}", "H100", 81_559) for name in ("aa11", "ab22", "cc33"))
CUT = Gpu("GPU-dd44", "A100", 40_960)
S0, S1 = (Gpu(f"MIG-{name}", "A100 MIG 1g.5gb", 4_864, parent=CUT.uuid) for name in ("5e0", "5f1"))
WHOLES = [A.uuid, B.uuid, C.uuid, "", CUT.uuid]
"""One of which nothing is known is among them."""


@pytest.mark.parametrize(
    ("wanted", "seen"),
    [
        (None, (A, B, C, S0, S1)),
        ("", ()),
        ("-1", ()),
        ("0,-1,1", (A,)),
        ("0", (A,)),
        ("2,0", (C, A)),
        (" 1 , 0", (B, A)),
        ("1st,0", (B, A)),  # as C reads numbers
        ("GPU-c", (C,)),
        ("GPU-cc33,GPU-aa", (C, A)),
        ("GPU-a", ()),  # which of the two?
        ("cc33", ()),
        ("0,7,1", (A,)),  # up to the first that is none
        ("0,3,1", (A,)),
        ("1,GPU-cc33", (B,)),  # or of another kind
        ("GPU-cc33,1", (C,)),
        ("1,1", ()),  # one that comes twice
        ("0,1,0", ()),
        ("GPU-cc33,GPU-c", ()),
        ("MIG-1234", ()),
        ("MIG-5f1,MIG-5e", (S1, S0)),
        ("MIG-5", ()),
        ("MIG-5f1,GPU-cc33", (S1,)),
        ("4,0", (S0, S1, A)),  # all slices of it
        ("GPU-dd", (S0, S1)),
    ],
)
def test_what_is_visible_is_read_as_cuda_reads_it(
    wanted: str | None, seen: tuple[Gpu, ...]
) -> None:
    assert visible(WHOLES, (A, B, C, S0, S1), wanted) == seen


def test_the_whole_of_a_name_counts_before_how_others_begin() -> None:
    short, long = Gpu("GPU-a"), Gpu("GPU-ab")

    assert visible(["GPU-a", "GPU-ab"], (short, long), "GPU-a") == (short,)


def test_an_agent_can_give_some_of_its_devices() -> None:
    assert gpus.chosen((A, B, C), ["GPU-cc33", "GPU-aa", "GPU-cc33"]) == (C, A)


@pytest.mark.parametrize("name", ["GPU-a", "GPU-dd", ""])
def test_a_device_that_is_not_here_cannot_be_given(name: str) -> None:
    with pytest.raises(InvalidOption, match="GPU-aa11, GPU-ab22"):
        gpus.chosen((A, B), [name])


def test_devices_can_be_made_up() -> None:
    assert [(it.number, it.gpu) for it in gpus.faked("2xH100-80GB,1xRTX 4090-24GB")] == [
        ("0", Gpu("GPU-fake-H100-0", "H100", 81_920)),
        ("1", Gpu("GPU-fake-H100-1", "H100", 81_920)),
        ("2", Gpu("GPU-fake-RTX 4090-2", "RTX 4090", 24_576)),
    ]


def test_slices_can_be_made_up_and_are_all_of_one_device() -> None:
    whole = Device("1", Gpu("GPU-fake-A100-1", "A100", 40_960), is_cut=True)
    first, second = (
        Gpu(f"MIG-fake-A100-1-{i}", "A100 MIG 1g.5gb", 5_120, "GPU-fake-A100-1") for i in (0, 1)
    )

    made = gpus.faked("1xT4-16GB,2xA100-40GB:1g.5gb,1xL4-24GB")

    assert made[1:4] == (whole, Device("1.0", first), Device("1.1", second))
    assert made[4].number == "2"


@pytest.mark.parametrize(
    "text", ["H100", "2xH100", "twoxH100-80GB", "1xH100-80GB,", "1xA100-40GB:big"]
)
def test_devices_that_cannot_be_read_are_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match="APOTHIC_FAKE_GPUS"):
        gpus.faked(text)


def test_made_up_devices_stand_in_for_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xT4-16GB")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    assert gpus.find() == ((Gpu("GPU-fake-T4-0", "T4", 16_384),), "")


def test_slices_are_given_and_what_they_are_of_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xA100-40GB:1g.5gb")

    found, _ = gpus.find()

    assert [gpu.uuid for gpu in found] == ["MIG-fake-A100-0-0"]


def test_a_variable_that_leaves_none_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APOTHIC_FAKE_GPUS", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")

    assert gpus.usable(Inventory((Device("0", A), Device("1", B)))) == (
        (),
        "CUDA_VISIBLE_DEVICES='7' leaves none of 2",
    )


def test_devices_of_which_none_can_be_used_are_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("APOTHIC_FAKE_GPUS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    lost = Device("0", Gpu("", "a device", trouble="it fell off the bus"))

    assert gpus.usable(Inventory((lost, Device("1", CUT, is_cut=True)))) == (
        (),
        "a device 0: it fell off the bus; A100 1: is cut into no slices",
    )


def test_a_device_that_is_gone_stays_and_is_in_trouble() -> None:
    lost = B.replace(trouble="it needs a reset")

    assert gpus.merged((A, B, C), (A, lost), Inventory()) == (
        A,
        lost,
        C.replace(trouble="it is not there any more"),
    )


def test_one_that_does_not_tell_who_it_is_says_what_has_become_of_one_that_is_gone() -> None:
    nobody = Device("0", Gpu("", "a device", trouble="it fell off the bus"))

    assert gpus.merged((A,), (), Inventory((nobody,))) == (
        A.replace(trouble="it fell off the bus"),
    )
    assert gpus.merged((A,), (), Inventory(reason="the driver is gone"))[0].trouble == (
        "the driver is gone"
    )

"""What NVIDIA's driver tells of its devices, through its library: what is wrong is told, too.

One device that does not answer never hides the others. That there is no driver is a normal state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from apothic_backends.model.record import Record
from apothic_emulator.core.hellos import Gpu

_T = TypeVar("_T")

HIDDEN = "hidden by pid namespace"
"""Of processes in a container that does not share the machine's: the driver's list is empty."""

_FIRST_NAMESPACE = 0xEFFFFFFC
"""The inode of the machine's own pid namespace: a constant of Linux."""

_LIST = Path("/proc/driver/nvidia/gpus")

_WRONG = {
    4: "this user has no permission to ask the NVIDIA driver",
    9: "the NVIDIA driver is not loaded",
    12: "there is no NVIDIA driver (libnvidia-ml.so.1 was not found)",
    13: "this NVIDIA driver is too old to be asked",
    15: "it fell off the bus; a reset of it or a restart of the machine may bring it back",
    16: "it needs a reset",
    18: "the NVIDIA library is not of the version of the driver that runs: restart the machine",
}
"""What NVML's errors mean, by their numbers."""


class Process(Record):
    """A process that has memory of a device; `used_mb` is None where the driver does not say."""

    pid: int
    name: str
    used_mb: int | None = None


class Device(Record):
    """A device, or a slice of one, at one moment; None is what the driver does not tell.

    `number` is its place on the bus ("0"), or that in another one ("0.1"). One that `is_cut` (MIG)
    is not given to anybody, but its slices are. `hidden` says why there are no `processes`, and
    `former` is how drivers before R470 called a slice, which CUDA still understands.
    """

    number: str
    gpu: Gpu
    is_cut: bool = False
    used_mb: int | None = None
    util_percent: int | None = None
    temperature_c: int | None = None
    processes: tuple[Process, ...] = ()
    hidden: str = ""
    former: str = ""


class Inventory(Record):
    """All that a driver knows; `reason` says why that is nothing."""

    devices: tuple[Device, ...] = ()
    reason: str = ""


def look() -> Inventory:
    """Ask the driver of this machine; takes some 20 ms and more, and may hang if that is sick."""
    try:
        nvml = import_module("pynvml")  # 20 ms, and few programs need it
    except ImportError:
        return Inventory(reason="nvidia-ml-py is not installed")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return Inventory(reason=_told(error))
    try:
        count: int = nvml.nvmlDeviceGetCount()
        devices = tuple(device for i in range(count) for device in Asking(nvml, i).devices())
    except nvml.NVMLError as error:
        return Inventory(reason=_told(error))
    finally:
        _or_none(nvml, nvml.nvmlShutdown)
    return Inventory(devices, "" if devices else "the NVIDIA driver knows of no device")


class Asking:
    """One device and its slices, asked."""

    def __init__(self, nvml: Any, place: int) -> None:
        self._nvml, self._place = nvml, place

    def devices(self) -> Iterator[Device]:
        """The device, and then its slices."""
        nvml, number = self._nvml, str(self._place)
        uuid = name = ""
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(self._place)
            uuid, name = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
            slices = self._slices(handle)
            whole = self._of(handle, number, Gpu(uuid, name))
        except nvml.NVMLError as error:
            yield Device(number, Gpu(uuid, name or "a device", trouble=_told(error)))
            return
        yield whole if slices is None else whole.replace(is_cut=True, util_percent=None)
        for i, one in slices or ():
            yield self._slice(one, f"{number}.{i}", whole)

    def _slices(self, handle: Any) -> list[tuple[int, Any]] | None:
        """The slices that there are of a device; None if it is whole."""
        nvml = self._nvml
        mode = self._told(nvml.nvmlDeviceGetMigMode, handle)
        if mode is None or mode[0] != nvml.NVML_DEVICE_MIG_ENABLE:
            return None
        most = self._told(nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
        found = (
            (i, self._told(nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, i))
            for i in range(most)
        )
        return [(i, one) for i, one in found if one is not None]

    def _slice(self, handle: Any, number: str, whole: Device) -> Device:
        """A slice: its memory is its own, and how busy it is nobody can tell."""
        nvml, parent = self._nvml, whole.gpu
        uuid = ""
        try:
            uuid = nvml.nvmlDeviceGetUUID(handle)
            name = nvml.nvmlDeviceGetName(handle)
            gpu = Gpu(uuid, name if "MIG" in name else f"{name} MIG", parent=parent.uuid)
            found: Device = self._of(handle, number, gpu).replace(
                former=self._former(handle, parent)
            )
        except nvml.NVMLError as error:
            gpu = Gpu(uuid, f"a slice of {parent.name}", parent=parent.uuid, trouble=_told(error))
            return Device(number, gpu)
        return found.replace(util_percent=None, temperature_c=whole.temperature_c)

    def _former(self, handle: Any, parent: Gpu) -> str:
        nvml = self._nvml
        gpu = self._told(nvml.nvmlDeviceGetGpuInstanceId, handle)
        compute = self._told(nvml.nvmlDeviceGetComputeInstanceId, handle)
        return "" if None in (gpu, compute) else f"MIG-{parent.uuid}/{gpu}/{compute}"

    def _of(self, handle: Any, number: str, gpu: Gpu) -> Device:
        nvml = self._nvml
        util = self._told(nvml.nvmlDeviceGetUtilizationRates, handle)
        total_mb, used_mb, is_unified = self._memory(handle)
        processes, hidden = self._processes(handle)
        return Device(
            number,
            gpu.replace(memory_mb=total_mb, is_unified=is_unified),
            False,
            used_mb,
            None if util is None else int(util.gpu),
            self._told(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            processes,
            hidden,
        )

    def _memory(self, handle: Any) -> tuple[int, int, bool]:
        """All of it, what is in use, in MiB; and whether it is the machine's."""
        told = self._told(self._nvml.nvmlDeviceGetMemoryInfo, handle)
        if told is None or not told.total:
            total_mb, free_mb = machine_memory_mb()
            return total_mb, total_mb - free_mb, True
        return told.total >> 20, told.used >> 20, False

    def _processes(self, handle: Any) -> tuple[tuple[Process, ...], str]:
        """Who uses it; if nobody is told of, why."""
        found: dict[int, Process] = {}
        for kind in ("Compute", "Graphics"):
            ask = getattr(self._nvml, f"nvmlDeviceGet{kind}RunningProcesses_v3")
            asked_before = getattr(self._nvml, f"nvmlDeviceGet{kind}RunningProcesses_v2")
            told = self._told(ask, handle)
            told = self._told(asked_before, handle) if told is None else told  # drivers before R510
            if told is None:
                return (), "this driver does not tell"
            found |= {it.pid: _process(it) for it in told if Path(f"/proc/{it.pid}").exists()}
        return tuple(found.values()), HIDDEN if not found and is_in_namespace() else ""

    def _told(self, ask: Callable[..., _T], *args: Any) -> _T | None:
        return _or_none(self._nvml, ask, *args)


def _or_none(nvml: Any, ask: Callable[..., _T], *args: Any) -> _T | None:
    """What the driver answers; None if it does not know that of this device.

    Raises:
        NVMLError: the device is lost.
    """
    try:
        return ask(*args)
    except nvml.NVMLError as error:
        if error.value in (nvml.NVML_ERROR_GPU_IS_LOST, nvml.NVML_ERROR_RESET_REQUIRED):
            raise
        return None


def _told(error: Any) -> str:
    return _WRONG.get(error.value) or f"the NVIDIA driver says: {error}"


def _process(told: Any) -> Process:
    try:
        name = Path(f"/proc/{told.pid}/comm").read_text().strip()
    except OSError:
        name = ""  # it has just ended
    return Process(told.pid, name, told.usedGpuMemory and told.usedGpuMemory >> 20)


def is_in_namespace() -> bool:
    """Whether processes of the machine may be out of sight: in a container, usually."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino != _FIRST_NAMESPACE
    except OSError:
        return False


def machine_memory_mb() -> tuple[int, int]:
    """The machine's memory, and what of it programs could still get, in MiB."""
    told = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return tuple(int(told[key].split()[0]) >> 10 for key in ("MemTotal", "MemAvailable"))  # type: ignore[return-value]

"""GPUs for tests: ones that are made up, and whether there are real ones."""

from __future__ import annotations

import pytest

from apothic_backends.model.errors import UsageError
from apothic_emulator.agent import nvml
from apothic_emulator.agent.gpus import FAKE, faked, usable
from apothic_emulator.core.hellos import GpusFound
from apothic_emulator.testing.runtime import Runtime


def give(runtime: Runtime, text: str, patch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Have these GPUs in a runtime, as "2xH100-80GB,1xA100-40GB:1g.5gb" says; their UUIDs.

    Raises:
        InvalidOption: it says nothing of the kind.
    """
    gpus = tuple(it.gpu for it in faked(text) if not it.is_cut) if text else ()
    patch.setenv(FAKE, text)  # whoever looks in this process sees the same
    reason = "" if gpus else "apothic_gpus has taken them all"
    runtime.backend.start(GpusFound(gpus, reason)).wait()
    return tuple(gpu.uuid for gpu in gpus)


def missing(min: int = 1) -> str:  # noqa: A002 - as the marker calls it
    """Why a test that needs so many real GPUs cannot run here; nothing if it can."""
    if min < 1:
        raise UsageError(f"@pytest.mark.apothic_gpu(min={min}): it is a whole number from 1")
    gpus, reason = usable(nvml.look())
    return "" if len(gpus) >= min else f"needs {min} GPU(s), and there are {len(gpus)}: {reason}"

"""Functions that have GPUs, for programs that tests start."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from apothic import App, Retries

app = App("gpus")

VISIBLE = "CUDA_VISIBLE_DEVICES"


@app.function(gpu="L4")
def see() -> tuple[str | None, str | None]:
    return os.environ.get(VISIBLE), os.environ.get("CUDA_DEVICE_ORDER")


@app.function()
def without() -> str | None:
    return os.environ.get(VISIBLE)


def stay(began: str, gate: str) -> str:
    """Say that it has begun, and on which device, and wait until it is let go."""
    seen = os.environ[VISIBLE]
    with Path(began).open("a") as file:
        file.write(f"{seen}\n")
    os.read(os.open(gate, os.O_RDONLY), 1)
    return seen


hold = app.function(gpu="L4", max_containers=4)(stay)


@app.function(gpu="L4", gpu_share=True, min_vram_gb=10, max_containers=4)
def share(began: str, gate: str) -> str:
    return stay(began, gate)


@app.function(gpu="1g.5gb", max_containers=4)
def on_slice(began: str, gate: str) -> str:
    return stay(began, gate)


@app.function(gpu="A100 MIG")
def see_slice() -> str | None:
    return os.environ.get(VISIBLE)


@app.function(gpu="L4", retries=Retries(max_retries=1, initial_delay=0))
def die_on(uuid: str, began: str, gate: str) -> str:
    """On that device it ends as code does whose device is lost."""
    if os.environ[VISIBLE] == uuid:
        stay(began, gate)
        os.kill(os.getpid(), signal.SIGKILL)
    return os.environ[VISIBLE]

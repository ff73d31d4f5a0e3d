"""What the container of an executor has of this machine, and what it may: decided, not done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from apothic_backends.containers.interpreters import Place
from apothic_backends.containers.passing import OURS, bind
from apothic_backends.model.functions import FunctionSpec
from apothic_emulator.executors.boxed import SECRETS

EXECUTOR = "dev.apothic.executor"
"""The label of an executor's container: its number."""
HOST = "dev.apothic.host"
"""The label that says whose it is: see `hosts`."""

PACKAGES = ("apothic", "apothic_backends", "apothic_emulator", "cloudpickle")
FOR_BUCKETS = ("obstore",)
"""What few functions need of what this machine has: for all Pythons, on Linux with glibc."""
_RIGHTS = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"]
"""What root may in a container. Anybody else may nothing."""
_MOST_PROCESSES = 4096
_SYSTEM = ("bin", "boot", "dev", "etc", "lib", "lib64", "proc", "run", "sbin", "sys", "tmp", "usr")
"""What a container has of its own, in the top of its root: none of ours may stand over it."""
_LEAST_MB = 6
"""Docker takes no less."""

_OF_THE_MACHINE = (
    "DISPLAY", "HOME", "HOSTNAME", "OLDPWD", "PATH", "PWD", "PYTHONHOME", "PYTHONPATH", "SHELL",
    "SSH_AUTH_SOCK", "TEMP", "TMP", "TMPDIR", "VIRTUAL_ENV", "WAYLAND_DISPLAY",
)  # fmt: skip
_OF_THE_MACHINE_TOO = ("DBUS_", "LD_", "XDG_")


def variables(env: Mapping[str, str]) -> dict[str, str]:
    """Those of a caller that mean the same in a container."""
    return {
        name: value
        for name, value in env.items()
        if name not in _OF_THE_MACHINE and not name.startswith(_OF_THE_MACHINE_TOO)
    }


def shown(paths: Iterable[str]) -> list[str]:
    """Which of these files and folders are shown: at the same paths, the topmost ones only."""
    found: list[str] = []
    for path in sorted({os.path.realpath(path) for path in paths if path}):
        top = path.split("/")[1]
        is_ours = bool(top) and top not in _SYSTEM
        is_deep = top in {"tmp", "usr"} and path.count("/") > 1 and not _is_standard(path)
        if (is_ours or is_deep) and Path(path).exists() and not _is_below(path, found):
            found.append(path)
    return found


def _is_standard(path: str) -> bool:
    """Whether containers have such a folder themselves."""
    return path.startswith("/usr/") and not path.startswith("/usr/local/")


def _is_below(path: str, others: Sequence[str]) -> bool:
    return any(path.startswith(f"{other}/") for other in others)


def created(place: Place, program: str, labels: Mapping[str, str]) -> dict[str, Any]:
    """How to create the container, but for what is the host's."""
    return {
        "image": place.image,
        "entrypoint": [place.python, "-I", "-c", program],
        "command": [],
        "labels": dict(labels),
        "user": "0:0" if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}",
        "stop_signal": "SIGKILL",
        "environment": {} if os.geteuid() == 0 else {"HOME": "/tmp"},  # noqa: S108 - its own
    }


def hosted(
    spec: FunctionSpec, mounts: list[dict[str, Any]], gpus: Sequence[str], *, is_limited: bool
) -> dict[str, Any]:
    """What its host has to give it, in the words of Docker."""
    how: dict[str, Any] = {
        "auto_remove": True,
        "cap_drop": ["ALL"],
        "cap_add": _RIGHTS if os.geteuid() == 0 else [],
        "security_opt": ["no-new-privileges"],
        "ipc_mode": "private",
        "log_config": {"Type": "none"},
        "network_mode": "bridge",
        "pids_limit": _MOST_PROCESSES,
        "shm_size": f"{spec.memory_mb}m",
        "mounts": mounts,
    }
    if is_limited:
        memory = f"{max(_LEAST_MB, spec.memory_mb)}m"
        how |= {"mem_limit": memory, "memswap_limit": memory}
        if spec.cpu is not None:
            how["nano_cpus"] = spec.cpu * 1_000_000_000
    if spec.secrets:
        owner = f"uid={os.geteuid()},gid={os.getegid()}"
        how["tmpfs"] = {SECRETS: f"mode=0700,{owner}"}  # Docker adds noexec, nosuid and nodev
    if gpus:
        how["device_requests"] = [
            {"Driver": "nvidia", "DeviceIDs": [*gpus], "Capabilities": [["gpu"]]}
        ]
    return how


def packages(found: Mapping[str, str]) -> list[dict[str, Any]]:
    """Our packages and what they need, as a container sees them."""
    return [bind(path, f"{OURS}/{name}") for name, path in found.items()]

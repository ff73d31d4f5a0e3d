"""Guests in containers of Docker: the same first process as elsewhere, in the root of an image."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from apothic_backends.containers.passing import OURS, PATIENCE_S, RECEIVE, Door, bind
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.sandboxes import GuestGone, IsolationMissing
from apothic_backends.sandboxes import isolation
from apothic_backends.sandboxes.guest import Guest, too_little
from apothic_backends.sandboxes.inside import plan
from apothic_backends.sandboxes.isolation import GuestSpec, Interpreter

_CODE = Path(isolation.__file__).parents[1]
_PYTHON = Interpreter("/usr/local/bin", None, ())

_PROGRAM = f"""{RECEIVE}
from apothic_backends.sandboxes.inside.launch import main
main(*fds)
"""


def open_container(spec: GuestSpec, image: str) -> Guest:
    """Start a guest in a container of its own, made from an image that has Python 3.10 or later.

    It has no rights and gets no new ones, its root cannot be written, and memory, cores and
    processes are limited for all of it. Without `network` it has none.

    Raises:
        IsolationMissing: there is no Docker here that this process may use.
        InvalidOption: the spec cannot be meant, or there is no such image.
        GuestGone: it ended before it could start anything.
    """
    docker = _docker()
    uid = -1
    if os.geteuid() == 0:
        uid = isolation.choose_uid(spec.workspace)
        isolation.give(spec.workspace, uid)
    wanted = isolation.plan_of(spec, plan.CONTAINER, _PYTHON, uid)
    wanted.memory_mb, wanted.pids, wanted.cores = 0, 0, ""  # Docker sees to them, for all together

    def launch(*links: socket.socket) -> Container:
        try:
            return Container(docker, image, spec, wanted, links)
        except BaseException:
            docker.close()
            raise
        finally:
            for link in links:
                link.close()

    guest = Guest(spec, _PYTHON, wanted, launch=launch)
    missing = guest.isolation.missing if spec.untrusted else ()
    if guest.refused is None and not missing:
        return guest
    guest.close()
    if guest.refused is None:
        raise too_little(missing)
    raise guest.error or GuestGone(f"the sandbox could not start: {guest.refused}")


def _docker() -> Any:
    """A client of the Docker of this machine."""
    try:
        import docker  # noqa: PLC0415 - slow to import, and an extra
        import docker.errors  # noqa: PLC0415 - as above
    except ImportError:
        raise _lacking(
            "the package that speaks to it is not installed: pip install docker"
        ) from None
    try:
        return docker.from_env(timeout=int(PATIENCE_S))
    except docker.errors.DockerException as error:
        raise _lacking(str(error)) from None


def _lacking(why: str) -> IsolationMissing:
    return IsolationMissing(
        f"isolation='docker', but there is no Docker that can be used here ({why}); start it, or "
        "use isolation='process'",
        missing=[f"docker: {why}"],
    )


class Container:
    """A container that runs; its first process has the links."""

    def __init__(
        self,
        docker: Any,
        image: str,
        spec: GuestSpec,
        wanted: plan.Plan,
        links: Sequence[socket.socket],
    ) -> None:
        self._docker, self._image = docker, image
        with Door() as door:
            self._container = self._run(_how(spec, wanted, door.mount))
            fds = [link.fileno() for link in links]
            if not door.pass_on(fds, b"", self._is_running):
                self.kill()
                raise GuestGone(
                    f"the first process of a container of {image} ended at once: the image has to "
                    "have a `python3` of 3.10 or later"
                )

    def _run(self, how: dict[str, Any]) -> Any:
        import docker.errors  # noqa: PLC0415 - as above

        try:
            self._find_image()
            return self._docker.containers.run(self._image, **how)
        except docker.errors.APIError as error:
            raise GuestGone(
                f"a container of {self._image} does not start: {error.explanation}; its image has "
                "to have a `python3` of 3.10 or later"
            ) from None

    def _find_image(self) -> None:
        """See to it that the image is here."""
        import docker.errors  # noqa: PLC0415 - as above

        try:
            self._docker.images.get(self._image)
        except docker.errors.ImageNotFound:
            try:
                self._docker.images.pull(self._image)
            except docker.errors.APIError as error:
                raise InvalidOption(
                    f"image={self._image!r}: there is no such image here, and it cannot be pulled "
                    f"({error.explanation})",
                    option="image",
                ) from None

    def _is_running(self) -> bool:
        import docker.errors  # noqa: PLC0415 - as above

        try:
            self._container.reload()
        except docker.errors.NotFound:
            return False
        return bool(self._container.status != "exited")

    def __enter__(self) -> Self:
        """It runs."""
        return self

    def __exit__(self, *_: object) -> None:
        """It has been waited for."""
        self._docker.close()

    def wait(self, timeout_s: float) -> None:
        """Wait until it has ended, which it does with its first process.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        import docker.errors  # noqa: PLC0415 - as above
        import requests.exceptions  # noqa: PLC0415 - what docker speaks by

        try:
            self._container.wait(timeout=timeout_s, condition="removed")
        except docker.errors.NotFound:
            pass
        except requests.exceptions.RequestException:
            raise subprocess.TimeoutExpired(self._image, timeout_s) from None

    def kill(self) -> None:
        """End it at once."""
        import docker.errors  # noqa: PLC0415 - as above

        try:
            self._container.remove(force=True)
        except docker.errors.APIError:
            pass  # it is gone, or is about to be


def _how(spec: GuestSpec, wanted: plan.Plan, door: dict[str, Any]) -> dict[str, Any]:
    """How to run it, in the words of Docker."""
    user = wanted.uid if wanted.uid >= 0 else os.getuid()
    limits: dict[str, Any] = {"pids_limit": spec.pids + 1}  # its first process is one itself
    if spec.memory_mb is not None:
        limits |= {"mem_limit": f"{spec.memory_mb}m", "memswap_limit": f"{spec.memory_mb}m"}
    if spec.cpu is not None:
        limits["nano_cpus"] = spec.cpu * 1_000_000_000
    mounts = [
        door,
        bind(wanted.workspace, plan.WORKSPACE, is_writable=True),
        bind(str(_CODE), f"{OURS}/{_CODE.name}"),
        *[bind(source, target, is_writable=mode) for source, target, mode in wanted.binds],
    ]
    return limits | {
        "entrypoint": ["python3", "-I", "-S", "-c", _PROGRAM],
        "command": [],
        "detach": True,
        "auto_remove": True,
        "user": f"{user}:{user}",
        "working_dir": "/",
        "hostname": "sandbox",
        "read_only": True,
        "tmpfs": {"/tmp": f"rw,nosuid,nodev,size={wanted.scratch_mb}m,mode=1777"},  # noqa: S108 - its own
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "network_mode": "bridge" if spec.network else "none",
        "ipc_mode": "private",
        "log_config": {"type": "none"},
        "labels": {"dev.apothic.sandbox": wanted.token},
        "mounts": mounts,
    }

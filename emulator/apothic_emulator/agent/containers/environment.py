"""Where functions run whose image needs Docker: each executor in a container of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from apothic_backends.buckets.directories import directory, stands_for
from apothic_backends.containers import engine
from apothic_backends.containers.interpreters import Place
from apothic_backends.containers.passing import bind
from apothic_backends.home import home
from apothic_backends.images import records
from apothic_backends.model.errors import ApothicError, MountFailed
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.images import ImageSpec
from apothic_backends.volumes import disk
from apothic_emulator.agent import interpreter
from apothic_emulator.agent.containers import hosts, plan, preparing, quotas
from apothic_emulator.agent.containers.box import PROGRAM, Box
from apothic_emulator.agent.containers.plan import EXECUTOR, HOST
from apothic_emulator.agent.zygote import Launch, Launched, Zygote
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.executors.boxed import STDLIB

_KEPT = ("archives", "buckets", "trees", "volumes")
"""What executors use of this user's home."""


class ContainerEnvironment:
    """The place for executors of a function; without an image of its own, like its caller's."""

    key = ""
    disk = ""

    def __init__(
        self,
        spec: FunctionSpec,
        image: ImageSpec,
        archive: Path | None,
        binds: Sequence[str] = (),
    ) -> None:
        """`binds` are what it may write to of this machine, at the same paths."""
        self._binds = binds
        self._spec = spec
        self._image = image
        self._archive = archive
        self._python = image.python or spec.python
        self._file = preparing.place_file(image, self._python)
        self._shown: list[str] = []

    def task(self) -> dict[str, Any] | None:
        """What a builder has to do; None if all is there."""
        if preparing.read(self._file) is not None:
            return None
        own = {"env": dict(os.environ), "path": interpreter.path()}
        return preparing.task(self._image, self._python, self._archive) | own

    def settle(self, load: dict[str, Any]) -> None:
        """Leave out what is not in the container, and say where its own comes in."""
        load["env"] = plan.variables(load["env"])
        path, cwd = self._path(load["path"]), load["cwd"]
        if self._spec.source is None:
            self._shown = plan.shown([cwd, *path])
        else:
            self._shown = plan.shown(path)
        load["path"] = path
        load["is_bound"] = True
        has_own = self._spec.image is not None and any(
            step.verb == "workdir" for step in self._image.steps
        )
        load["cwd"] = "" if has_own or not self._is_shown(cwd) else cwd

    def _path(self, path: list[str]) -> list[str]:
        """A caller's module path: for a function with an image, without what is installed there."""
        stdlib = set(interpreter.stdlib())
        kept: list[str] = []
        for entry in path:
            if entry in stdlib:
                kept += [STDLIB] if STDLIB not in kept else []
            elif self._spec.image is None or not interpreter.is_installed(entry):
                kept.append(entry)
        return kept if STDLIB in kept else [*kept, STDLIB]

    def _is_shown(self, path: str) -> bool:
        real = os.path.realpath(path)
        return any(real == it or real.startswith(f"{it}/") for it in self._shown)

    def launcher(self, effect: StartExecutor, own: Zygote) -> Launch:
        """What opens a container for an executor."""
        del own
        inside = {"APOTHIC_HOME": str(home())}
        labels = {EXECUTOR: str(effect.executor), HOST: hosts.this_host()}
        folder = hosts.folder(effect.executor)

        def create(client: Any, door: dict[str, Any]) -> str:
            mounts = [door, *self._volumes(folder)]
            return self._create(client, mounts, labels, effect.gpus)

        def launch(far: Any, _mark: str) -> Launched:
            return Box(far, create, inside, self._explained, lambda: disk.remove_tree(folder))

        return launch

    def _explained(self, error: ApothicError) -> ApothicError:
        """What an error means for a function that has mounts."""
        reason = str(error.data.get("reason", ""))
        for mount in self._spec.mounts:
            if mount.path in reason:
                return MountFailed(
                    f"{mount.kind} {mount.name} cannot be mounted at {mount.path} in a container "
                    f"({reason}); choose a path where nothing is, outside of your project",
                    path=mount.path,
                )
        return error

    def _create(
        self,
        client: Any,
        mounts: list[dict[str, Any]],
        labels: dict[str, str],
        gpus: tuple[str, ...],
    ) -> str:
        place = preparing.read(self._file) or self._prepared()
        records.used(self._image.digest)
        hosts.reap_once(client)
        try:
            return self._created(client, place, mounts, labels, gpus)
        except _Gone:  # somebody has removed it since it was prepared, or made it anew
            return self._created(client, self._prepared(), mounts, labels, gpus)

    def _prepared(self) -> Place:
        self._file.unlink(missing_ok=True)
        task = preparing.task(self._image, self._python, self._archive)
        return preparing.build(task, None, lambda _line: None)

    def _created(
        self,
        client: Any,
        place: Place,
        mounts: list[dict[str, Any]],
        labels: dict[str, str],
        gpus: tuple[str, ...],
    ) -> str:
        import docker.errors  # noqa: PLC0415 - as above

        is_limited = (os.environ.get("APOTHIC_LIMITS") or "enforce") == "enforce"
        packages = plan.PACKAGES
        if any(mount.kind == "bucket" for mount in self._spec.mounts):
            packages += plan.FOR_BUCKETS
        mounts = [*mounts, *plan.packages(_found(packages)), *self._mounts(place)]
        how = plan.hosted(self._spec, mounts, gpus, is_limited=is_limited)
        what = plan.created(place, PROGRAM, labels)
        with engine.told():
            try:
                if client.inspect_image(place.image)["Id"] != place.image_id:
                    raise _Gone
                disk_gb = self._spec.disk_gb if is_limited else 0
                made, self.disk = quotas.create(client, what, how, disk_gb)
            except docker.errors.ImageNotFound:
                raise _Gone from None
        return made

    def _mounts(self, place: Place) -> list[dict[str, Any]]:
        found = [bind(path, path) for path in self._shown]
        found += [bind(path, path, is_writable=True) for path in self._binds]
        if place.installation:
            found.append(bind(place.installation, place.installation))
        for name in self._needed():
            folder = home() / name
            folder.mkdir(mode=0o700, exist_ok=True)
            found.append(bind(str(folder), str(folder), is_writable=True))
        return found

    def _volumes(self, folder: Path) -> list[dict[str, Any]]:
        """Folders for what the function mounts: its executor fills them, but for directories."""
        found: list[dict[str, Any]] = []
        for number, mount in enumerate(self._spec.mounts):
            if stands_for(mount) is not None:
                source = str(directory(mount))
                found.append(bind(source, mount.path, is_writable=not mount.read_only))
                continue
            (folder / str(number)).mkdir(mode=0o755, parents=True)
            found.append(bind(str(folder / str(number)), mount.path, is_writable=True))
        return found

    def _needed(self) -> list[str]:
        kinds = {f"{mount.kind}s" for mount in self._spec.mounts}
        kinds |= {"archives", "trees"} if self._spec.source is not None else set()
        return [name for name in _KEPT if name in kinds]

    def abandoned(self) -> None:
        """A build ends with the connection of whoever has asked for it."""


class _Gone(Exception):
    """The image is not there any more, or is another one."""


def _found(packages: Sequence[str]) -> dict[str, str]:
    """Where these packages are, as far as they are here."""
    found: dict[str, str] = {}
    for name in packages:
        loaded = sys.modules.get(name)
        spec = PathFinder.find_spec(name, interpreter.path()) or (loaded and loaded.__spec__)
        if spec is not None and spec.origin is not None:
            found[name] = str(Path(spec.origin).parent)
    return found

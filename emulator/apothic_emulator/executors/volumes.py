"""The volumes of an executor: there before its function is loaded, and kept after each call.

Calls that run at once in one process share what they see; what one of them commits has what the
others have written so far. A call that fails leaves nothing, if it ran alone.
"""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from functools import update_wrapper
from pathlib import Path
from typing import Any

from apothic_backends.home import home
from apothic_backends.model.errors import ApothicError, MountFailed
from apothic_backends.model.functions import MountSpec
from apothic_backends.volumes import local
from apothic_backends.volumes.mounts import here
from apothic_backends.volumes.views import View
from apothic_emulator.executors import calls, mounts
from apothic_emulator.executors.shown import Bound, Linked, Mounted, Shown

Function = Callable[..., Any]
AnyShown = Any
"""A `Shown`, or a `BucketShown`, which few programs load."""


class Volumes:
    """The volumes that the calls of one executor see."""

    def __init__(self, shown: Sequence[AnyShown]) -> None:
        self.shown: list[AnyShown] = [*shown]

    def __enter__(self) -> None:
        """A call begins."""
        begun: list[AnyShown] = []
        try:
            for one in self.shown:
                one.begin()
                begun.append(one)
        except BaseException:
            for one in begun:
                one.discard()
            raise

    def __exit__(self, kind: object, error: BaseException | None, at: object) -> None:
        """A call has ended."""
        left = [*self.shown]
        try:
            while error is None and left:
                left.pop(0).keep()
        finally:
            for one in left:
                if error is not None:
                    one.note(error)
                one.discard()

    def check(self, value: Any) -> None:
        """See to it that nothing is committed for a result that cannot be sent.

        Raises:
            Unsendable: it cannot.
        """
        if any(one.view.has_changes() for one in self.shown):
            calls.encode_result(value)

    def around(self, function: Function, *, is_async: bool, is_generator: bool) -> Function:
        """The function, each call of which sees the volumes and commits what it has written."""
        kind = _AROUND[is_async, is_generator]
        wrapped = kind(self, function)
        calls.HIDDEN.add(wrapped.__code__)
        update_wrapper(wrapped, function)
        return wrapped

    def close(self) -> None:
        """Take them away."""
        while self.shown:
            close(self.shown.pop())


def _around_call(volumes: Volumes, function: Function) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        with volumes:
            value = function(*args, **kwargs)
            volumes.check(value)
        return value

    return call


def _around_task(volumes: Volumes, function: Function) -> Any:
    async def call(*args: Any, **kwargs: Any) -> Any:
        with volumes:
            value = await function(*args, **kwargs)
            volumes.check(value)
        return value

    return call


def _around_generator(volumes: Volumes, function: Function) -> Any:
    def call(*args: Any, **kwargs: Any) -> Generator[Any]:
        with volumes:
            yield from function(*args, **kwargs)

    return call


def _around_async_generator(volumes: Volumes, function: Function) -> Any:
    async def call(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        with volumes:
            generator = function(*args, **kwargs)
            try:
                async for item in generator:
                    yield item
            finally:
                await generator.aclose()

    return call


_AROUND: dict[tuple[bool, bool], Callable[[Volumes, Function], Any]] = {
    (False, False): _around_call,
    (True, False): _around_task,
    (False, True): _around_generator,
    (True, True): _around_async_generator,
}


# --- at the start ---------------------------------------------------------------------------------


def mounted(
    spec: dict[str, Any], keys: Mapping[str, str], *, is_async: bool, is_generator: bool
) -> Callable[[Function], Function]:
    """Mount what an executor was told to; what to put around its function.

    `keys` open buckets, by the names of the secrets that they are in.

    Raises:
        NotFound: there is no such volume, and it is not to be made.
        HostGone: it is bound to a host that is not here.
        MountFailed: it cannot be shown at its path.
    """
    volumes = opened(spec, keys)
    return lambda function: volumes.around(function, is_async=is_async, is_generator=is_generator)


def opened(spec: dict[str, Any], keys: Mapping[str, str]) -> Volumes:
    """Mount what an executor was told to.

    Raises:
        NotFound: there is no such volume, and it is not to be made.
        HostGone: it is bound to a host that is not here.
        MountFailed: it cannot be shown at its path.
    """
    specs = [MountSpec(**one) for one in spec["mounts"]]
    volumes = Volumes(_mount(specs, keys, spec["cwd"], is_bound=spec.get("is_bound", False)))
    atexit.register(volumes.close)
    try:
        os.chdir(spec["cwd"])  # as the new file system has it
    except OSError:
        os.chdir("/")
    return volumes


def _mount(
    specs: Sequence[MountSpec], keys: Mapping[str, str], cwd: str, *, is_bound: bool
) -> list[AnyShown]:
    views: list[Any] = []
    try:
        for spec in specs:
            check_place(spec.path, cwd)
            views.append(view_of(spec, keys, Path(spec.path) if is_bound else None))
        kind = Bound if is_bound else _enter(specs, views)
        return [show(spec, kind(view, spec.path)) for spec, view in zip(specs, views, strict=True)]
    except BaseException:
        for view in views:
            view.close()
        raise


def _enter(specs: Sequence[MountSpec], views: Sequence[Any]) -> type[Mounted | Linked]:
    """Have a file system of our own, if that can be."""
    paths = [spec.path for spec in specs]
    try:
        for made in mounts.enter(paths, str(views[0].scratch)):
            views[0].note(made)
    except mounts.Unsupported:
        return Linked
    except OSError as error:
        raise MountFailed(
            f"volumes cannot be mounted at {', '.join(paths)}: {error.filename}: {error.strerror}. "
            "Choose another path, or make the folder yourself",
            path=paths[0],
        ) from error
    return Mounted


def check_place(path: str, cwd: str) -> None:
    """See to it that a mount hides nothing that the worker needs.

    Raises:
        MountFailed: it would.
    """
    for needed in (cwd, sys.prefix, sys.base_prefix, str(home()), *sys.path):
        if needed == path or needed.startswith(f"{path}/"):
            raise MountFailed(
                f"a mount at {path} would hide {needed}, which the worker needs; choose another "
                "path",
                path=path,
            )


def view_of(spec: MountSpec, keys: Mapping[str, str], at: Path | None = None) -> Any:
    """A view of what is to be mounted; `at` is where a bucket has to be, if not anywhere.

    Raises:
        NotFound: there is no such volume.
        HostGone: it is bound to a host that is not here.
    """
    if spec.kind == "bucket":
        from apothic_emulator.executors.buckets import BucketView  # for few  # noqa: PLC0415

        return BucketView(spec, keys, at)
    if spec.kind != "volume":
        raise MountFailed(f"nobody here can mount a {spec.kind} at {spec.path}", path=spec.path)
    store = local.volumes().open(spec.name, create=spec.create)
    local.volumes().place(store)
    return View(store, spec.sub_path, read_only=spec.read_only)


def show(spec: MountSpec, surface: Mounted | Linked | Bound) -> AnyShown:
    """Have a view at its path.

    Raises:
        MountFailed: it cannot be there.
    """
    view: Any = surface.view
    try:
        if spec.kind == "bucket":
            from apothic_emulator.executors import buckets  # for few  # noqa: PLC0415

            return buckets.shown(surface, view)
        if isinstance(surface, Linked):
            view.become_copy()
        elif isinstance(surface, Bound):
            view.become_copy(Path(surface.path))
        surface.show()
    except OSError as error:
        path = surface.path
        if isinstance(surface, Mounted):
            why = f"{error.strerror}; look at what the file system of {path} can do"
        else:
            why = (
                f"{error.strerror}. Here it would be a symbolic link, because this process can "
                "have no mount namespace of its own: choose a path that is free, in a folder that "
                "you may write to; run calls in workers and not inline; or allow user namespaces "
                "(sysctl user.max_user_namespaces, the seccomp profile of a container)"
            )
        raise MountFailed(
            f"{spec.kind} {spec.name} cannot be shown at {path}: {why}", path=path
        ) from error
    shown = Shown(surface, surface.view, spec.path, strict=spec.strict)
    here.append(shown)
    return shown


def close(shown: AnyShown) -> None:
    """Take a volume or a bucket away."""
    if isinstance(shown, Shown):
        here.remove(shown)
    shown.close()


def told(error: BaseException) -> dict[str, Any]:
    """Why a worker has no volumes, for a report."""
    known = isinstance(error, ApothicError)
    return {
        "code": error.code if known else "mount_failed",
        "message": str(error) if known else f"volumes cannot be mounted: {error!r}",
        "type_name": type(error).__name__,
        "traceback": "",
    }

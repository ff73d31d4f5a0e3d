"""From a stub to a module that runs as any other: frozen already, cached, or generated now."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module, invalidate_caches
from importlib.util import find_spec
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple, Protocol

from apothic._declared import FROZEN
from apothic.generation.artifacts import Artifact, frozen_at, module_of, path_of, rendered
from apothic.generation.cache import cache_of
from apothic.generation.checks import kept
from apothic.generation.config import LivConfig
from apothic.generation.findings import Refused
from apothic.generation.identity import context_of, identity_of
from apothic.generation.models import Model, Settings, settings_of
from apothic.generation.repair import allowed, generated
from apothic.generation.stubs import Stub, stub_of
from apothic.generation.tools import Tools
from apothic_backends.model.errors import UsageError
from apothic_backends.model.functions import FunctionSpec
from apothic_backends.model.generation import NotGenerated
from apothic_backends.registry import is_worker

_lock = RLock()
_anew: set[str] = set()
"""What this process has generated anew, as `force_regenerate` asks, by identity."""


class Generated(Protocol):
    """A handle of a function that is to be generated."""

    app_name: str
    name: str
    options: Any

    @property
    def liv(self) -> LivConfig | None:
        """How."""
        ...

    @property
    def stub_kind(self) -> str | None:
        """What is generated, "function" or "endpoint"; None for what cannot be."""
        ...

    def raw(self) -> Callable[..., Any]:
        """The stub."""
        ...

    def spec(self) -> FunctionSpec:
        """What a backend must know of it."""
        ...


class Wanted(NamedTuple):
    """A function that is to be generated, and what it will be known by."""

    stub: Stub
    config: LivConfig
    settings: Settings
    context: dict[str, Any]

    @classmethod
    def of(cls, handle: Generated) -> Wanted:
        """What a handle asks for.

        Raises:
            InvalidOption: its source cannot be read, or its signature cannot be imported.
        """
        config, kind = handle.liv, handle.stub_kind
        assert config is not None
        assert kind is not None  # it would have been refused where it was declared
        stub = stub_of(handle.raw(), handle.app_name, kind)
        return cls(stub, config, settings_of(config), context_of(handle))

    @property
    def path(self) -> Path:
        """Where it is frozen."""
        return path_of(self.stub)

    def identity(self, model: str) -> str:
        """What it is known by if that model generates it."""
        return identity_of(self.stub, self.config, self.context, model)

    def is_met_by(self, artifact: Artifact) -> bool:
        """Whether something that was generated is what is wanted now.

        Where no model is named, whichever it was is as good.
        """
        return artifact.identity == self.identity(self.settings.model or artifact.model)


def frozen(handle: Generated) -> str:
    """Freeze a function, unless it is; the `module:name` that it is found by.

    Raises:
        NotGenerated: it was never generated, and no model is named; or this is a worker.
        GenerationFailed: no answer could be frozen; what was frozen before still is.
        UsageError: what is frozen was changed by hand, or belongs to another app.
    """
    module = module_of(handle.app_name, handle.name)
    if is_worker():
        _check_shipped(module, handle.name)
    else:
        _freeze(Wanted.of(handle), module)
    return f"{module}:{handle.name}"


def _freeze(wanted: Wanted, module: str) -> None:
    with _lock:
        there = frozen_at(wanted.path)
        if there is not None and (there.app_name, there.name) != _names(wanted):
            raise UsageError(
                f"{wanted.path} is {there.app_name}/{there.name}, and {wanted.stub.app_name}/"
                f"{wanted.stub.name} would be there, too; call one of the apps otherwise"
            )
        if there is None or not wanted.is_met_by(there) or _is_due(wanted):
            _refuse_elsewhere(wanted)
            _write(wanted.path, rendered(artifact_for(wanted), wanted.stub))
            sys.modules.pop(module, None)  # it is another one now
            invalidate_caches()
        FROZEN.add(str(wanted.path))


def _check_shipped(module: str, name: str) -> None:
    """In a worker it is what was frozen when its files were shipped, or there is nothing."""
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise NotGenerated(
            f"{name}() is not frozen in the files that this worker runs in, and a worker generates "
            "nothing: deploy the app, or call the function from your program first"
        )


def loaded(handle: Generated) -> Callable[..., Any]:
    """A function as it is frozen, in this process; it is frozen first, unless it is.

    Raises:
        NotGenerated, GenerationFailed, UsageError: as `frozen`.
    """
    module, _, name = frozen(handle).partition(":")
    function: Callable[..., Any] = getattr(import_module(module), name)
    return function


def check(handle: Generated) -> None:
    """See whether a function is frozen as it is wanted, or could be generated; nothing is.

    Raises:
        NotGenerated: neither.
        UsageError: what is frozen was changed by hand.
    """
    wanted = Wanted.of(handle)
    there = frozen_at(wanted.path)
    if there is None or not wanted.is_met_by(there):
        with Model(wanted.settings, Tools(wanted.config.tools)):
            pass  # it could be asked


def artifact_for(wanted: Wanted) -> Artifact:
    """What is wanted: from the cache, or generated now and kept there.

    Raises:
        NotGenerated: there is nobody to ask.
        GenerationFailed: no answer could be used.
    """
    identity = wanted.identity(wanted.settings.model)
    cache = cache_of(wanted.config, wanted.stub.app_name)
    is_due = _is_due(wanted)
    with cache.only_one(identity):
        found = None if is_due else cache.get(identity)
        if found is None or not _is_fit(found, wanted):
            config, settings = wanted.config, wanted.settings
            found = generated(wanted.stub, config, settings, wanted.context, identity)
            cache.put(found)
    _anew.add(identity)
    return found


def _is_due(wanted: Wanted) -> bool:
    """Whether it is to be generated anew although it is there."""
    is_new = wanted.identity(wanted.settings.model) not in _anew
    return wanted.config.force_regenerate and is_new


def _is_fit(artifact: Artifact, wanted: Wanted) -> bool:
    """Whether what came from a cache would be kept if it were answered now."""
    try:
        return kept(artifact.code, wanted.stub, allowed(wanted.config)) == artifact.code
    except Refused:
        return False


def _names(wanted: Wanted) -> tuple[str, str]:
    return wanted.stub.app_name, wanted.stub.name


def _refuse_elsewhere(wanted: Wanted) -> None:
    """See to it that what is written can be imported."""
    if Path(wanted.stub.root) not in [Path(entry).resolve() for entry in sys.path]:
        raise UsageError(
            f"{wanted.stub.name}() would be frozen in {wanted.path}, and nothing is imported from "
            f"{wanted.stub.root}: put that on sys.path, as `python {wanted.stub.file}` does"
        )


def _write(path: Path, text: str) -> None:
    """Put a module in place, whole or not at all; one that is so already is left alone."""
    if path.exists() and path.read_text("utf-8") == text:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(f".{os.getpid()}.part")
    beside.write_text(text, "utf-8")
    beside.replace(path)

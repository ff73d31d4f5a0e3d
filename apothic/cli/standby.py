"""`python -m apothic.cli.standby`: a warm interpreter that waits for a program, and deploys it.

    {"imports": [...]}     ►  ◄  {"is_ready": true}          what programs import is imported
    {"list": true}         ►  ◄  {"files": [...]}            what would be shipped; any number
    {"target": "app.py", "changed": [...]}
                           ►  ◄  {"deployment": ...}         or {"error": ..., "text": ...}
    {"after": true}        ►  ◄  {"files": [...], "modules": [...]}

One line of JSON each. It loads one program in its life, so nothing of one is left in the next. Who
started it has its end by closing its stdin, whatever the program does; what that prints goes to
stderr.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from importlib.util import cache_from_source
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import Any

from apothic._connect import connect
from apothic._deploying import deploy
from apothic._drive import block
from apothic.apps import App
from apothic.cli.deployments import app_of
from apothic.cli.failures import describe, explain
from apothic.cli.load import find_file, load
from apothic.packaging import package_of
from apothic.services import Service
from apothic_backends.commands.deployments import ListDeployments
from apothic_backends.model.deployments import Deployed
from apothic_backends.model.errors import PackageRefused
from apothic_backends.project import project

_INSTALLED = ("site-packages", "dist-packages")


class Pipe:
    """The two ends of what is said; user code finds neither of them as its stdin and stdout."""

    def __init__(self) -> None:
        self._orders: SimpleQueue[Any] = SimpleQueue()
        self._in = os.fdopen(os.dup(0), "rb")
        self._out = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._in:
            self._orders.put(json.loads(line))
        os._exit(0)  # nobody waits for what this does, and it may never end

    def next(self) -> dict[str, Any]:
        """What is asked next."""
        order: dict[str, Any] = self._orders.get()
        return order

    def tell(self, **told: Any) -> None:
        """Answer."""
        line = json.dumps(told, default=str).encode() + b"\n"
        while line:
            line = line[os.write(self._out, line) :]


def main() -> None:
    """Get ready, wait, load, deploy, tell."""
    pipe = Pipe()
    _warm(pipe.next()["imports"])
    connect(os.environ["APOTHIC_BACKEND"]).start(
        ListDeployments("-")
    ).wait()  # so that the connection stands
    pipe.tell(is_ready=True)
    while "list" in (order := pipe.next()):
        pipe.tell(**_told(_listed))
    pipe.tell(**_told(lambda: _deployed(order["target"], order["changed"])))
    pipe.next()
    pipe.tell(**_told(lambda: {**_listed(), "modules": _modules(project())}))


def _told(do: Any) -> dict[str, Any]:
    """What comes of it, or what was wrong."""
    try:
        told: dict[str, Any] = do()
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - all is told
        return {"error": describe(error), "text": explain(error)}
    return told


def _warm(names: Iterable[str]) -> None:
    """Import what the program imported when it was loaded last."""
    for name in names:
        with suppress(Exception):  # it may be gone; the program says so, if it needs that
            import_module(name)


def _listed() -> dict[str, Any]:
    """What is shipped, by its paths in the project."""
    return {"files": [file.path for file in package_of(project()).files]}


def _deployed(target: str, changed: Iterable[str]) -> dict[str, Any]:
    """Load a program that was saved just now, and deploy its app."""
    _forget_compiled(changed)
    path, _, name = target.partition("::")
    file = find_file(path)
    if not file.is_relative_to(project().resolve()):
        raise PackageRefused(f"{file} is not in the project {project()}", files=[path])
    sys.argv = [path]
    began = perf_counter()
    app = app_of(load(file), name)
    loaded = perf_counter()
    said = _said(app, block(deploy(app.name, app.functions)))
    return {**said, "load_ms": 1e3 * (loaded - began), "deploy_ms": 1e3 * (perf_counter() - loaded)}


def _forget_compiled(changed: Iterable[str]) -> None:
    """Compiled modules go by the second and the size of a source, and saves are faster."""
    sys.dont_write_bytecode = True
    for path in changed:
        if path.endswith(".py"):
            with suppress(OSError, NotImplementedError):
                Path(cache_from_source(path)).unlink()


def _said(app: App, done: Deployed) -> dict[str, Any]:
    it = done.deployment
    services = {
        handle.name: {"url": handle.service_url, "shape": handle.shape}
        for handle in app.functions.values()
        if isinstance(handle, Service)
    }
    return {
        "deployment": it.deployment_id,
        "app": it.app_name,
        "version": it.version,
        "is_new": done.is_new,
        "services": services,
        "functions": [work.name for work in it.functions if work.name not in services],
        "scheduled": [work.name for work in it.functions if work.schedule is not None],
    }


def _modules(root: Path) -> list[str]:
    """What is imported now and was installed, in order: it is no part of the project."""
    return [
        name
        for name, module in [*sys.modules.items()]
        if name != "__main__" and _is_installed(getattr(module, "__file__", None), root)
    ]


def _is_installed(file: str | None, root: Path) -> bool:
    if file is None:
        return False
    return any(site in file for site in _INSTALLED) or not Path(file).is_relative_to(root.resolve())


if __name__ == "__main__":
    main()

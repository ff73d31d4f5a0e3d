"""How to start another interpreter that is like this one, quickly and undisturbed.

It runs without `site`, and with those entries of `sys.path` only that the zygote itself needs, so
that nothing in the user's folders can stand in for a module of ours or of the standard library.
Executors take over the user's whole `sys.path` later.
"""

from __future__ import annotations

import importlib.machinery
import os
import sys

import apothic_backends
import apothic_emulator

_SITES = ("site-packages", "dist-packages")
_EDITABLE = "editable"


def command(program: str) -> list[str]:
    """The command line that runs a program text."""
    before = (
        f"import sys; sys.path[:] = {_own_path()!r}; "
        f"sys.prefix, sys.exec_prefix = {sys.prefix!r}, {sys.exec_prefix!r}; "
    )
    return [sys.executable, *_flags(), "-S", "-P", "-c", before + _hooks() + program]


def path() -> list[str]:
    """`sys.path` as imports see it, who pass over a `Path` in it."""
    entries: list[object] = [*sys.path]
    return [entry for entry in entries if isinstance(entry, str)]


def installed() -> list[str]:
    """The part of it that is nobody's project: what is installed, and our own packages."""
    own = [entry for entry in path() if is_installed(entry)]
    spec = importlib.machinery.PathFinder.find_spec("apothic")
    ours = [] if spec is None or spec.origin is None else [_above(_above(spec.origin))]
    return list(dict.fromkeys([*own, *ours, *_own_path()]))


def projects() -> list[str]:
    """The part of it that is nobody's installation: the user's own modules."""
    own = set(stdlib())
    return [entry for entry in path() if entry not in own and not is_installed(entry)]


def is_installed(entry: str) -> bool:
    """Whether what is there was installed, and is nobody's project."""
    return any(f"{os.sep}{site}" in entry for site in _SITES)


def sdk() -> list[str]:
    """The folder of the SDK's package, if it is installed here."""
    import importlib.util  # noqa: PLC0415 - for few programs

    spec = importlib.util.find_spec("apothic")
    return list(spec.submodule_search_locations or ()) if spec is not None else []


def _above(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))  # noqa: PTH100, PTH120 - as `sys.path` spells it


def _flags() -> list[str]:
    """The options of this interpreter that change how Python code behaves."""
    flags = [f"-W{option}" for option in sys.warnoptions]
    flags += [
        f"-X{name}" if value is True else f"-X{name}={value}"
        for name, value in sys._xoptions.items()  # noqa: SLF001 - the only place they are kept
        if name != "importtime"  # that would be a report on our own imports
    ]
    own = sys.flags
    for letter, count in (
        ("O", own.optimize),
        ("B", own.dont_write_bytecode),
        ("b", own.bytes_warning),
        ("E", own.ignore_environment),
    ):
        flags += [f"-{letter}"] * count
    return flags


def _own_path() -> list[str]:
    """Where the standard library is, our own packages, and cloudpickle."""
    return list(dict.fromkeys([*stdlib(), *_packages()]))


def ours() -> list[str]:
    """Where our own packages are, the SDK, and cloudpickle."""
    return list(dict.fromkeys([*_packages(), *map(_above, sdk())]))


def _packages() -> list[str]:
    found: list[str] = []
    for package in (apothic_emulator, apothic_backends):
        found += [os.path.dirname(os.path.abspath(folder)) for folder in package.__path__]  # noqa: PTH100, PTH120
    spec = importlib.machinery.PathFinder.find_spec("cloudpickle")
    if spec is not None and spec.origin is not None:
        found.append(os.path.dirname(os.path.dirname(os.path.abspath(spec.origin))))  # noqa: PTH100, PTH120
    return found


def stdlib() -> list[str]:
    """Where the standard library is."""
    top = os.path.dirname(os.__file__)  # noqa: PTH120 - as `sys.path` spells it
    return [e for e in path() if e.endswith(".zip") or e == top or _is_below(e, top)]


def _is_below(entry: str, stdlib: str) -> bool:
    """Whether it is a part of the standard library, such as its folder of extension modules."""
    return entry.startswith(stdlib + os.sep) and not entry.endswith(_SITES)


def _hooks() -> str:
    """Statements that bring back import hooks of editable installs, which `site` sets up."""
    if not has_hooks():
        return ""
    sites = [entry for entry in path() if entry.endswith(_SITES)]
    return f"import site; [site.addsitedir(entry) for entry in {sites!r}]; "


def has_hooks() -> bool:
    """Whether imports of this interpreter go by more than `sys.path`."""
    return any(_EDITABLE in type_name(finder) for finder in sys.meta_path)


def type_name(finder: object) -> str:
    """Where a finder comes from, be it a class or an instance of one."""
    kind = finder if isinstance(finder, type) else type(finder)
    return kind.__module__

"""The project that this process works in, and what is set and kept for it.

    PROJECT/pyproject.toml               [tool.apothic] state = "sqlite", exclude = ["*.csv"]
    PROJECT/.apothic/.gitignore          "*": nothing in there is anybody else's
    PROJECT/.apothic/namespace           the one in use, and the one before
    PROJECT/.apothic/state/NAMESPACE/    what the control plane keeps

The project is the nearest folder above the working directory that has a pyproject.toml, a .git or
an .apothic of its own; else it is the working directory. The environment comes before the project.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from apothic_backends.model.errors import InvalidOption, UsageError

STATE, NAMESPACE = "APOTHIC_STATE", "APOTHIC_NAMESPACE"
DEFAULT = "default"
"""The namespace of those who name none."""

_TOML = "pyproject.toml"
_MARKS = (".apothic", ".git", _TOML)


def project() -> Path:
    """The folder of the project; the root where the working directory was deleted."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        here = Path("/")
    return next((f for f in (here, *here.parents) if any((f / m).exists() for m in _MARKS)), here)


def own_folder(root: Path, *parts: str) -> Path:
    """A folder below the project's `.apothic`, made if it is not there, for nobody else to read.

    Raises:
        OSError: there is no place for it.
    """
    place = root / ".apothic"
    place.mkdir(mode=0o700, exist_ok=True)
    ignore = place / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n", "utf-8")
    for part in parts:
        place /= part
        place.mkdir(mode=0o700, exist_ok=True)
    return place


def setting(root: Path, name: str) -> str | None:
    """What `[tool.apothic]` in the project's pyproject.toml says of something.

    Raises:
        InvalidOption: that is no text, or the file cannot be read.
    """
    value = _own_table(root, name).get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidOption(
            f"{name} in [tool.apothic] of {root / _TOML} has to be a text", option=name
        )
    return value


def patterns(root: Path, name: str) -> list[str]:
    """The list of patterns that stands there under that name; empty if none does.

    Raises:
        InvalidOption: it is no list of texts, or the file cannot be read.
    """
    value = _own_table(root, name).get(name, [])
    items = cast("list[object]", value) if isinstance(value, list) else [None]
    if not all(isinstance(item, str) for item in items):
        raise InvalidOption(
            f'{name} in [tool.apothic] of {root / _TOML} has to be a list such as ["*.csv"]',
            option=name,
        )
    return cast("list[str]", items)


def table(root: Path, name: str) -> object:
    """Whatever stands there under that name; None if nothing does.

    Raises:
        InvalidOption: the file cannot be read.
    """
    return _own_table(root, name).get(name)


def _own_table(root: Path, name: str) -> dict[str, object]:
    path = root / _TOML
    try:
        text = path.read_text("utf-8")
    except OSError:
        return {}
    if "tool.apothic" not in text:
        return {}
    import tomllib  # 5 ms, for those who set something  # noqa: PLC0415

    try:
        tools: dict[str, Any] = tomllib.loads(text).get("tool", {})
    except tomllib.TOMLDecodeError as error:
        raise InvalidOption(f"{path} cannot be read: {error}", option=name) from error
    own: object = tools.get("apothic", {})
    return cast("dict[str, object]", own) if isinstance(own, dict) else {}


def state_url(root: Path) -> str:
    """Where the control plane keeps its state: a URL, or `memory`.

    A relative path in pyproject.toml starts from there, one in the environment from here.
    """
    url = os.environ.get(STATE)
    if url:
        return url
    url = setting(root, "state") or "memory"
    scheme, separator, path = url.partition(":")
    if scheme == "sqlite" and path:
        return f"sqlite:{root / Path(path).expanduser()}"
    if scheme == "surrealkv" and separator:
        return f"surrealkv://{root / Path(path.removeprefix('//')).expanduser()}"
    return url


def namespace(root: Path) -> str:
    """The one in use: the environment's, else what `apothic state switch` has chosen."""
    return os.environ.get(NAMESPACE) or chosen(root)[0]


def chosen(root: Path) -> tuple[str, str]:
    """The namespace that was switched to, and the one before."""
    try:
        lines = (root / ".apothic" / "namespace").read_text("utf-8").split("\n")
    except FileNotFoundError:
        lines = []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{root / '.apothic' / 'namespace'} cannot be read: {error}") from error
    current, before = [*lines, "", ""][:2]
    return current or DEFAULT, before or DEFAULT


def choose(root: Path, current: str, before: str) -> None:
    """Have every later program here use a namespace."""
    path = own_folder(root) / "namespace"
    beside = path.with_name("namespace.part")
    beside.write_text(f"{current}\n{before}\n", "utf-8")
    beside.replace(path)


def state_folder(root: Path, name: str) -> Path:
    """Where a namespace keeps what lies in files; it need not be there."""
    return root / ".apothic" / "state" / name

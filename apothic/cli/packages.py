"""What `apothic package` does."""

from __future__ import annotations

import os
from pathlib import Path

from apothic.cli import output
from apothic.cli.command import say, size
from apothic.cli.wishes import Wishes
from apothic.packaging import Package, package_of
from apothic_backends.model.errors import UsageError
from apothic_backends.project import project

SCHEMA = "apothic.package.v1"


def show(asked: Wishes, *, is_list: bool, out: str | None) -> None:
    """Print what would be shipped, and write it to a file where one is named."""
    package = package_of(project())
    digest = _write(package, Path(out or os.devnull))
    if asked.is_json():
        output.put(output.line_of(_document(package, digest)))
        return
    if is_list:
        _put_list(package)
    if out is not None:
        output.put(out)
    left = f", {len(package.left_out)} left out" if package.left_out else ""
    total = f"{len(package.files)} files, {size(package.nbytes)}{left}"
    say(asked, f"{package.root}: {total}, sha256 {digest[:12]}")


def _document(package: Package, digest: str) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "root": str(package.root),
        "files": [{"path": file.path, "size": file.size} for file in package.files],
        "nbytes": package.nbytes,
        "left_out": package.left_out,
        "digest": digest,
    }


def _put_list(package: Package) -> None:
    width = max((len(size(file.size)) for file in package.files), default=0)
    for file in package.files:
        output.put(f"{size(file.size).rjust(width)}  {file.path}")
    for path, why in package.left_out.items():
        output.put_error(f"left out: {path} ({why})")


def _write(package: Package, path: Path) -> str:
    """Write the archive; its digest.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        with path.open("wb") as file:
            return package.write(file)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error

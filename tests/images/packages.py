"""Tiny packages, made on the spot, so that nothing has to be downloaded."""

from __future__ import annotations

import tarfile
import zipfile
from io import BytesIO
from pathlib import Path


def make_wheel(folder: Path, name: str, version: str = "1.0", code: str = "") -> Path:
    """A wheel of one module; the module's `WORD` is the version unless there is other code."""
    info = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", code or f"WORD = {version!r}\n")
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        names = (f"{name}.py", f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD")
        wheel.writestr(f"{info}/RECORD", "".join(f"{it},,\n" for it in names))
    return path


def make_sdist(folder: Path, name: str, build: str) -> Path:
    """Sources whose build is this Python code: `FOLDER/NAME.py` is the backend of the build."""
    top = f"{name}-1.0"
    files = {
        "pyproject.toml": f'[build-system]\nrequires = []\nbuild-backend = "{name}_build"\n'
        'backend-path = ["."]\n',
        f"{name}_build.py": build,
        "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    }
    path = folder / f"{top}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file, text in files.items():
            entry = tarfile.TarInfo(f"{top}/{file}")
            entry.size = len(text.encode())
            archive.addfile(entry, BytesIO(text.encode()))
    return path

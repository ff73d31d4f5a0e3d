"""Images, as files."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path


def saved(folder: Path, *layers: bytes, architecture: str = "amd64") -> Path:
    """A file as `docker save` writes it."""
    path = folder / "image.tar"
    told = {"architecture": architecture, "os": "linux"}
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": "config.json", "RepoTags": ["a:1"], "Layers": names}]
    files = {
        "manifest.json": json.dumps(manifest).encode(),
        "config.json": json.dumps(told).encode(),
    }
    files |= dict(zip(names, layers, strict=True))
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path

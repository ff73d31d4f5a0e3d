"""Buckets as somebody sees them who has no rights, though he may read what his maker may."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.vault import Vault
from tests.buckets.conftest import IN_WORKERS, S3
from tests.integration.test_mounts import WHOLE

PROGRAM = """
import json, os, subprocess, sys
from pathlib import Path
from apothic import App, CloudBucketMount

name, url = sys.argv[1:]
here = Path("/apothic-bucket/here")
app = App("plain")


@app.function(volumes=[CloudBucketMount(name, "ACCESS", "SECRET", url).mounted_at(str(here))])
def work() -> dict[str, object]:
    (here / "b").write_bytes((here / "a").read_bytes() * 2)
    pid = os.getpid()
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    look = ["head", "-c", "1", f"/proc/{[*children, 'self'][0]}/environ"]
    return {
        "uid": os.getuid(),
        "listed": sorted(one.name for one in here.iterdir()),
        "is mounted": "fuse.apothic" in Path("/proc/self/mounts").read_text(),
        "may look": not subprocess.run(look, capture_output=True).returncode,
    }


if __name__ == "__main__":
    print(json.dumps(work.remote()))
"""


@pytest.mark.parametrize("way", IN_WORKERS)
def test_a_program_without_any_rights_has_the_files_of_a_bucket(
    s3: S3, vault: Vault, tmp_path: Path, way: str
) -> None:
    s3.put("a", b"one")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    assert run(program, s3, way) == {
        "uid": 1000,
        "listed": ["a", "b"],
        "is mounted": way == "fuse",
        "may look": way == "copy",  # at itself, where there is no server, whose memory has keys
    }
    assert s3.get("b") == b"oneone"


def run(program: Path, s3: S3, way: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", WHOLE, str(program), s3.name, s3.server.url],
        env={**os.environ, "APOTHIC_BUCKETS": way},
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    return json.loads(done.stdout)

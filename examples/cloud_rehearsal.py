"""The whole way into the cloud and back, on this machine: nothing is rented, and nothing is spent.

    python examples/cloud_rehearsal.py

The two providers are servers of the tests (`tests/fakes`) that behave as their documents say. Their
machines are processes of this machine: the control plane, and an agent for each that is rented. It
needs this repository, and the packages that its tests need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from tests.fakes.fly.fake import FakeFly  # noqa: E402 - found by the line above
from tests.fakes.running import level  # noqa: E402
from tests.fakes.serving import served  # noqa: E402
from tests.fakes.vast.fake import KEY, FakeVast  # noqa: E402

APP = "apothic-rehearsal"
UP = ("up", "--yes", "--app", APP, "--image", "any", "--max-usd-per-hour", "2")
APOTHIC = (sys.executable, "-m", "apothic.cli")


def rehearse(folder: Path) -> None:
    """Go there and back; what the providers have at the end is printed."""
    with ExitStack() as stack:
        fly = stack.enter_context(served(FakeFly(_made(folder / "fly"))))
        vast = stack.enter_context(served(FakeVast(folder=_made(folder / "vast"))))
        vast.disks.free_s = 1.0  # a volume is free so long after its machine: there, half a minute
        project = _made(folder / "project")
        (project / "pyproject.toml").touch()
        shutil.copy(HERE / "cloud.py", project)
        kept = {name: value for name, value in os.environ.items() if "APOTHIC" not in name}
        env = {
            **kept,
            "APOTHIC_HOME": str(_made(folder / "home")),
            "APOTHIC_FLY_URL": fly.url,
            "APOTHIC_FLY_APP_URL": fly.public_url(APP),
            "FLY_API_TOKEN": fly.token,
            "FLY_ORG": fly.org,
            "APOTHIC_VAST_URL": vast.url,
            "VAST_API_KEY": KEY,
        }
        print("networks:", level())
        _run(env, project, *APOTHIC, "cloud", *UP)
        there = {**env, "APOTHIC_BACKEND": "cloud", "APOTHIC_TEST_BACKEND": "cloud"}
        _run(there, project, sys.executable, "cloud.py")
        _run(there, project, *APOTHIC, "job", "logs", "jobs:1")
        _run(there, project, *APOTHIC, "cost")
        _run(env, project, *APOTHIC, "cloud", "status")
        _run(env, project, *APOTHIC, "cloud", "down", "--yes", "--app", APP)
        print(f"machines: {len(fly.machines)} on Fly, {len(vast.alive())} on Vast")
        print(f"volumes: {len(vast.disks.alive())} on Vast")
        print(f"it would have cost about {fly.usd + vast.spent():.4f} USD")
        print("not as the documents say:", [*fly.violations, *vast.violations])


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _run(env: Mapping[str, str], folder: Path, *command: str) -> None:
    """Run a command as it would be typed."""
    print("$ python", *command[1:], flush=True)
    subprocess.run(command, env=env, cwd=folder, stdin=subprocess.DEVNULL, check=True)  # noqa: S603


if __name__ == "__main__":
    with TemporaryDirectory() as temporary:
        rehearse(Path(temporary))

"""`apothic plan`: where functions would run, and for how much."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

APP = """
import apothic

app = apothic.App("demo")


@app.function(max_containers=4, memory_mb=4000)
def plain(): ...


@app.function(
    gpu=["RTX_4070", "RTX_3080"], max_cost_per_hour_usd=1.5, geolocation=["US", "CA"],
    offer_filters={"gpu_ram": {"lte": 24 * 1024}, "verification": {"eq": "verified"}},
)
def train():
    raise SystemExit("it was run")


@app.asgi(gpu="H100-80GB", keep_warm_s=300, disk_gb=160)
def serve(): ...


@app.cls(gpu="B300")
class Model:
    @apothic.method()
    def go(self): ...
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "app.py").write_text(APP)
    return tmp_path


def run(project: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A command in the project."""
    return subprocess.run(
        [sys.executable, "-m", "apothic.cli", *words],
        cwd=project,
        env={**os.environ, "APOTHIC_HOME": str(project / "home"), **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def planned(project: Path, target: str = "app.py", **env: str) -> dict[str, Any]:
    """The functions of a plan, by name."""
    done = run(project, "plan", target, "--json", **env)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == "apothic.plan.v1"
    return {one["name"]: one for one in document["functions"]}


def test_each_function_is_told_with_its_place_and_price(project: Path) -> None:
    done = run(project, "plan", "app.py", APOTHIC_FAKE_GPUS="1xRTX_3080-12GB")

    assert done.returncode == 0
    head, *rows = done.stdout.splitlines()
    assert " ".join(head.split()) == "FUNCTION KIND HERE RENTED OF USD/HOUR IDLE USD"
    assert rows[0].startswith("demo/plain  function  yes ")
    assert "fly shared-cpu-2x, 4096 MB" in rows[0]
    assert rows[0].endswith("0.0297 x 4")
    assert "function 1 x RTX_3080 13 GB vast 1 x RTX 4070, US" in " ".join(rows[1].split())
    assert "no: 1 x RTX_3080 13 GB" in rows[2]
    assert "nothing" in rows[3]
    assert "demo/train: waived here: max_cost_per_hour_usd=1.5, geolocation=['US', 'CA'], " in (
        done.stdout
    )
    assert "demo/Model: nearest is vast 1 x RTX 3060, US: gpu_name is RTX 3060, and " in done.stdout
    assert "prices are estimates of 20" in done.stderr


def test_the_document_has_all_of_it(project: Path) -> None:
    found = planned(project)

    train, serve = found["demo/train"], found["demo/serve"]
    assert train["here"] == {
        "runs": False,
        "with": "no: no GPU",
        "waived": [
            "max_cost_per_hour_usd=1.5",
            "geolocation=['US', 'CA']",
            "offer_filters['verification']['eq']",
        ],
    }
    assert train["rented"]["gpu_name"] == "RTX 4070"  # the first of the list, not the cheapest
    assert {it["limit"] for it in train["limits"]} > {"gpu=['RTX_4070', 'RTX_3080']"}
    assert serve["kind"] == "asgi"
    assert serve["idle_usd"] == pytest.approx(serve["usd_per_hour"] * 300 / 3600)
    assert found["demo/Model"]["nearest"]["why_not"] == [
        "gpu_name is RTX 3060, and gpu='B300' wants B300"
    ]
    assert found["demo/plain"]["here"] == {"runs": True, "with": "yes", "waived": []}


@pytest.mark.parametrize(
    ("way", "told"), [("cpu", "without GPU"), ("fake", "made up: 1 x H100-80GB ")]
)
def test_it_is_told_what_missing_gpus_would_make_of_it(project: Path, way: str, told: str) -> None:
    found = planned(project, "app.py::serve", APOTHIC_ON_MISSING_GPU=way)

    assert [*found] == ["demo/serve"]
    assert found["demo/serve"]["here"]["runs"]
    assert found["demo/serve"]["here"]["with"].startswith(told)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("plan", "none.py"), 4, "there is no file 'none.py'"),
        (("plan", "app.py::none"), 4, "has no function 'none'"),
        (("run", "--on-missing-gpu", "maybe", "app.py::plain"), 2, "'maybe' is not one of"),
    ],
)
def test_what_cannot_be_meant_is_told(
    project: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    done = run(project, *words)

    assert (done.returncode, told in done.stderr) == (code, True)


def test_filters_that_exclude_each_other_are_told_before_anything_is_planned(
    project: Path,
) -> None:
    app = APP.replace("max_cost_per_hour_usd=1.5", "min_vram_gb=48")
    (project / "app.py").write_text(app)

    done = run(project, "plan", "app.py")

    assert done.returncode == 2
    assert (
        "@app.function of train(): min_vram_gb=48 wants gpu_ram at least 45776 MB and "
        "offer_filters['gpu_ram']['lte'] wants gpu_ram at most 24576 MB: no machine could ever "
        "have both"
    ) in done.stderr


# --- missing GPUs, for real ----------------------------------------------------------------------

NEEDY = """
import os
import apothic

app = apothic.App("needy")


@app.function(gpu="H100")
def devices():
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@app.function(gpu="H100", max_containers=2)
def twice():
    return devices.remote() + "!"
"""


def test_a_function_whose_gpu_is_missing_is_refused_runs_without_or_gets_one_made_up(
    project: Path,
) -> None:
    (project / "needy.py").write_text(NEEDY)

    refused = run(project, "run", "needy.py::devices")
    without = run(project, "run", "--on-missing-gpu", "cpu", "needy.py::devices")
    made_up = run(project, "run", "needy.py::devices", APOTHIC_ON_MISSING_GPU="fake")

    assert refused.returncode == 6
    assert "APOTHIC_ON_MISSING_GPU=cpu (--on-missing-gpu cpu)" in refused.stderr
    assert (without.returncode, without.stdout) == (0, "\n")
    assert without.stderr.count("no machine has 1 x H100 for devices: it runs without GPUs") == 1
    assert (made_up.returncode, made_up.stdout) == (0, "GPU-made-up-H100-0\n")


def test_on_cores_a_function_may_wait_for_another_one(project: Path) -> None:
    (project / "needy.py").write_text(NEEDY)

    done = run(project, "run", "--on-missing-gpu", "cpu", "needy.py::twice")

    assert (done.returncode, done.stdout) == (0, "!\n")


def test_a_way_that_is_none_is_told(project: Path) -> None:
    (project / "needy.py").write_text(NEEDY)

    done = run(project, "run", "needy.py::devices", APOTHIC_ON_MISSING_GPU="gpu")

    assert done.returncode == 6
    assert "APOTHIC_ON_MISSING_GPU='gpu': it must be error, cpu or fake" in done.stderr

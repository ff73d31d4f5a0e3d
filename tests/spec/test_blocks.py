from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from apothic import App, JobStatus, RemoteFunction
from apothic._connect import use
from apothic.options import DEFAULTS, FunctionOptions
from apothic_backends.registry import open_backend
from tests.spec.blocks import BLOCKS, Block

RUNNING = [block for block in BLOCKS if not block.is_generated and block.spec != "004"]
REMOTE_APPS = [block for block in BLOCKS if block.spec == "004"]

PRINTED = {
    "remote": ["long input here"],
    "spawn": ["jobs:1", "generate a summary"],
    "async APIs": ["HELLO"],
}
"""What a block prints, apart from the status, which depends on who is faster."""

STATUSES = set(JobStatus)

OPTIONS = """
    schedule liv gpu gpu_count min_vram_gb geolocation offer_filters max_cost_per_hour_usd
    max_cost_per_tflop_hour_usd min_total_flops min_gpu_ram_bandwidth_gbps min_cpu_cores
    min_cpu_ram_gb min_cpu_ghz min_disk_bandwidth_mb_s min_internet_upload_mbps
    min_internet_download_mbps secure_cloud_only cpu memory_mb disk_gb timeout_s retries max_retries
    concurrent_requests max_pending_tasks max_containers tasks_per_container image secrets volumes
"""
"""The options of @app.function, in the order of the spec."""
OURS = ("gpu_share",)
"""What the spec does not have, behind those."""

WAYS = "remote spawn remote_gen remote_events spawn_map map starmap for_each"
"""The ways to call a function that is deployed."""


def title(block: Block) -> str:
    """The block in test ids."""
    return f"{block.spec} {block.title}"


@pytest.fixture
def module() -> Iterator[ModuleType]:
    """A module to execute a block in, connected to a local backend of its own."""
    module = ModuleType("spec_block")
    sys.modules[module.__name__] = module
    backend = open_backend("local")
    before = use(backend)
    yield module
    use(before)
    backend.close()
    del sys.modules[module.__name__]


def execute(block: Block, module: ModuleType) -> None:
    """Run a block after what it refers to."""
    for source in (block.after, block.code):
        exec(compile(source, block.title, "exec"), vars(module))


@pytest.mark.parametrize("block", RUNNING, ids=title)
def test_a_block_runs(block: Block, module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    execute(block, module)
    for name in ("run", "url"):
        if f"async def {name}()" in block.code:
            asyncio.run(vars(module)[name]())

    told = capsys.readouterr().out.splitlines()
    if "get_web_url()" in block.code:
        assert told[-1].startswith("http://127.0.0.1:")
        return
    if ".watch(" in block.code or "remote_events(" in block.code:
        assert told[0].startswith("job.snapshot {'job_id': 'jobs:1'")
        assert told[-1].startswith("job.end {'job_id': 'jobs:1'")
        assert "'status': 'succeeded'" in told[-1]
        return
    assert [
        line for line in told if line not in {"queued", "dispatched", "running", "succeeded"}
    ] == (PRINTED.get(block.title, []))


@pytest.mark.parametrize(
    ("block", "told"),
    [
        *zip(
            REMOTE_APPS,
            (
                [],
                ["App is live at: http://127.0.0.1:", "working at http://127.0.0.1:"],
                ["App my-service is now up"],
            ),
            strict=True,
        )
    ],
)
def test_a_block_about_remote_apps_runs(
    module: ModuleType,
    block: Block,
    told: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    execute(block, module)
    if "async def use()" in block.code:
        asyncio.run(vars(module)["use"]())

    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip("0123456789") for line in lines] == told


@pytest.mark.parametrize("block", BLOCKS, ids=title)
def test_every_block_is_python(block: Block) -> None:
    assert ast.parse(block.code).body != []


def test_the_function_of_the_placement_block_runs_where_its_filters_are_met(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APOTHIC_FAKE_GPUS", "1xRTX_4090-24GB,1xRTX_3080-12GB")
    execute(next(block for block in BLOCKS if block.title == "placement filters"), module)

    job = vars(module)["inspect_capacity"].spawn()

    assert job.wait() == "ok"


def test_the_options_are_those_of_the_spec_in_its_order() -> None:
    assert list(FunctionOptions.__annotations__) == [*OPTIONS.split(), *OURS]


def test_the_defaults_are_those_of_the_spec() -> None:
    assert DEFAULTS == {
        "cpu": 1,
        "memory_mb": 1024,
        "timeout_s": 600,
        "max_retries": 0,
        "concurrent_requests": 1,
        "max_pending_tasks": 100,
        "max_containers": 1,
        "tasks_per_container": 1,
    }


def test_functions_are_looked_up_as_the_spec_says() -> None:
    found = inspect.signature(RemoteFunction.from_name)

    assert str(found) == (
        "(app_name: 'str', function_name: 'str', *, client: 'ControlPlaneClient | None' = None, "
        "base_url: 'str | None' = None) -> 'RemoteFunction'"
    )
    function = RemoteFunction.from_name("app", "function")
    assert all(callable(getattr(function, way)) for way in WAYS.split())


@pytest.mark.parametrize(
    ("title", "path", "told"),
    [
        ("a lightweight endpoint", "/", b'{"message":"hello"}'),
        ("an ASGI app", "/health", b'{"ok":true}'),
        ("a local web server", "/", b"Directory listing"),
    ],
)
def test_a_service_of_a_block_answers(
    module: ModuleType,
    title: str,
    path: str,
    told: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path)
    execute(next(block for block in BLOCKS if block.title == title), module)
    app: App = vars(module)["app"]
    app.deploy()
    (service,) = app.functions.values()

    url = urlsplit(service.get_web_url())
    with closing(HTTPConnection(url.netloc, timeout=60)) as connection:
        connection.request("GET", path)
        assert told in connection.getresponse().read()

"""The pytest plugin: a fresh runtime for each test that asks for one.

    def test_a_report_is_sent_every_morning(apothic_app, apothic_clock, apothic_events):
        apothic_app(app)
        apothic_clock.advance("1d")
        assert len(apothic_events.of("job.result", fn="report")) == 1

Nothing but this file is imported before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest

_MARK, _GPU_MARK = "apothic", "apothic_gpu"
_RUNTIME = "apothic_runtime"
_TRIAL = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The one setting."""
    parser.addini(
        "apothic_leaks",
        "what becomes of a test that leaves jobs running: error (default), warn or off",
        default="error",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The markers."""
    config.addinivalue_line(
        "markers",
        "apothic_gpu(min=1): needs so many real GPUs; skipped, with the reason, where they are not",
    )
    config.addinivalue_line(
        "markers",
        "apothic(clock='virtual'|'real', start=ISO date, seed=int, leaks='error'|'warn'|'off'): "
        "run on a fresh runtime, which fixtures give too",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that is marked gets a runtime, whether or not it names the fixture."""
    if not isinstance(item, pytest.Function) or item.get_closest_marker(_MARK) is None:
        return
    if _RUNTIME not in item.fixturenames:
        item.fixturenames.insert(0, _RUNTIME)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test that needs GPUs is skipped where there are none."""
    marker = item.get_closest_marker(_GPU_MARK)
    if marker is not None:
        from apothic_emulator.testing.devices import missing  # noqa: PLC0415 - when used

        lack = missing(*marker.args, **marker.kwargs)
        if lack:
            pytest.skip(lack)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell with a failure what happened in the runtime."""
    report = yield
    trial = item.stash.get(_TRIAL, None)
    if trial is not None and report.failed:
        trial.has_failed = True
        report.sections += trial.sections()
    return report


# --- fixtures -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def apothic_runtime_factory() -> Iterator[Any]:
    """Makes runtimes; what their workers are forked from stays warm from test to test."""
    from apothic_emulator.testing.runtime import RuntimeFactory  # noqa: PLC0415 - when used

    with RuntimeFactory() as factory:
        yield factory


@pytest.fixture
def apothic_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory in place of the one that keeps what outlives programs."""
    path = tmp_path / "apothic-home"
    monkeypatch.setenv("APOTHIC_HOME", str(path))
    monkeypatch.setenv("APOTHIC_SECRETS_KEY", "file")  # a person's keyring is not for tests
    return path


@pytest.fixture
def apothic_runtime(
    request: pytest.FixtureRequest, apothic_runtime_factory: Any, apothic_home: Path
) -> Iterator[Any]:
    """A control plane of the test's own: its ids, events, workers, faults, home and time."""
    from apothic_emulator.testing.trial import Trial  # noqa: PLC0415 - when used

    del apothic_home  # what the test keeps there is its own
    item: pytest.Item = request.node
    marker = item.get_closest_marker(_MARK)
    item.stash[_TRIAL] = trial = Trial(
        apothic_runtime_factory,
        item.nodeid,
        marker.kwargs if marker is not None else {},
        str(request.config.getini("apothic_leaks")),
    )
    yield trial.runtime
    trial.finish()


@pytest.fixture
def apothic_secrets(apothic_home: Path) -> Any:
    """An empty store of secrets: `.put("HF_TOKEN", {"HF_TOKEN": "x"})`, `.delete("HF_TOKEN")`."""
    from apothic_backends.vault import Vault  # noqa: PLC0415 - when used

    apothic_home.mkdir(mode=0o700, exist_ok=True)
    return Vault(apothic_home)


@pytest.fixture
def apothic_app(apothic_runtime: Any) -> Iterator[Callable[[Any], Any]]:
    """`apothic_app(app)` makes an app run here, its schedules too, and gives its functions."""
    from apothic_emulator.testing.apps import RunningApp  # noqa: PLC0415 - when used

    running: list[RunningApp] = []

    def start(app: Any) -> Any:
        running.append(RunningApp(apothic_runtime, app))
        return running[-1]

    yield start
    for app in running:
        if apothic_runtime.is_open:
            app.stop()


@pytest.fixture
def apothic_clock(apothic_runtime: Any) -> Any:
    """The runtime's time: `now()`, `advance("1d")`, `paused()`."""
    return apothic_runtime.clock


@pytest.fixture
def apothic_events(apothic_runtime: Any) -> Any:
    """Everything that happens in the runtime: `.of("job.result")`, `.wait_for(...)`."""
    return apothic_runtime.events


@pytest.fixture
def apothic_faults(apothic_runtime: Any) -> Any:
    """Makes things go wrong: `kill_worker(job)`, `drop("job.report")`, `delay(...)`, `oom(fn)`."""
    return apothic_runtime.faults


@pytest.fixture
def apothic_gpus(
    apothic_runtime: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], tuple[str, ...]]:
    """`apothic_gpus("2xH100-80GB")` makes GPUs up, and gives their UUIDs; no driver is asked.

    From then on the runtime's machine has these, and no others; `""` leaves it none.
    """
    from apothic_emulator.testing.devices import give  # noqa: PLC0415 - when used

    return lambda text: give(apothic_runtime, text, monkeypatch)

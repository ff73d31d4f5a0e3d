"""Functions in images that need Docker, on agents, on a real Docker engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Image
from apothic_backends.commands import GetJob
from tests.containers.conftest import until
from tests.containers.image import NAME
from tests.containers.inside import where
from tests.integration.agents.setting import Setting

pytestmark = pytest.mark.docker


@pytest.fixture
def setting(tmp_path: Path, client: Any) -> Iterator[Setting]:
    setting = Setting(tmp_path)
    yield setting
    setting.close()


def declared(app: App) -> Any:
    return app.function(image=Image.from_registry(NAME))(where)


def test_a_function_runs_in_its_image_on_an_agent(setting: Setting) -> None:
    setting.agent()

    assert declared(App("far")).remote() == (True, 1)


def test_a_job_that_waits_for_docker_says_so(
    setting: Setting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    setting.agent()
    job = declared(App("nowhere")).spawn()

    told = until(lambda: setting.server.backend.start(GetJob(job.job_id)).wait().waiting)

    job.cancel()
    assert "it has no Docker, which the image needs" in told

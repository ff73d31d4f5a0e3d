"""Machines that went on while their server was away."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from apothic import App
from apothic_backends.connection import use
from tests.fakes.fly.fake import FakeFly
from tests.fakes.serving import served
from tests.server.served import Served
from tests.services.second import Second

OPTIONS = ["--provider", "fly", "--max-usd-per-hour", "5", "--machine-image", "any"]


def test_a_server_that_was_killed_tells_at_its_start_what_is_rented_still(tmp_path: Path) -> None:
    with served(FakeFly(tmp_path / "fly")) as fly:
        env = {"FLY_API_TOKEN": fly.token, "FLY_ORG": fly.org, "APOTHIC_FLY_URL": fly.url}
        with closing(Second(tmp_path, *OPTIONS, agents=0, env=env)) as second:
            assert "rented still" not in second.server.text
            before = use(second.open())
            try:
                assert App("demo").function()(lambda: 7).remote() == 7
            finally:
                backend = use(before)
                assert backend is not None
                backend.close()
            second.server.process.kill()
            second.server.process.wait()

            with closing(Served(second.server.home, "--no-agent", *OPTIONS, env=env)) as again:
                assert "1 machine is rented still, for $0.0" in again.text

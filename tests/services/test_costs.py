"""What services cost is told like what calls cost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.services.project import Project
from tests.services.second import Second
from tests.services.test_asgi import program

HOMES = ("here", "agent", "rented")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    """A server of the module's own: its costs are told in all."""
    with closing(Second(tmp_path_factory.mktemp("second"))) as second:
        yield second


def test_a_service_is_counted_for_as_long_as_it_was_up(project: Project) -> None:
    app = project.deploy(program(project))
    project.start()
    up = app.cost()
    project.stop()
    over = app.cost()

    assert app.cost() == over
    [line] = over.lines
    told = line.app_name, line.function_name, line.kind, line.attempts
    assert told == ("demo", "serve", "service", 1)
    assert over.seconds > up.seconds > 0

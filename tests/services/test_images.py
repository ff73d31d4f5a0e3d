"""Services run in the environments of their images."""

from __future__ import annotations

import json

from tests.services.project import Project

HOMES = ("here", "agent", "rented")

PROGRAM = """
import os, sys
from apothic import App, Image

app = App("demo")

@app.endpoint(image=Image.debian_slim().env(COLOR="blue"))
def serve() -> dict[str, str]:
    return {"color": os.environ["COLOR"], "prefix": sys.prefix}
"""


def test_a_service_runs_in_the_environment_of_its_image(project: Project) -> None:
    project.deploy(PROGRAM)

    answer = json.loads(project.caller(project.start().url).get())

    assert answer["color"] == "blue"
    assert "/images/" in answer["prefix"]

from __future__ import annotations

from pathlib import Path

from apothic_emulator.dev.traces import readable

TREE = "/srv/ada/apothic/trees/1f-2e/" + "0a" * 32
TEXT = f"""Traceback (most recent call last):
  File "/opt/apothic_emulator/executors/web/given.py", line 23, in given
    value = function()
            ^^^^^^^^^^
  File "{TREE}/pages/app.py", line 11, in page
    raise ValueError("no good")
ValueError: no good
"""


def test_a_traceback_leads_to_the_files_that_are_edited_and_through_no_others() -> None:
    assert (
        readable(TEXT, Path("/src"))
        == """Traceback (most recent call last):
  File "/src/pages/app.py", line 11, in page
    raise ValueError("no good")
ValueError: no good
"""
    )

"""A subject's own process: `driver.py SUBJECT WORKERS` answers, line by line, what it is asked.

A request is the name of a measure; the answer is one line of JSON, figures or {"error": …}.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from importlib import import_module

from measures import MEASURES


def main(name: str, workers: int) -> None:
    """Open the subject and answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a framework prints is no answer
    subject = import_module(f"subjects.with_{name}").open_subject(workers)
    for request in sys.stdin:
        try:
            answer = MEASURES[request.strip()](subject)
        except Exception as error:  # noqa: BLE001 - whatever it was, the runner shall say it
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")
    subject.close()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

"""A registry of images on this machine, which asks who is there: Debian's `docker-registry`."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = "docker-registry"
USER, PASSWORD = "tester", "sesame"

_KNOWN = "tester:$2b$05$4vwZf7z3sCjbWtBUqVlGteL.81XtLw/IOCSkQwspuq4QYFm.iWDS2\n"
"""What has that user known by that password."""
_CONFIG = """
version: 0.1
log: {{accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/images}}}}
http: {{addr: "127.0.0.1:0"}}
auth: {{htpasswd: {{realm: tests, path: {folder}/known}}}}
"""
_PATIENCE_S = 30.0


@contextmanager
def running(folder: Path) -> Generator[str]:
    """Its host and port, for as long as it lasts."""
    (folder / "known").write_text(_KNOWN)
    config = folder / "config.yml"
    config.write_text(_CONFIG.format(folder=folder))
    found: list[str] = []
    is_up = threading.Event()
    with subprocess.Popen(
        [PROGRAM, "serve", str(config)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:

        def listen() -> None:
            assert process.stdout is not None
            for line in process.stdout:
                at = re.search(r"listening on (127\.0\.0\.1:\d+)", line)
                if at is not None:
                    found.append(at[1])
                    is_up.set()

        reader = threading.Thread(target=listen)
        reader.start()
        try:
            assert is_up.wait(_PATIENCE_S), "the registry does not say where it listens"
            yield found[0]
        finally:
            process.terminate()
            reader.join()

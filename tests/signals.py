"""Ctrl-C at the worst of moments."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_INTERRUPT = {signal.SIGINT}


@contextmanager
def unheard_interrupt() -> Generator[None]:
    """Ctrl-C comes while this thread waits in the block, and does not wake it.

    So it is when it comes between the interpreter's last look and the wait. Here another thread
    takes it: this one has to find out by itself.
    """
    task = Path(f"/proc/self/task/{threading.get_native_id()}/status")
    is_over = threading.Event()

    def interrupt() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)
        before = ""
        while not is_over.wait(0.02):
            status = task.read_text()
            if status == before:  # it has not been switched to since
                os.kill(os.getpid(), signal.SIGINT)
                return
            before = status

    signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPT)
    thread = threading.Thread(target=interrupt, daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPT)

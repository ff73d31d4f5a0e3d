"""What an executor of a function with secrets does: it waits for them before anything else.

They become environment variables of this process alone. Nobody sees them from outside: the kernel
shows the environment that a process was started with, and this one was forked.
"""

from __future__ import annotations

import json
import os
import resource

from apothic_emulator.executors import wire
from apothic_emulator.executors.control import Control
from apothic_emulator.executors.wire import Buffer


def take(control: Control) -> Buffer | None:
    """Wait for the secrets and put them into the environment, over what the caller has in his.

    Gives what to report if one is missing.

    Raises:
        EOFError: the host hung up.
    """
    frame = control.first()
    if frame.kind == wire.FAILURE:
        return frame.body
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))  # a core dump would have them in it
    os.environ.update(json.loads(bytes(frame.body)))
    return None

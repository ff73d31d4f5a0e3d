"""Where the person is who runs this program."""

from __future__ import annotations

import os

_STDIN = 0


def terminal() -> str:
    """The path of the terminal at which this program can be talked to; empty if there is none.

    None either for one that runs in the background: its shell reads there.
    """
    try:
        path = os.ttyname(_STDIN)
    except OSError:
        return ""
    try:
        is_ours = os.tcgetpgrp(_STDIN) == os.getpgrp()
    except OSError:
        return path  # not the terminal that controls us, so nobody else's jobs run at it
    return path if is_ours else ""

"""Where functions run on a machine that was made of their image: in that, as it is.

The machine is one container of the image, and nothing has to be built. Executors are of the image's
Python, with its variables; our packages come last, so that nothing of ours stands in for theirs.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

from apothic_emulator.agent import interpreter
from apothic_emulator.agent.venvs import IDLE_S
from apothic_emulator.agent.zygote import CONTROL_FD, MARK, Child, Launch, Launched, Zygote, spawn
from apothic_emulator.core.effects import StartExecutor

_PROGRAM = """\
import sys
sys.path += {ours!r}
from apothic_emulator.executors.zygote import main
main({fd}, {pid}, by_value={by_value}, idle_s={idle_s})
"""


class InhabitedEnvironment:
    """The image that this machine was made of, by the digest of its recipe."""

    disk = ""

    def __init__(self, digest: str) -> None:
        self.key = digest

    def task(self) -> None:
        """Nothing has to be done."""

    def settle(self, load: dict[str, Any]) -> None:
        """It has the user's modules first, then what the image has, and ours at the end."""
        load["path"] = [] if load["tree"] else interpreter.projects()
        load["is_guest"] = True

    def launcher(self, effect: StartExecutor, own: Zygote) -> Launch:
        """What starts a zygote: a process of the image's Python, as it starts by itself."""
        del own
        by_value = effect.code.codec != "ref"

        def launch(far: socket.socket, mark: str) -> Launched:
            program = _PROGRAM.format(
                ours=interpreter.ours(),
                fd=CONTROL_FD,
                pid=os.getpid(),
                by_value=by_value,
                idle_s=IDLE_S,
            )
            return Child(
                spawn([sys.executable, "-P", "-c", program], far, {**os.environ, MARK: mark})
            )

        return launch

    def abandoned(self) -> None:
        """Nothing is built."""

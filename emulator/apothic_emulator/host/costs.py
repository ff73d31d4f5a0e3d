"""What a project's calls have taken, read from where its state is kept, with nothing begun."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from apothic_backends.commands.costs import GetCosts
from apothic_backends.model.costs import CostReport
from apothic_backends.project import namespace, state_folder
from apothic_emulator.core.bills import read
from apothic_emulator.core.costs import Costs
from apothic_emulator.core.keeping import sort_out
from apothic_emulator.stores.opening import open_store


def kept(root: Path, url: str, command: GetCosts) -> CostReport:
    """What is kept of the namespace in use.

    Raises:
        StoreError: its state is in use by a program, which can be asked itself, or cannot be read.
    """
    name = namespace(root)
    with contextlib.closing(open_store(url, state_folder(root, name), name)) as store:
        store.open()
        mine, _ = sort_out(store.load())
    costs = Costs(0.0, None, None)
    costs.load(mine["cost"], mine["credit"], time.time())
    return read(costs, command)

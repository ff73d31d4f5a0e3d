"""What calls have cost. Nobody can add to a balance with a command: that is the operator's."""

from __future__ import annotations

from apothic_backends.commands.base import Command
from apothic_backends.model.costs import CostReport


class GetCosts(Command[CostReport]):
    """Look at what calls have taken and what that costs, by day and function, and at the balance.

    `since` is a moment (Unix seconds): days that ended before it are left out.
    """

    app_name: str | None = None
    function_name: str | None = None
    since: float | None = None

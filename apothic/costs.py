"""cost: what calls have taken, and what that costs."""

from __future__ import annotations

from apothic._twins import awaited, blocking, work
from apothic._values import number, text
from apothic_backends.model.costs import CostReport, Prices


class Cost:
    """`cost`: blocks when called; its `aio` is the same to be awaited."""

    name = "cost"

    def __call__(
        self,
        app_name: str | None = None,
        function_name: str | None = None,
        *,
        since: float | None = None,
    ) -> CostReport:
        """What the calls of this account, of an app, or of one function have cost; and the balance.

        `since` is a moment (Unix seconds): days (UTC) that ended before it are left out. An attempt
        counts from its beginning until it is known to be over, whatever became of it, once; calls
        in one process at the same time share it. Without prices, as on your own machine, all of it
        is free, and `estimate_nano_usd` of the report is what it would cost at the prices in
        `[tool.apothic.prices]` of pyproject.toml, None if there are none.

        Raises:
            InvalidOption: a name is empty, `since` no moment, or prices cannot be meant.
        """
        return blocking(self, "__call__", lambda: cost_of(app_name, function_name, since))

    async def aio(
        self,
        app_name: str | None = None,
        function_name: str | None = None,
        *,
        since: float | None = None,
    ) -> CostReport:
        """The same on asyncio or trio."""
        return await awaited(cost_of(app_name, function_name, since))


cost = Cost()


async def cost_of(
    app_name: str | None, function_name: str | None, since: float | None
) -> CostReport:
    """As `cost`, for whoever awaits it."""
    from apothic._connect import ask  # what carries it out  # noqa: PLC0415
    from apothic_backends.commands.costs import GetCosts  # noqa: PLC0415 - at use

    command = GetCosts(
        None if app_name is None else text("app_name", app_name),
        None if function_name is None else text("function_name", function_name),
        None if since is None else number("since", since, 0),
    )
    report = await ask(command)
    return report if report.has_prices else report.estimated(await work(_prices))


def _prices() -> Prices | None:
    from apothic_backends.prices import project_prices  # noqa: PLC0415 - at use
    from apothic_backends.project import project  # noqa: PLC0415 - as above

    return project_prices(project())

"""Services whose processes are on agents: where those go, and how they are reached."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands.services import StopService
from apothic_emulator.core.doors import Reach, Rouse, Unlisten
from apothic_emulator.core.effects import Attach, Kill, Retire, StartExecutor
from apothic_emulator.core.facts import Ended, LoadFailed
from apothic_emulator.core.hellos import Capacity, Gpu, HeldExecutor
from apothic_emulator.core.reaching import CUT_S
from apothic_emulator.core.served import REST_S
from apothic_emulator.core.services import PLACE_S
from tests.unit.emulator.core.agents import LARGE, LEASE_S, SMALL, Far
from tests.unit.emulator.core.driving import kinds, only
from tests.unit.emulator.core.test_services import BROKEN, NAME, Serving, web


class Serves(Serving, Far):
    """Agents `a` and `b`, the first of which has more room."""

    def there(self, **how: Any) -> None:
        """Deployed, with a connection that waits."""
        self.join("a", LARGE)
        self.join("b", Capacity(4, 8_192))
        self.beat("a")
        self.beat("b")
        self.deploy(web(**how))
        self.listens()
        self.roused()

    def is_up(self, **how: Any) -> None:
        self.there(**how)
        self.loads()

    def does(self) -> str:
        return self.seen().status


class AtHome(Serves):
    """The program of the control plane runs executors, too."""

    has_home = True


@pytest.fixture
def driver() -> Serves:
    return Serves()


# --- where they go ------------------------------------------------------------------------------


def test_a_process_is_started_on_the_agent_with_most_room(driver: Serves) -> None:
    driver.there()

    assert driver.agents_of(driver.effects) == [1]


def test_one_that_can_be_handed_the_socket_is_preferred() -> None:
    driver = AtHome()
    driver.there()

    assert driver.agents_of(driver.effects) == [0]
    assert only(driver.loads(), Reach) == []


def test_what_has_no_room_here_goes_to_an_agent() -> None:
    driver = AtHome()
    gpu = Gpu("GPU-1", "NVIDIA H100 80GB HBM3", 81_559)
    driver.join("a", LARGE.replace(gpus=(gpu,)))
    driver.deploy(web(gpu_count=1))
    driver.listens()

    assert driver.agents_of(driver.roused()) == [1]


def test_the_next_version_goes_where_the_one_before_is(driver: Serves) -> None:
    driver.is_up(cpu=5.0)
    driver.join("a", LARGE.replace(cpu=10.5))
    driver.join("c", Capacity(64, 65_536))

    assert driver.agents_of(driver.deploy(web("2", cpu=5.0))) == [1]


def test_it_goes_elsewhere_where_there_is_no_room_for_both(driver: Serves) -> None:
    driver.is_up(cpu=5.0)
    driver.join("c", LARGE)

    assert driver.agents_of(driver.deploy(web("2", cpu=5.0))) == [3]


def test_a_connection_waits_for_an_agent(driver: Serves) -> None:
    driver.deploy()
    driver.listens()
    driver.roused()
    driver.join()

    assert driver.agents_of(driver.pass_s(PLACE_S)) == [1]


def test_agents_that_cannot_load_its_code_are_named(driver: Serves) -> None:
    driver.join(python="3.11")
    driver.deploy(web(python="3.99"))
    driver.listens()

    assert kinds(driver.roused()) == ["Refuse"]
    assert "3.99" in driver.seen().stale


# --- how they are reached -----------------------------------------------------------------------


def test_connections_are_taken_for_one_that_is_ready(driver: Serves) -> None:
    driver.there()

    assert driver.loads() == [Reach(NAME, (1,))]


def test_nobody_is_sent_to_one_that_ends(driver: Serves) -> None:
    driver.is_up()

    assert driver.said(1, "rests") == [Retire(1), Reach(NAME, ())]
    assert driver.gone() == [Rouse(NAME)]


def test_the_next_version_takes_over_when_it_is_ready(driver: Serves) -> None:
    driver.is_up(cpu=5.0)
    driver.join("c", LARGE)

    assert only(driver.deploy(web("2", cpu=5.0)), Reach) == []
    assert driver.loaded(2) == [Retire(1), Reach(NAME, (3,))]


def test_a_service_that_is_stopped_reaches_nobody(driver: Serves) -> None:
    driver.is_up()
    driver.start(StopService(NAME))

    assert driver.effects == [Unlisten(NAME), Retire(1)]


# --- agents that go -----------------------------------------------------------------------------


def test_nobody_is_sent_to_an_agent_that_is_cut_off(driver: Serves) -> None:
    driver.is_up()

    assert driver.cut("a") == [Reach(NAME, ())]
    assert driver.does() == "asleep"


def test_one_that_comes_back_soon_goes_on(driver: Serves) -> None:
    driver.is_up()
    driver.cut("a")
    driver.join("a")

    assert driver.beat("a") == [Reach(NAME, (1,))]
    assert driver.pass_s(2 * CUT_S) == []


def test_one_that_does_not_is_replaced(driver: Serves) -> None:
    driver.is_up()
    driver.cut("a")

    assert driver.agents_of(driver.pass_s(CUT_S)) == [2]
    assert driver.loaded(2) == [Reach(NAME, (2,))]


def test_of_two_the_one_that_comes_back_ends(driver: Serves) -> None:
    driver.is_up()
    driver.cut("a")
    driver.pass_s(CUT_S)
    driver.loaded(2)
    driver.join("a")

    assert driver.beat("a") == [Retire(1)]


def test_one_that_comes_back_after_a_stop_ends(driver: Serves) -> None:
    driver.is_up()
    driver.cut("a")
    driver.start(StopService(NAME))
    driver.join("a")

    assert driver.beat("a") == [Retire(1)]


def test_one_of_a_version_before_goes_on_while_the_next_is_not_ready(driver: Serves) -> None:
    driver.is_up(cpu=5.0)
    driver.join("c", LARGE)
    driver.deploy(web("2", cpu=5.0))
    driver.cut("a")
    driver.join("a")

    assert driver.beat("a") == [Reach(NAME, (1,))]


def test_one_of_a_version_before_ends_if_the_next_is_ready(driver: Serves) -> None:
    driver.is_up(cpu=5.0)
    driver.join("c", LARGE)
    driver.deploy(web("2", cpu=5.0))
    driver.cut("a")
    driver.loaded(2)
    driver.join("a")

    assert driver.beat("a") == [Retire(1)]


def test_one_that_is_lost_is_replaced_at_once(driver: Serves) -> None:
    driver.is_up()
    driver.leave("a")

    assert driver.agents_of(driver.pass_s(0.0)) == [2]


def test_one_that_is_lost_while_it_starts_is_no_failure(driver: Serves) -> None:
    driver.there()
    driver.leave("a")

    assert driver.agents_of(driver.pass_s(0.0)) == [2]
    assert driver.seen().stale == ""


def test_one_whose_lease_has_ended_is_lost(driver: Serves) -> None:
    driver.there()
    driver.cut("a")
    driver.leave("b")
    effects = driver.pass_s(LEASE_S)

    assert Kill(1) in effects
    driver.join("c")
    assert driver.agents_of(driver.pass_s(PLACE_S)) == [3]


def test_an_agent_that_is_about_to_leave_has_it_started_elsewhere(driver: Serves) -> None:
    driver.is_up()

    assert driver.drain("a") == [Retire(1), Reach(NAME, ())]
    assert driver.agents_of(driver.pass_s(0.0)) == [2]


def test_one_that_starts_on_an_agent_that_leaves_is_started_elsewhere(driver: Serves) -> None:
    driver.there()

    assert driver.drain("a") == [Kill(1)]
    assert driver.agents_of(driver.pass_s(0.0)) == [2]


def test_where_the_next_version_cannot_start_a_loss_awaits_the_next_connection(
    driver: Serves,
) -> None:
    driver.is_up()
    driver.deploy(web("2"))
    driver.step(LoadFailed(2, BROKEN))
    driver.gone(2)
    driver.leave("a")

    assert only(driver.pass_s(REST_S), StartExecutor) == []
    assert Rouse(NAME) in driver.effects


def test_an_agent_that_has_lost_it_says_so(driver: Serves) -> None:
    driver.is_up()
    driver.cut("a")
    effects = _joins_without_it(driver)

    assert only(effects, Attach)
    assert driver.agents_of(driver.pass_s(0.0)) == [1]


def _joins_without_it(driver: Serves) -> list[Any]:
    driver.join("a", LARGE, channel="")
    return driver.effects


def test_an_agent_that_has_it_still_is_believed(driver: Serves) -> None:
    driver.is_up()
    function = driver.plane.ledger.executors[1].function.number
    driver.cut("a")
    driver.join("a", LARGE, HeldExecutor(1, function, loaded=True, jobs=()), channel="")

    assert driver.beat("a") == [Reach(NAME, (1,))]


def test_one_that_a_restart_knows_nothing_of_is_killed(driver: Serves) -> None:
    driver.is_up()
    driver.restart()
    welcome = driver.join("a", LARGE, HeldExecutor(1, 1, loaded=True, jobs=()), channel="")

    assert welcome.kills == (1,)


def test_the_small_ones_are_left_to_others(driver: Serves) -> None:
    driver.join("a", SMALL)
    driver.deploy(web(cpu=2.0))
    driver.listens()
    driver.roused()

    assert driver.agents_of(driver.effects) == []
    driver.step(Ended(99, "exit"))
    assert driver.does() == "asleep"

"""When an agent on a rented machine ends by itself, in virtual time."""

from __future__ import annotations

from apothic_emulator.agent.dead_man import HANGS_S, LONGEST_LOOK_S, DeadMan, Terms

DAY_S, QUIET_S, GRACE_S = 86400.0, 900.0, 30.0


class Station:
    """An agent that counts how often it is asked to stop."""

    def __init__(self) -> None:
        self.heard_at = -float("inf")
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1


class Watched:
    """A station, its dead man, and what he has done."""

    def __init__(self, begun_at: float = 1000.0, age_s: float = 0.0) -> None:
        self.station = Station()
        self.given_up: list[float] = []
        self.now = begun_at
        self.man = DeadMan(
            Terms(DAY_S, QUIET_S),
            self.station,
            lambda: self.given_up.append(self.now),
            now=lambda: self.now,
            grace_s=GRACE_S,
            age_s=age_s,
        )

    def look(self, now: float) -> float:
        self.now = now
        return self.man.look(now)


def test_an_agent_that_nobody_has_ever_spoken_to_ends() -> None:
    it = Watched()

    it.look(1000.0 + QUIET_S - 1)
    before = it.station.stops
    it.look(1000.0 + QUIET_S)

    assert (before, it.station.stops) == (0, 2)


def test_the_time_without_contact_counts_from_the_last_word() -> None:
    it = Watched()
    it.station.heard_at = 5000.0

    it.look(5000.0 + QUIET_S - 1)
    before = it.station.stops
    it.look(5000.0 + QUIET_S)

    assert (before, it.station.stops) == (0, 2)


def test_an_agent_that_is_too_old_may_finish_what_runs() -> None:
    it = Watched()
    it.station.heard_at = 1000.0 + DAY_S

    it.look(1000.0 + DAY_S)
    it.look(1000.0 + DAY_S + 1)

    assert it.station.stops == 1


def test_a_machine_that_has_lived_already_has_the_rest_of_its_life() -> None:
    it = Watched(age_s=DAY_S - 100)
    it.station.heard_at = 1000.0

    it.look(1099.0)
    before = it.station.stops
    it.look(1100.0)

    assert (before, it.station.stops) == (0, 1)


def test_one_that_is_too_old_stops_at_once_when_it_is_not_heard_any_more() -> None:
    it = Watched()
    it.station.heard_at = 1000.0 + DAY_S

    it.look(1000.0 + DAY_S)
    it.look(1000.0 + DAY_S + QUIET_S)

    assert it.station.stops == 2


def test_one_that_hangs_is_ended() -> None:
    it = Watched()
    end = 1000.0 + QUIET_S

    it.look(end)
    it.look(end + HANGS_S - 1)
    before = list(it.given_up)
    it.look(end + HANGS_S)

    assert (before, it.given_up) == ([], [end + HANGS_S])


def test_one_that_drains_has_its_grace_before_it_is_ended() -> None:
    it = Watched()
    end = 1000.0 + DAY_S
    it.station.heard_at = end

    it.look(end)
    it.look(end + GRACE_S + HANGS_S - 1)
    before = list(it.given_up)
    it.look(end + GRACE_S + HANGS_S)

    assert (before, it.given_up) == ([], [end + GRACE_S + HANGS_S])


def test_it_looks_again_when_something_is_due_and_every_minute() -> None:
    it = Watched()

    assert it.look(1000.0) == LONGEST_LOOK_S
    assert it.look(1000.0 + QUIET_S - 7) == 7

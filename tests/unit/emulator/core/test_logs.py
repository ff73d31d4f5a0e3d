"""What a job printed, as it is kept."""

from __future__ import annotations

import pytest

from apothic_backends.commands import GetJobLogs
from apothic_emulator.core import logs
from apothic_emulator.core.facts import Printed
from apothic_emulator.core.logs import JobLog
from tests.unit.emulator.core.driving import RAISED, Driver


def test_what_a_job_printed_is_kept_in_order() -> None:
    driver = Driver()
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "a"), Printed(1, 0, "stderr", "b"))
    seen = driver.ask(GetJobLogs(f"jobs:{job}"))

    assert (seen.stdout, seen.stderr, seen.text) == ("a", "b", "ab")


def test_each_attempt_has_a_log_of_its_own() -> None:
    driver = Driver(retries=1)
    job = driver.ran()
    driver.step(Printed(1, job, "stdout", "first"))
    driver.report(job, error=RAISED)
    driver.step(Printed(1, job, "stdout", "second"))

    texts = [driver.ask(GetJobLogs(f"jobs:{job}", attempt)).text for attempt in (None, 1, 2, 3)]
    assert texts == ["firstsecond", "first", "second", ""]


def test_a_job_that_printed_nothing_has_an_empty_log() -> None:
    driver = Driver()

    assert driver.ask(GetJobLogs(f"jobs:{driver.submit()}")).text == ""


def test_an_executor_cannot_print_for_a_job_of_another() -> None:
    driver = Driver(max_containers=2)
    one, _, _ = driver.submit_many(3)
    driver.step(Printed(2, one, "stdout", "forged"), Printed(2, 99, "stdout", "forged"))

    assert driver.job(one).log is None


def test_short_pieces_of_a_stream_are_joined() -> None:
    log = JobLog()
    for text in "abc":
        log.add(1, "stdout", text)

    assert [*log.head] == [(1, "stdout", "abc")]


def test_the_middle_goes_when_there_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT_CHARS", 8)
    log = JobLog()
    for text in ("head", "12", "3456", "7", "8"):
        log.add(1, "stdout" if text != "7" else "stderr", text)
    seen = log.read()

    assert seen.text.startswith("head")
    assert seen.text.endswith("78")
    assert seen.dropped + log.size == len("head12345678")


def test_a_piece_larger_than_the_bound_keeps_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "KEPT_CHARS", 8)
    log = JobLog()
    log.add(1, "stdout", "0123456789")

    assert log.read().dropped == 6

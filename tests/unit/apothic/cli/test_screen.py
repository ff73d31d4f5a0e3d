from __future__ import annotations

import io
import os
import sys
import threading

import pytest

from apothic.cli.screen import Screen


class FakeTerminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rows_are_erased_before_lines_and_drawn_below_them() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.show([], ["one", "two"])
    screen.show(["a line"], ["three"])
    screen.show([])

    assert stream.getvalue() == "one\ntwo\r\x1b[1A\x1b[Ja line\nthree\r\x1b[J"


def test_rows_that_have_not_changed_are_not_drawn_again() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    screen.show([], ["one"])
    screen.show([], ["one"])

    assert stream.getvalue() == "one"


def test_what_others_print_takes_the_place_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with Screen(terminal) as screen:
        screen.show([], ["row"])
        print("mine")
        screen.show([], ["row"])

    assert terminal.getvalue() == "row\r\x1b[Jmine\nrow\r\x1b[J"
    assert sys.stdout is terminal


def test_a_line_that_others_have_not_finished_is_not_drawn_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = FakeTerminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    with Screen(terminal) as screen:
        print("name?", end=" ")
        screen.show([], ["row"])
        screen.show(["a line"], ["row"])

    assert terminal.getvalue() == "name? \na line\n"


def test_a_stream_that_leads_elsewhere_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = io.StringIO()
    monkeypatch.setattr(sys, "stdout", pipe)
    with Screen(FakeTerminal()):
        assert sys.stdout is pipe


def test_lines_of_a_screen_that_nobody_reads_are_dropped() -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as stream:
        screen = Screen(stream)
        screen.show(["a line"])

        assert not screen.is_open


def test_a_descriptor_that_does_not_block_gets_every_line() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    line = "x" * 1000
    found: list[bytes] = []

    def take() -> None:
        while piece := os.read(read, 4096):
            found.append(piece)

    with os.fdopen(write, "w") as stream:
        writer = threading.Thread(target=Screen(stream).show, args=([line] * 500,))
        writer.start()
        reader = threading.Thread(target=take)
        reader.start()
        writer.join()
    reader.join()
    os.close(read)

    assert b"".join(found).decode() == f"{line}\n" * 500

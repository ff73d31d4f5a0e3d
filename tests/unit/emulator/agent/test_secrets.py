"""What the agent does with secrets, beside processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apothic_backends.model.functions import FunctionSpec, SecretRef
from apothic_backends.model.jobs import ErrorInfo
from apothic_backends.model.masks import Masks
from apothic_backends.model.payloads import Payload
from apothic_backends.vault import Vault
from apothic_emulator.agent.delivery import Delivery
from apothic_emulator.agent.logs import Read
from apothic_emulator.agent.safe import Given, Safe
from apothic_emulator.agent.veils import Texts, Veils, hide
from apothic_emulator.executors import wire

SPEC = FunctionSpec("app", "f", secrets=(SecretRef("mine"),))
VALUE = "open-sesame-123"


class LateSafe(Safe):
    """One in which a secret changes just after it was read."""

    def __init__(self, vault: Vault) -> None:
        super().__init__()
        self._late: list[str] = ["second", "third"]
        self._others = vault

    def give(self, spec: FunctionSpec) -> Given:
        given = super().give(spec)
        if self._late:
            self._others.put("mine", {"TOKEN": self._late.pop(0)})
        return given


class FakeLine:
    """The far end of a delivery."""

    needs = SPEC.secrets
    keeps_secrets = False
    secrets: Any = None
    veils: Any = None

    def __init__(self) -> None:
        self.sent: list[tuple[int, list[dict[str, str]]]] = []

    def reply(self, kind: int, request: int, body: bytes, buffers: tuple[()]) -> None:
        self.sent.append((kind, json.loads(body)))


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    monkeypatch.setenv("APOTHIC_SECRETS_KEY", "file")
    return Vault(tmp_path)


def test_what_changes_while_it_is_read_is_read_again(vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "first"})
    delivery, line = Delivery(lambda _: None), FakeLine()
    delivery.safe = LateSafe(vault)

    delivery._deliver(line, SPEC)  # type: ignore[arg-type]

    assert line.sent == [(wire.REPLY, [{"TOKEN": "third"}, {}])]
    assert not delivery.is_stale(line)  # type: ignore[arg-type]


def test_values_in_hand_are_not_shown(vault: Vault) -> None:
    vault.put("mine", {"TOKEN": VALUE})

    assert VALUE not in repr(Safe().give(SPEC))


def test_an_exception_that_still_has_a_value_in_it_is_left_out() -> None:
    kept = Payload(b"\x80\x05" + VALUE.encode())
    info = ErrorInfo("user_error", f"it is {VALUE}", "ValueError", VALUE, kept)

    hidden = hide(info, Masks([VALUE]))

    assert (hidden.message, hidden.traceback, hidden.exception) == ("it is ***", "***", None)


def test_an_exception_without_one_is_kept() -> None:
    info = ErrorInfo("user_error", "it is", "ValueError", "", Payload(b"\x80\x05"))

    assert hide(info, Masks([VALUE])) == info


def test_halves_on_one_stream_with_text_of_the_other_between_are_hidden() -> None:
    texts = Texts(Masks([VALUE]))
    shown = [
        *texts.feed("stdout", VALUE[:6]),
        *texts.feed("stderr", "between"),
        *texts.feed("stdout", VALUE[6:]),
        *texts.flush(),
    ]

    assert shown == [("stderr", "between"), ("stdout", "***")]


def shown(veils: Veils, *reads: Read) -> list[tuple[int, str, str]]:
    """What is shown of what was in both streams at one time."""
    fed = veils.in_order([*reads])
    pieces = [
        it for stream, texts in fed for of, text in texts for it in veils.feed(of, stream, text)
    ]
    return [*pieces, *veils.flush_all()]


@pytest.mark.parametrize("is_shared", [False, True])
@pytest.mark.parametrize(("first", "second"), [("stdout", "stderr"), ("stderr", "stdout")])
def test_halves_that_are_in_both_streams_are_hidden_whichever_was_read_first(
    first: str, second: str, is_shared: bool
) -> None:
    head, tail = (first, [(1, VALUE[:6])]), (second, [(1, f"{VALUE[6:]}\n")])
    expected = [(1, first, "***"), (1, second, "\n")]

    for reads in ((head, tail), (tail, head)):
        assert shown(Veils(Masks([VALUE]), is_shared=is_shared), *reads) == expected


def test_what_hides_nothing_is_shown_in_the_order_in_which_it_was_read() -> None:
    reads = ("stderr", [(1, "b\n")]), ("stdout", [(1, "a\n")])

    assert shown(Veils(Masks([VALUE]), is_shared=False), *reads) == [
        (1, "stderr", "b\n"),
        (1, "stdout", "a\n"),
    ]


def test_halves_of_two_jobs_are_no_value() -> None:
    reads = ("stderr", [(1, f"{VALUE[6:]}\n")]), ("stdout", [(2, f"{VALUE[:6]}\n")])

    (first, *_) = shown(Veils(Masks([VALUE]), is_shared=True), *reads)

    assert first == (1, "stderr", f"{VALUE[6:]}\n")

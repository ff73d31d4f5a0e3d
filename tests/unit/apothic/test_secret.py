from __future__ import annotations

import copy
import json
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from apothic import App, InvalidOption, NotFound, Secret
from apothic_backends.commands import Command, RegisterFunction
from apothic_backends.commands.secrets import KeepSecret
from apothic_backends.connection import use
from apothic_backends.ticket import Ticket
from tests.unit.apothic.threads import ThreadBackend

VALUE = "open-sesame-123"

app = App("secret")


class KeepingBackend(ThreadBackend):
    """One that holds secrets, too."""

    def _KeepSecret(self, command: KeepSecret, ticket: Ticket[None]) -> None:
        ticket.complete(None)


@pytest.fixture
def backend() -> Iterator[KeepingBackend]:
    backend = KeepingBackend()
    before = use(backend)
    yield backend
    use(before)


def kept(command: Any) -> dict[str, str]:
    return dict(json.loads(command.values.data))


# --- what they are made from --------------------------------------------------------------------


def test_a_dict_may_leave_values_out() -> None:
    assert kept(Secret.from_dict({"A": VALUE, "B": None}).keep()) == {"A": VALUE}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"A": 12345678}, "A must be a string, not of type int"),
        ({"A": VALUE.encode()}, "A must be a string, not of type bytes"),
        ({"A B": VALUE}, "'A B'"),
        ({"": VALUE}, "environment variable"),
        ({1: VALUE}, "environment variable"),
        ([("A", VALUE)], "not a list"),
        ({"APOTHIC_WORKER": VALUE}, "APOTHIC_WORKER"),
    ],
)
def test_a_dict_that_cannot_be_meant_is_refused_without_its_values(values: Any, told: str) -> None:
    with pytest.raises(InvalidOption, match=told) as caught:
        Secret.from_dict(values)
    assert VALUE not in repr(caught.value) + repr(caught.value.data)
    assert "12345678" not in repr(caught.value) + repr(caught.value.data)


def test_the_nearest_file_above_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"A={VALUE}\nEMPTY\n", "utf-8")
    (tmp_path / "a" / "b").mkdir(parents=True)

    assert kept(Secret.from_dotenv(tmp_path / "a" / "b").keep()) == {"A": VALUE}


def test_a_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "prod.env").write_text(f"A={VALUE}\n", "utf-8")

    assert kept(Secret.from_dotenv(tmp_path, "prod.env").keep()) == {"A": VALUE}
    assert kept(Secret.from_dotenv(tmp_path / "prod.env").keep()) == {"A": VALUE}


def test_without_a_path_it_is_looked_for_from_the_file_that_asks(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"A={VALUE}\n", "utf-8")
    code = "from apothic import Secret\nmade = Secret.from_dotenv()"
    there: dict[str, Any] = {"__file__": str(tmp_path / "module.py")}
    exec(code, there)

    assert kept(there["made"].keep()) == {"A": VALUE}


def test_without_a_file_the_current_directory_is_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"A={VALUE}\n", "utf-8")
    monkeypatch.chdir(tmp_path)
    there: dict[str, Any] = {}
    exec("from apothic import Secret\nmade = Secret.from_dotenv()", there)

    assert kept(there["made"].keep()) == {"A": VALUE}


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no file nothing\.env"):
        Secret.from_dotenv(tmp_path, "nothing.env")


def test_variables_of_the_environment_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", VALUE)

    assert kept(Secret.from_local_environ(["A"]).keep()) == {"A": VALUE}


def test_every_variable_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", VALUE)

    with pytest.raises(NotFound, match="NOWHERE, NEITHER"):
        Secret.from_local_environ(["A", "NOWHERE", "NEITHER"])


def test_a_worker_needs_what_is_missing_only_when_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APOTHIC_WORKER", str(os.getpid()))
    secret = Secret.from_local_environ(["NOWHERE"])

    with pytest.raises(NotFound, match="NOWHERE"):
        secret.keep()


@pytest.mark.parametrize("name", ["", "a b", "../a", "held:1", "x" * 200, None])
def test_a_name_that_no_secret_has_is_refused(name: Any) -> None:
    with pytest.raises(InvalidOption, match="name of a secret"):
        Secret.from_name(name)


@pytest.mark.parametrize("keys", ["TOKEN", [1], {"A": 1}])
def test_required_keys_are_a_list_of_names(keys: Any) -> None:
    with pytest.raises(InvalidOption, match="required_keys"):
        Secret.from_name("db", keys)


# --- where values are not -------------------------------------------------------------------------


@pytest.mark.parametrize("show", [repr, str, ascii, lambda s: f"{s}", lambda s: repr([s])])
def test_a_value_is_not_shown(show: Any) -> None:
    assert VALUE not in show(Secret.from_dict({"A": VALUE}))


@pytest.mark.parametrize("show", [vars, lambda s: s.__dict__, lambda s: s.ref()])
def test_a_value_is_not_among_the_fields(show: Any) -> None:
    assert VALUE not in repr(show(Secret.from_dict({"A": VALUE})))


def test_a_value_is_in_no_handle_and_no_record_of_a_function(backend: KeepingBackend) -> None:
    def function() -> None: ...

    handle = app.function(secrets=[Secret.from_dict({"A": VALUE})])(function)
    sent = cloudpickle.dumps([handle, handle.options, handle.spec()])

    assert VALUE.encode() not in sent
    assert VALUE not in repr([handle, handle.options, handle.spec(), handle.introduction()])


def test_an_error_that_refuses_an_option_does_not_show_it() -> None:
    with pytest.raises(InvalidOption) as caught:
        app.function(secrets=Secret.from_dict({"A": VALUE}))(lambda: None)  # type: ignore[call-overload]
    assert VALUE not in str(caught.value)


# --- how they travel ------------------------------------------------------------------------------


def test_a_control_plane_is_given_the_values_before_the_function(backend: KeepingBackend) -> None:
    secret = Secret.from_dict({"A": VALUE})
    handle = app.function(secrets=[secret, Secret.from_name("db", ["USER"])])(lambda: 1)
    handle.remote()

    kinds = [type(command) for command in backend.started[:2]]
    assert kinds == [KeepSecret, RegisterFunction]
    refs = backend.seen(RegisterFunction)[0].spec.secrets
    assert [(ref.name, ref.required_keys) for ref in refs] == [(secret.name, ()), ("db", ("USER",))]


def test_the_same_values_are_the_same_secret() -> None:
    assert Secret.from_dict({"A": "x", "B": "y"}) == Secret.from_dict({"B": "y", "A": "x"})
    assert Secret.from_dict({"A": "x"}) != Secret.from_dict({"A": "y"})


def test_one_that_travels_names_what_the_control_plane_holds(backend: KeepingBackend) -> None:
    secret = Secret.from_dict({"A": VALUE})
    arrived = pickle.loads(pickle.dumps(secret))

    assert arrived.ref() == secret.ref()
    assert arrived.keep() is None
    assert [kept(command) for command in backend.seen(KeepSecret)] == [{"A": VALUE}]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy])
def test_a_copy_has_the_values(copied: Any) -> None:
    assert kept(copied(Secret.from_dict({"A": VALUE})).keep()) == {"A": VALUE}


def test_the_command_does_not_show_them() -> None:
    command: Command[None] = Secret.from_dict({"A": VALUE}).keep()

    assert VALUE not in repr(command)

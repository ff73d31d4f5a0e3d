"""What every backend does with secrets."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest

from apothic_backends.commands import GetJobLogs, RegisterFunction
from apothic_backends.commands.secrets import CheckSecrets, KeepSecret
from apothic_backends.model.errors import InvalidOption, SecretNotFound
from apothic_backends.model.functions import BatchPolicy, FunctionSpec, RetryPolicy, SecretRef
from apothic_backends.model.jobs import JobLogs, JobStatus
from apothic_backends.model.payloads import Payload
from apothic_backends.vault import Vault
from tests.conformance.client import Client, Gate, value_of

MINE = SecretRef("mine")


@pytest.fixture(autouse=True)
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vault:
    home = tmp_path / "home"
    monkeypatch.setenv("APOTHIC_HOME", str(home))
    monkeypatch.setenv("APOTHIC_SECRETS_KEY", "file")
    home.mkdir(0o700)
    return Vault(home)


def held(**values: str) -> Payload:
    return Payload(json.dumps(values).encode(), codec="json")


def see(*names: str) -> list[str | None]:
    import os

    return [os.environ.get(name) for name in names]


async def see_async(*names: str) -> list[str | None]:
    import os

    return [os.environ.get(name) for name in names]


def see_all(names: list[str]) -> list[str | None]:
    import os

    return [os.environ.get(name) for name in names]


@pytest.mark.parametrize("how", [see, see_async])
async def test_a_function_finds_its_secrets_in_its_environment(
    client: Client, vault: Vault, how: object
) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    await client.backend.start(KeepSecret("held:1", held(OTHER="in-memory")))
    secrets = (MINE, SecretRef("held:1"))
    f = await client.register(how, is_async=how is see_async, secrets=secrets)  # type: ignore[arg-type]

    assert value_of(await client.run(f, "TOKEN", "OTHER")) == ["open-sesame", "in-memory"]
    assert "TOKEN" not in os.environ


async def test_batches_find_them_too(client: Client, vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    f = await client.register(see_all, secrets=(MINE,), batch=BatchPolicy(4, 0.0))

    assert value_of(await client.run(f, "TOKEN")) == "open-sesame"


async def test_the_function_is_loaded_with_them(client: Client, vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})

    class Loads:
        def __reduce__(self) -> tuple[object, ...]:
            return (eval, ("(lambda seen: lambda: seen)(__import__('os').environ['TOKEN'])",))

    spec = FunctionSpec("conformance", "loads", secrets=(MINE,))
    f = await client.backend.start(RegisterFunction(spec, Payload(pickle.dumps(Loads()))))

    assert value_of(await client.run(f)) == "open-sesame"


@pytest.mark.needs("environment")
async def test_a_later_secret_counts_and_all_count_over_the_callers_environment(
    client: Client, vault: Vault, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B", "C"):
        monkeypatch.setenv(name, "caller")
    vault.put("mine", {"B": "first", "C": "first"})
    vault.put("more", {"C": "second"})
    f = await client.register(see, secrets=(MINE, SecretRef("more")))

    assert value_of(await client.run(f, "A", "B", "C")) == ["caller", "first", "second"]
    assert os.environ["C"] == "caller"


@pytest.mark.parametrize("order", [["mine", "held:1"], ["held:1", "mine"]])
async def test_it_does_not_matter_where_the_later_secret_is_kept(
    client: Client, vault: Vault, order: list[str]
) -> None:
    vault.put("mine", {"WHO": "mine"})
    await client.backend.start(KeepSecret("held:1", held(WHO="held:1")))
    f = await client.register(see, secrets=tuple(SecretRef(name) for name in order))

    assert value_of(await client.run(f, "WHO")) == [order[-1]]


async def test_a_function_without_secrets_gets_none(client: Client, vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    with_it = await client.register(see, secrets=(MINE,))
    without = await client.register(see)

    assert value_of(await client.run(with_it, "TOKEN")) == ["open-sesame"]
    assert value_of(await client.run(without, "TOKEN")) == [None]


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (SecretRef("nowhere"), "apothic secret set nowhere`"),
        (SecretRef("nowhere", ("A", "B")), "apothic secret set nowhere A B`"),
        (SecretRef("mine", ("TOKEN", "A", "B")), "apothic secret set mine A B`"),
        (SecretRef("held:nobody"), "given in another program"),
    ],
)
@pytest.mark.needs("lines")
async def test_what_is_missing_is_named_with_the_way_out_and_nothing_runs(
    client: Client, vault: Vault, gate: Gate, needed: SecretRef, told: str
) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    retries = RetryPolicy(max_retries=5, initial_delay_s=0.0)
    f = await client.register(gate.wait, secrets=(MINE, needed), retries=retries)

    job_id = await client.submit(f)
    outcome = await client.wait(job_id)

    assert outcome.status is JobStatus.FAILED
    assert outcome.error is not None
    assert outcome.error.code == "secret_not_found"
    assert told in outcome.error.message
    assert (await client.look(job_id)).attempt <= 1


async def test_a_secret_that_is_set_after_all_is_found(client: Client, vault: Vault) -> None:
    f = await client.register(see, secrets=(MINE,))
    assert (await client.run(f, "TOKEN")).status is JobStatus.FAILED
    vault.put("mine", {"TOKEN": "open-sesame"})

    assert value_of(await client.run(f, "TOKEN")) == ["open-sesame"]


async def test_a_call_after_a_change_has_the_new_value(client: Client, vault: Vault) -> None:
    f = await client.register(see, secrets=(MINE,))
    for value in ("first", "second", "third"):
        vault.put("mine", {"TOKEN": value})

        assert value_of(await client.run(f, "TOKEN")) == [value]


async def test_a_call_after_the_end_of_a_secret_fails(client: Client, vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    f = await client.register(see, secrets=(MINE,))
    assert value_of(await client.run(f, "TOKEN")) == ["open-sesame"]
    vault.delete("mine")

    outcome = await client.run(f, "TOKEN")

    assert outcome.error is not None
    assert outcome.error.code == "secret_not_found"


async def test_a_change_of_another_secret_costs_nothing(client: Client, vault: Vault) -> None:
    counted = await client.register(count, secrets=(MINE,))
    vault.put("mine", {"TOKEN": "open-sesame"})
    assert value_of(await client.run(counted)) == 1
    vault.put("another", {"TOKEN": "x"})

    assert value_of(await client.run(counted)) == 2


def count(so_far: list[int] = []) -> int:  # noqa: B006 - it is one process's memory
    so_far.append(0)
    return len(so_far)


async def test_a_vault_that_others_can_read_is_refused(client: Client, vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    (Path(os.environ["APOTHIC_HOME"]) / "secrets.json").chmod(0o644)
    f = await client.register(see, secrets=(MINE,))

    outcome = await client.run(f, "TOKEN")

    assert outcome.error is not None
    assert outcome.error.code == "secret_store"
    assert "chmod 600" in outcome.error.message


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("mine", held(A="x")),
        ("held:1", Payload(b"not json", codec="json")),
        ("held:1", Payload(b"[1]", codec="json")),
        ("held:1", Payload(b'{"A": 1}', codec="json")),
        ("held:1", held(APOTHIC_WORKER="1")),
        ("held:2", held(A="another")),
    ],
)
async def test_what_cannot_be_held_is_refused(client: Client, name: str, values: Payload) -> None:
    await client.backend.start(KeepSecret("held:2", held(A="one")))

    with pytest.raises(InvalidOption):
        await client.backend.start(KeepSecret(name, values))


async def test_the_same_may_be_held_twice(client: Client) -> None:
    for _ in range(2):
        await client.backend.start(KeepSecret("held:1", held(A="one")))


async def test_no_event_and_no_record_has_a_value_in_it(client: Client, vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    await client.backend.start(KeepSecret("held:1", held(OTHER="in-memory")))
    secrets = (MINE, SecretRef("held:1"))
    f = await client.register(lambda: None, secrets=secrets)
    begin = await client.beginning()
    job_id = await client.submit(f)
    await client.wait(job_id)

    events = await client.events_until("jobs", begin, lambda event: event.event == "job.end")
    plane = client.backend._host.plane  # type: ignore[attr-defined]
    seen = repr(
        [events, await client.look(job_id), [p.function.spec for p in plane.pools.values()]]
    )

    assert "open-sesame" not in seen
    assert "in-memory" not in seen


# --- what people see ------------------------------------------------------------------------------

VALUE = "open-sesame-123"


async def held_function(client: Client, function: object, **options: object) -> str:
    await client.backend.start(KeepSecret("held:mask", held(TOKEN=VALUE, OTHER="another\nvalue")))
    return await client.register(function, secrets=(SecretRef("held:mask"),), **options)  # type: ignore[arg-type]


async def log_of(client: Client, function: object, **options: object) -> JobLogs:
    """What a job prints; no event has a value in it."""
    f = await held_function(client, function, **options)
    begin = await client.beginning()
    job_id = await client.submit(f)
    await client.wait(job_id)
    events = await client.events_until(job_id, begin, lambda event: event.event == "job.end")
    assert VALUE not in repr(events)
    return await client.backend.start(GetJobLogs(job_id))


def print_it() -> None:
    import os

    print("it is", os.environ["TOKEN"], "!")


async def print_it_async() -> None:
    import os

    print("it is", os.environ["TOKEN"], "!")


def print_in_pieces() -> None:
    import os
    import sys

    for letter in os.environ["TOKEN"]:
        sys.stdout.write(letter)
        sys.stdout.flush()
    print("|")


def print_over_both() -> None:
    import os
    import sys

    token = os.environ["TOKEN"]
    print(token[:5], end="", flush=True)
    print(token[5:], file=sys.stderr, flush=True)


def print_on_both() -> None:
    import os
    import sys

    token = os.environ["TOKEN"]
    print(token[:5], end="", flush=True)
    print("between", file=sys.stderr, flush=True)
    print(token[5:], flush=True)


def print_everything() -> None:
    import os

    print(os.environ)


def print_what_is_like_it() -> None:
    print("open-", end="")


@pytest.mark.parametrize(
    "function",
    [print_it, print_in_pieces, print_over_both, print_on_both, print_everything],
)
async def test_a_value_that_is_printed_is_hidden(client: Client, function: object) -> None:
    log = await log_of(client, function)

    assert "***" in log.text
    assert not [s for s in (log.text, log.stdout, log.stderr) if VALUE in s]


async def test_text_around_it_stays(client: Client) -> None:
    assert (await log_of(client, print_it)).stdout == "it is *** !\n"
    assert (await log_of(client, print_it_async, is_async=True)).stdout == "it is *** !\n"


async def test_what_was_held_back_is_there_when_the_call_ends(client: Client) -> None:
    assert (await log_of(client, print_what_is_like_it)).stdout == "open-"


class Odd(Exception):
    def __init__(self, first: object, *, second: object) -> None:
        super().__init__(first)
        self.second = second


def raise_plain() -> None:
    import os

    raise ValueError("it is " + os.environ["TOKEN"], [os.environ["TOKEN"]])


def raise_odd() -> None:
    import os

    raise Odd(os.environ["TOKEN"], second={"key": os.environ["TOKEN"]})


def raise_from() -> None:
    try:
        raise_plain()
    except ValueError as error:
        raise KeyError("another") from error


def raise_stubborn() -> None:
    class Within(Exception):
        """One that holds the value where nobody looks for it."""

        def __init__(self, held: object) -> None:
            super().__init__(held)

    class Holder:
        def __init__(self) -> None:
            import os

            self.token = os.environ["TOKEN"]

    raise Within(Holder())


@pytest.mark.parametrize("function", [raise_plain, raise_odd, raise_from, raise_stubborn])
async def test_a_value_in_an_exception_is_hidden(client: Client, function: object) -> None:
    outcome = await client.run(await held_function(client, function))

    assert outcome.error is not None
    kept = outcome.error.exception
    assert VALUE not in repr(outcome.error)
    assert VALUE.encode() not in (b"" if kept is None else kept.data)


async def test_an_exception_keeps_its_type_and_what_is_no_secret(client: Client) -> None:
    outcome = await client.run(await held_function(client, raise_plain))

    assert outcome.error is not None
    assert outcome.error.exception is not None
    error = pickle.loads(outcome.error.exception.data)
    assert (type(error), error.args) == (ValueError, ("it is ***", ["***"]))


async def test_a_value_in_an_error_of_loading_is_hidden(client: Client) -> None:
    await client.backend.start(KeepSecret("held:mask", held(TOKEN=VALUE)))

    class Fails:
        def __reduce__(self) -> tuple[object, ...]:
            return (eval, ("1/0 if 0 else [][__import__('os').environ['TOKEN']]",))

    spec = FunctionSpec("conformance", "fails", secrets=(SecretRef("held:mask"),))
    f = await client.backend.start(RegisterFunction(spec, Payload(pickle.dumps(Fails()))))

    outcome = await client.run(f)

    assert outcome.error is not None
    assert outcome.error.code == "setup_failed"
    assert VALUE not in repr(outcome.error)


def tell_progress() -> None:
    import os

    from apothic import progress

    progress(1, message="it is " + os.environ["TOKEN"])


async def test_a_value_in_a_message_of_progress_is_hidden(client: Client) -> None:
    f = await held_function(client, tell_progress)
    begin = await client.beginning()
    job_id = await client.submit(f)

    events = await client.events_until(job_id, begin, lambda event: event.event == "job.end")

    told = [event.data for event in events if event.event == "job.progress"]
    assert [data["message"] for data in told] == ["it is ***"]


def echo(text: str) -> str:
    print(text)
    return text


async def test_results_and_other_functions_are_left_alone(client: Client) -> None:
    f = await held_function(client, echo)
    assert value_of(await client.run(f, VALUE)) == VALUE

    other = await client.register(echo)
    job_id = await client.submit(other, VALUE)
    await client.wait(job_id)
    assert (await client.backend.start(GetJobLogs(job_id))).stdout == f"{VALUE}\n"


# --- before anything runs -----------------------------------------------------------------------


async def test_it_is_told_beforehand_which_secret_is_not_there(
    client: Client, vault: Vault
) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})
    there = FunctionSpec("conformance", "see", secrets=(MINE,))
    lacking = FunctionSpec("conformance", "see", secrets=(SecretRef("mine", ("OTHER",)),))

    assert await client.backend.start(CheckSecrets(there)) is None
    for spec, how in (
        (
            FunctionSpec("conformance", "see", secrets=(SecretRef("none"),)),
            "apothic secret set none",
        ),
        (lacking, "apothic secret set mine OTHER"),
    ):
        with pytest.raises(SecretNotFound, match=how):
            await client.backend.start(CheckSecrets(spec))


async def test_a_worker_is_told_it_too(client: Client, vault: Vault) -> None:
    def check() -> str:
        from apothic._connect import connect
        from apothic_backends.commands.secrets import CheckSecrets

        try:
            connect().start(
                CheckSecrets(FunctionSpec("conformance", "f", secrets=(SecretRef("none"),)))
            ).wait(30)
        except SecretNotFound as error:
            return error.code
        return "there"

    f = await client.register(check)

    assert value_of(await client.run(f)) == "secret_not_found"

"""What every backend does with secrets."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from apothic_backends.commands.secrets import KeepSecret
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.functions import RetryPolicy, SecretRef
from apothic_backends.model.jobs import JobStatus
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
    from apothic_backends.model.functions import BatchPolicy

    vault.put("mine", {"TOKEN": "open-sesame"})
    f = await client.register(see_all, secrets=(MINE,), batch=BatchPolicy(4, 0.0))

    assert value_of(await client.run(f, "TOKEN")) == "open-sesame"


async def test_the_function_is_loaded_with_them(client: Client, vault: Vault) -> None:
    vault.put("mine", {"TOKEN": "open-sesame"})

    class Loads:
        def __reduce__(self) -> tuple[object, ...]:
            return (eval, ("(lambda seen: lambda: seen)(__import__('os').environ['TOKEN'])",))

    import pickle

    from apothic_backends.commands import RegisterFunction
    from apothic_backends.model.functions import FunctionSpec

    spec = FunctionSpec("conformance", "loads", secrets=(MINE,))
    f = await client.backend.start(RegisterFunction(spec, Payload(pickle.dumps(Loads()))))

    assert value_of(await client.run(f)) == "open-sesame"


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

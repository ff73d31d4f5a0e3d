"""Secrets in real worker processes: who sees them, and who does not."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from apothic import App, Job, Secret, SecretNotFound, WorkerLost
from apothic_backends.vault import Vault
from tests.integration.support import nothing_leaks

VALUE = "open-sesame-123"


@pytest.fixture
def vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    monkeypatch.setenv("APOTHIC_HOME", str(tmp_path))
    monkeypatch.setenv("APOTHIC_SECRETS_KEY", "file")
    with nothing_leaks():
        yield Vault(tmp_path)


def declare(function: Any, *secrets: Secret, **options: Any) -> Any:
    return App("secrets").function(secrets=list(secrets), **options)(function)


def token() -> str | None:
    return os.environ.get("TOKEN")


def test_no_process_shows_a_value_to_those_who_look_from_outside(vault: Vault) -> None:
    vault.put("named", {"TOKEN": VALUE})

    def look() -> list[Any]:
        shown = subprocess.run(["ps", "auxeww"], capture_output=True, check=True).stdout
        found: list[Any] = ["ps"] if os.environ["TOKEN"].encode() in shown else []
        for entry in Path("/proc").iterdir():
            for file in ("environ", "cmdline"):
                try:
                    if os.environ["TOKEN"].encode() in (entry / file).read_bytes():
                        found.append((entry.name, file, (entry / "cmdline").read_bytes()))
                except OSError:
                    continue
        return found

    # what the code starts by itself inherits its environment, as `ps` does here
    found = declare(look, Secret.from_name("named")).remote()
    assert [it for it in found if it != "ps" and b"ps\0" not in it[2]] == []


def test_a_core_dump_is_not_written(vault: Vault) -> None:
    def limit() -> int:
        import resource

        return resource.getrlimit(resource.RLIMIT_CORE)[0]

    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        assert declare(limit).remote() == hard
        assert declare(limit, Secret.from_dict({"TOKEN": VALUE})).remote() == 0
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))


def test_what_the_code_starts_inherits_them(vault: Vault) -> None:
    def child() -> str:
        return subprocess.check_output(["sh", "-c", "echo $TOKEN"], text=True).strip()

    assert declare(child, Secret.from_dict({"TOKEN": VALUE})).remote() == VALUE


def test_a_call_does_not_change_them_for_the_next(vault: Vault) -> None:
    def change(to: str) -> str | None:
        before = os.environ.get("TOKEN")
        os.environ["TOKEN"] = to
        return before

    f = declare(change, Secret.from_dict({"TOKEN": VALUE}))
    assert [f.remote("a"), f.remote("b")] == [VALUE, VALUE]


def test_a_call_made_by_a_worker_has_secrets_too(vault: Vault) -> None:
    vault.put("named", {"TOKEN": VALUE})
    inner = declare(token, Secret.from_name("named"))
    held = declare(token, Secret.from_dict({"TOKEN": "in-memory-456"}))

    def outer() -> list[str | None]:
        return [inner.remote(), held.remote(), os.environ.get("TOKEN")]

    assert declare(outer).remote() == [VALUE, "in-memory-456", None]


def test_a_function_that_is_an_argument_has_its_secrets(vault: Vault) -> None:
    held = declare(token, Secret.from_dict({"TOKEN": VALUE}))

    assert declare(lambda function: function.remote()).remote(held) == VALUE


def test_a_worker_may_make_secrets(vault: Vault) -> None:
    def outer(value: str) -> Any:
        inner = App("inner").function(secrets=[Secret.from_dict({"TOKEN": value})])
        return inner(token).remote()

    assert declare(outer).remote(VALUE) == VALUE


def test_calls_that_follow_a_change_have_the_new_value(vault: Vault) -> None:
    f = declare(token, Secret.from_name("named"), max_containers=3, concurrent_requests=2)
    for number in range(8):
        vault.put("named", {"TOKEN": f"value-{number}"})
        assert {job.wait() for job in [f.spawn(), f.spawn(), f.spawn()]} == {f"value-{number}"}


def test_a_change_leaves_calls_that_run_alone(vault: Vault, tmp_path: Path) -> None:
    vault.put("named", {"TOKEN": "old-value"})
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)

    def wait() -> str | None:
        if os.environ["TOKEN"] == "old-value":
            fifo.read_bytes()
        return os.environ.get("TOKEN")

    f = declare(wait, Secret.from_name("named"), max_containers=2)
    running = f.spawn()
    gate = os.open(fifo, os.O_WRONLY)  # somebody reads: it has begun
    vault.put("named", {"TOKEN": "new-value"})

    assert f.remote() == "new-value"
    os.close(gate)
    assert running.wait() == "old-value"


def test_a_retry_after_a_change_has_the_new_value(vault: Vault, tmp_path: Path) -> None:
    vault.put("named", {"TOKEN": "old-value"})
    program = [sys.executable, "-m", "apothic.cli", "secret", "set", "named", "TOKEN", "-"]

    def rotate() -> str:
        if os.environ["TOKEN"] == "old-value":
            subprocess.run(program, input=b"new-value", check=True, capture_output=True)
            raise ValueError("again")
        return os.environ["TOKEN"]

    assert declare(rotate, Secret.from_name("named"), retries=1).remote() == "new-value"


def test_a_missing_secret_is_an_error_of_its_own_type(vault: Vault) -> None:
    with pytest.raises(SecretNotFound, match="apothic secret set named TOKEN") as caught:
        declare(token, Secret.from_name("named", ["TOKEN"])).remote()
    assert caught.value.code == "secret_not_found"


def test_a_function_in_a_module_is_declared_again_by_its_worker(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(f"TOKEN={VALUE}\n", "utf-8")
    (tmp_path / "declares_secrets.py").write_text(
        "import os\nfrom apothic import App, Secret\napp = App('m')\n"
        "@app.function(secrets=[Secret.from_dotenv()])\n"
        "def inner():\n    return os.environ['TOKEN']\n"
        "@app.function\ndef outer():\n    return inner.remote()\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)

    assert import_module("declares_secrets").outer.remote() == VALUE


# --- what people see ------------------------------------------------------------------------------


def printed(function: Any, **options: Any) -> str:
    """What a job of a function with the secret prints."""
    job = declare(function, Secret.from_dict({"TOKEN": VALUE}), **options).spawn()
    job.wait()
    return str(job.logs())


def test_what_programs_below_print_is_hidden(vault: Vault) -> None:
    def shell() -> None:
        print("python", end=" ", flush=True)
        write = 'printf "%s" "$TOKEN" | cut -c1-6 | tr -d "\\n"; echo "${TOKEN#??????}"'
        subprocess.run(["sh", "-c", write], check=True)
        os.write(2, os.environ["TOKEN"].encode() + b"\n")

    text = printed(shell)
    assert text.count("***") == 2
    assert VALUE not in text


def test_a_value_at_the_edge_of_every_read_is_hidden(vault: Vault) -> None:
    def fill() -> None:
        for size in range(65536 - 40, 65536):
            print("." * size + os.environ["TOKEN"])

    text = printed(fill)
    assert VALUE[:8] not in text
    assert text.count("***") >= 7


def test_each_of_several_calls_of_a_process_has_texts_of_its_own(vault: Vault) -> None:
    def halves() -> None:
        import threading

        token = os.environ["TOKEN"]
        for half in (token[:6], token[6:]):
            print(half, end="", flush=True)
            threading.Event().wait(0.01)
        print("|")

    f = declare(halves, Secret.from_dict({"TOKEN": VALUE}), concurrent_requests=4)
    jobs = [f.spawn() for _ in range(8)]
    for job in jobs:
        job.wait()

    assert {job.logs() for job in jobs} == {"***|\n"}


def test_what_was_held_back_is_told_of_a_process_that_died(vault: Vault) -> None:
    def die() -> None:
        print(os.environ["TOKEN"][:5], end="", flush=True)
        os._exit(3)

    job = declare(die, Secret.from_dict({"TOKEN": VALUE})).spawn()
    with pytest.raises(WorkerLost):
        job.wait()

    assert job.logs() == VALUE[:5]


def test_text_of_a_generator_is_hidden_between_its_items(vault: Vault) -> None:
    def items() -> Any:
        print(os.environ["TOKEN"][:6], end="", flush=True)
        yield 1
        print(os.environ["TOKEN"][6:], flush=True)
        yield 2

    given = declare(items, Secret.from_dict({"TOKEN": VALUE})).remote_gen()

    assert list(given) == [1, 2]
    assert Job.from_id(given.job_id).logs() == "***\n"


def test_the_command_line_hides_results_and_errors(vault: Vault, tmp_path: Path) -> None:
    vault.put("named", {"TOKEN": VALUE})
    (tmp_path / "leaks.py").write_text(
        "import os\nfrom apothic import App, Secret\napp = App('m')\n"
        "@app.function(secrets=[Secret.from_name('named')])\n"
        "def leak(fail: bool = False):\n"
        "    print(os.environ['TOKEN'])\n"
        "    if fail: raise ValueError(os.environ['TOKEN'])\n"
        "    return {'token': os.environ['TOKEN'], 'other': 1}\n",
        "utf-8",
    )
    for arguments in ([], ["--fail"], ["--json"], ["--json", "--fail"], ["--watch"], ["--inline"]):
        done = subprocess.run(
            [sys.executable, "-m", "apothic.cli", "run", "leaks.py", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert VALUE not in done.stdout + done.stderr
        assert "***" in done.stdout + done.stderr

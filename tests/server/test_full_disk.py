"""A server whose disk is full: what would add to its state is refused, and all else goes on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from apothic import Queue
from apothic_backends.connection import use
from apothic_backends.model.errors import StoreFull
from apothic_backends.remote.backend import open_remote
from tests.integration.support import wait_until
from tests.server.served import Served, served
from tests.stores.disks import can_mount, fill, small_disk

DISK = 24 << 20
ITEMS = 300


class Full:
    """A server with items, a job that runs and one that waits, and then no room at all."""

    def __init__(self, folder: Path, disk: Path, server: Served) -> None:
        self.disk, self.server = disk, server
        self.gate = folder / "gate"
        os.mkfifo(self.gate)
        server.reply("open-queue", queue="q")
        items = {"items": [{"data": n} for n in range(ITEMS)]}
        server.reply("put-items", queue="q", items=items, count=ITEMS)
        self.function = server.reply(
            "register-function",
            spec={"app_name": "a", "name": "open", "max_containers": 1},
            code={"codec": "ref", "data": "os:open"},
        )
        self.running, self.waiting = self.submit(), self.submit()
        wait_until(lambda: self.status(self.running) == "running")
        self.filler = fill(disk)
        wait_until(lambda: self.put().status == 507)

    def submit(self) -> Any:
        arguments = {"data": {"args": [str(self.gate), os.O_RDONLY]}}
        return self.server.reply("submit-job", function_id=self.function, arguments=arguments)

    def put(self) -> Any:
        value = {"data": "x" * 1000}
        return self.server.call("put-items", queue="q", items={"items": [value]}, count=1)

    def status(self, job: str) -> str:
        return str(self.server.reply("get-job", job_id=job)["status"])

    def ready(self) -> int:
        found = self.server.reply("get-queue", queue="q")["partitions"]
        return int(found[""]["ready"]) if found else 0

    def let_go(self) -> None:
        with self.gate.open("w"):
            pass


if can_mount():

    @pytest.fixture
    def full(tmp_path: Path) -> Iterator[Full]:
        disk = tmp_path / "disk"
        disk.mkdir()
        with (
            small_disk(disk, DISK),
            served(tmp_path, "--grace", "0.5", state=f"sqlite:{disk}") as server,
        ):
            yield Full(tmp_path, disk, server)

    def test_what_makes_room_is_done_as_often_as_there_is_something_to_take(full: Full) -> None:
        before = full.ready()

        for _ in range(ITEMS // 2):
            full.server.reply("take-items", queue="q", timeout_s=0)
        while receipts := full.server.reply("claim-items", queue="q", timeout_s=0)["receipts"]:
            full.server.reply("ack-items", receipts=receipts)

        assert before >= ITEMS
        assert full.ready() == 0
        assert full.put().status == 507

    def test_what_runs_goes_on_and_what_waits_can_be_cancelled(full: Full) -> None:
        full.server.reply("cancel-job", job_id=full.waiting)
        full.let_go()

        assert full.server.reply("wait-job", job_id=full.running)["status"] == "succeeded"
        assert full.status(full.waiting) == "cancelled"

    def test_programs_hear_of_it_by_its_type(full: Full) -> None:
        before: Any = None
        with closing(open_remote(f"http://{full.server.own_host}", full.server.token)) as backend:
            before = use(backend)
            try:
                queue: Queue[Any] = Queue.from_name("q")
                with pytest.raises(StoreFull, match="Free some space"):
                    queue.put(1)
                assert queue.get() == 0
            finally:
                use(before)

    def test_it_ends_in_order_and_starts_again_while_the_disk_is_full(full: Full) -> None:
        full.server.reply("cancel-job", job_id=full.waiting)
        full.let_go()
        full.server.reply("wait-job", job_id=full.running)
        assert full.server.stop() == 0
        fill(full.disk, but=256 << 10, name="more")  # its log is gone

        with served(full.server.home, state=f"sqlite:{full.disk}") as full.server:
            assert full.ready() >= ITEMS
            full.server.reply("take-items", queue="q", timeout_s=0)
            assert full.put().status == 507

    def test_it_goes_on_by_itself_when_there_is_room_again(full: Full) -> None:
        full.filler.unlink()

        assert full.put().status == 200
        assert full.submit()

    @pytest.fixture
    def tight(full: Full) -> Full:
        """The same with room for small things, and for nothing large."""
        full.filler.unlink()
        fill(full.disk, but=6 << 20)
        wait_until(lambda: full.put().status == 200)
        return full

    def test_what_is_too_large_for_the_disk_is_refused_to_who_brings_it(tight: Full) -> None:
        large = {"data": {"args": ["x" * (8 << 20), os.O_RDONLY]}}

        answer = tight.server.call("submit-job", function_id=tight.function, arguments=large)

        assert (answer.status, answer.code) == (507, "store_full")
        assert tight.status(tight.running) == "running"
        assert tight.put().status == 200
        (tight.disk / "filler").unlink()
        assert tight.server.reply("submit-job", function_id=tight.function, arguments=large)

    def test_a_result_that_is_too_large_for_the_disk_fails_its_job_and_no_other(
        tight: Full,
    ) -> None:
        spec = {"app_name": "a", "name": "large"}
        code = {"codec": "ref", "data": "os:urandom"}
        function = tight.server.reply("register-function", spec=spec, code=code)
        arguments = {"data": {"args": [8 << 20]}}

        job = tight.server.reply("submit-job", function_id=function, arguments=arguments)
        ended = tight.server.reply("wait-job", job_id=job)

        assert (ended["status"], ended["error"]["code"]) == ("failed", "store_full")
        assert tight.status(tight.running) == "running"
        tight.let_go()
        assert tight.server.reply("wait-job", job_id=tight.running)["status"] == "succeeded"

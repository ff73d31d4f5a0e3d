"""What every backend tells of what happens."""

from __future__ import annotations

from apothic_backends.model.events import ALL_JOBS, Cursor
from tests.conformance.client import Client, value_of


def nothing() -> None:
    pass


async def test_a_job_is_told_from_queued_to_end(client: Client) -> None:
    job = await client.submit(await client.register(nothing))

    told = await client.events_until(job, await client.beginning(), lambda e: e.event == "job.end")

    assert [e.event for e in told] == ["job.queued", "job.running", "job.result", "job.end"]
    assert told[-1].data["status"] == "succeeded"
    assert {e.data["job_id"] for e in told} == {job}


async def test_a_watch_begins_with_the_next_event(client: Client) -> None:
    f = await client.register(nothing)
    value_of(await client.run(f))
    stream = client.backend.watch(ALL_JOBS)
    second = await client.submit(f)

    async for event in stream:
        assert (event.event, event.data["job_id"]) == ("job.queued", second)
        break


async def test_a_watch_of_all_jobs_has_no_hole(client: Client) -> None:
    f = await client.register(nothing)
    start = await client.beginning()
    jobs = [await client.submit(f) for _ in range(20)]

    told = await client.events_until(
        ALL_JOBS, start, lambda e: e.event == "job.end" and e.data["job_id"] == jobs[-1]
    )

    assert [e.cursor.seq for e in told] == list(
        range(told[0].cursor.seq, told[0].cursor.seq + len(told))
    )


async def test_a_watch_resumes_just_after_a_position(client: Client) -> None:
    job = await client.submit(await client.register(nothing))
    told = await client.events_until(job, await client.beginning(), lambda e: e.event == "job.end")

    again = await client.events_until(job, told[1].cursor, lambda e: e.event == "job.end")

    assert [e.event for e in again] == ["job.result", "job.end"]


async def test_a_position_of_another_history_is_reset(client: Client) -> None:
    told = await client.events_until(ALL_JOBS, Cursor("another", 5), lambda _: True)

    assert (told[0].event, told[0].data["reason"]) == ("stream.reset", "epoch_changed")


async def test_a_position_that_has_not_been_reached_is_reset(client: Client) -> None:
    here = await client.beginning()

    told = await client.events_until(ALL_JOBS, Cursor(here.epoch, 10_000), lambda _: True)

    assert (told[0].event, told[0].data["reason"]) == ("stream.reset", "future_position")


def talk() -> str:
    print("one")
    print("two", end="")
    return "done"


async def test_a_watch_of_a_job_begins_at_its_beginning_and_ends_with_it(client: Client) -> None:
    job = await client.submit(await client.register(nothing))
    await client.wait(job)

    told = [event.event async for event in client.backend.watch(job)]

    assert told == ["job.queued", "job.running", "job.result", "job.end"]


async def test_a_job_that_has_ended_gives_snapshot_result_and_end(client: Client) -> None:
    job = await client.submit(await client.register(nothing))
    await client.wait(job)

    told = [event async for event in client.backend.watch(job, snapshot=True)]

    assert [event.event for event in told] == ["job.snapshot", "job.result", "job.end"]
    assert told[0].data["status"] == "succeeded"


async def test_nothing_follows_the_end_of_a_job(client: Client) -> None:
    job = await client.submit(await client.register(nothing))
    told = [event async for event in client.backend.watch(job)]

    assert [event async for event in client.backend.watch(job, told[-1].cursor)] == []


async def test_what_a_job_prints_is_told_line_by_line(client: Client) -> None:
    job = await client.submit(await client.register(talk))

    told = [e.data["text"] async for e in client.backend.watch(job) if e.event == "job.log"]

    assert told == ["one\n", "two"]


async def test_a_position_that_is_lost_is_followed_by_what_is_now(client: Client) -> None:
    job = await client.submit(await client.register(nothing))
    await client.wait(job)

    told = [event.event async for event in client.backend.watch(job, Cursor("another", 5))]

    assert told == ["stream.reset", "job.snapshot", "job.result", "job.end"]


async def test_an_app_tells_of_its_functions(client: Client) -> None:
    function_id = await client.register(nothing)

    async for event in client.backend.watch("apps:conformance", snapshot=True):
        assert event.event == "app.snapshot"
        assert event.data["functions"]["f1"]["function_id"] == function_id
        break

"""A pool of workers on a queue: nothing is lost, whatever becomes of the workers.

    python examples/worker_pool.py

A hundred numbers are to be checked for primes by four workers. Each claims a number, and what it
has claimed is acknowledged when the answer is in another queue. One worker is killed with a number
in its hands: its lease ends, and somebody else gets the number. One item is no number but a text:
it is tried three times, and is a dead letter then, with what went wrong. It is mended, and put
again.
"""

from __future__ import annotations

import os
import signal

from apothic import App, Empty, Job, Queue, WorkerLost

FIRST = 1_000_000_000_000
COUNT = 100
KILLED_AT = FIRST + 7
NOT_A_NUMBER = str(FIRST + COUNT)

app = App("pool")


def smallest_factor(number: int) -> int:
    if number % 2 == 0:
        return 2
    return next((i for i in range(3, int(number**0.5) + 1, 2) if number % i == 0), number)


@app.function(max_containers=4)
def worker(name: str, tasks: Queue[int], answers: Queue[tuple[int, int]]) -> str:
    """Work until nothing has come for longer than a dead worker's lease."""
    done = 0
    while True:
        try:
            with tasks.claim(lease_s=2, timeout_s=3) as claim:
                number = claim.value
                if number == KILLED_AT and claim.deliveries == 1:
                    os.kill(os.getpid(), signal.SIGKILL)  # power cut, out of memory, a bad day
                answers.put((number, smallest_factor(number)), key=str(number))
                done += 1
        except TypeError:
            pass  # what it had claimed has gone back, with the error
        except Empty:
            return f"{name} has checked {done}"


@app.local_entrypoint()
def main() -> None:
    with Queue.ephemeral(max_deliveries=3) as tasks, Queue.ephemeral() as answers:
        tasks.put_many([*range(FIRST, FIRST + COUNT), NOT_A_NUMBER])
        jobs = [worker.spawn(name, tasks, answers) for name in ("Ada", "Bob", "Cy", "Di")]
        for job in jobs:
            print(outcome(job))
        for letter in tasks.dead_letters():
            print(f"{letter.value!r} was tried {len(letter.deliveries)} times: {letter.error}")
            tasks.put(int(letter.value))
        print(worker.remote("Eve", tasks, answers))

        found: dict[int, int] = dict(answers.get_many(2 * COUNT))
        primes = [number - FIRST for number, factor in sorted(found.items()) if factor == number]
        print(f"{len(found)} numbers are checked; {FIRST:,} + {primes} are primes")


def outcome(job: Job[str]) -> str:
    try:
        return job.wait()
    except WorkerLost as lost:
        return f"one worker was killed (signal {lost.data['signal']})"


if __name__ == "__main__":
    main()

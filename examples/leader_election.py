"""Several workers stand for election, the leader is killed, and another one takes over.

    python examples/leader_election.py

The leader of each term does the work: it counts, and passes the number of its term as the fence of
every write. When the first leader dies in the middle of that, its term ends with its lease, and the
next candidate begins where the work was left. What the dead leader might still have had in the mail
is refused: its fence is old.
"""

from __future__ import annotations

import os
import signal

from apothic import App, Dict, Fenced, Job, WorkerLost

GOAL = 12
DIES_AT = 5

app = App("election")


@app.function(max_containers=3)
def candidate(name: str, board: Dict[str, int]) -> str:
    """Stand for election; count for as long as there is something to count."""
    with board.elect("leader", candidate=name, lease_s=2) as term:
        done = board.get("count", 0)
        for count in range(done + 1, GOAL + 1):
            board.put("count", count, fence=term.number)
            if count == DIES_AT:
                os.kill(os.getpid(), signal.SIGKILL)  # power cut, out of memory, a bad day
    return f"{name} counted {GOAL - done}"


@app.local_entrypoint()
def main() -> None:
    with Dict.ephemeral() as board:
        board["count"] = 0
        terms = board.observe("leader", snapshot=False)
        jobs = {name: candidate.spawn(name, board) for name in ("Ada", "Bob", "Cleo")}

        first = next(terms).data
        print(f"{first['holder']} leads, in term {first['rev']}")
        lost = next(terms).data
        print(f"{lost['holder']}'s term has ended: {lost['op']}")
        second = next(terms).data
        print(f"{second['holder']} leads, in term {second['rev']}")

        try:
            board.put("count", 0, fence=first["rev"])
        except Fenced as refused:
            print(f"a late write of {first['holder']}: {refused.code}")

        for name, job in jobs.items():
            print(f"{name}: {end_of(job)}")
        print(f"counted to {board['count']}")


def end_of(job: Job[str]) -> str:
    """What a candidate has to say, if it lives."""
    try:
        return job.wait()
    except WorkerLost as error:
        return f"killed in office (signal {error.data['signal']})"


if __name__ == "__main__":
    main()

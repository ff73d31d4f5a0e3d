"""Arguments and results of a hundred megabytes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import pickle, re, threading, time
from apothic import App
app = App("payloads")
MB = 1 << 20

@app.function(max_containers=2)
def size(data): return len(memoryview(data))

@app.function()
def make(n): return pickle.PickleBuffer(bytearray(n))

def peak_kb(): return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1])

if __name__ == "__main__":
    size.remote(b""), make.remote(1)
    {body}
"""


def run(folder: Path, body: str) -> str:
    script = folder / "script.py"
    script.write_text(PROGRAM.format(body=body.replace("\n", "\n    ")))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_a_large_argument_is_not_copied_in_the_caller(tmp_path: Path) -> None:
    body = """
data = bytearray(100 * MB)
before = peak_kb()
assert size.remote(pickle.PickleBuffer(data)) == 100 * MB
print((peak_kb() - before) // 1024)
"""
    assert int(run(tmp_path, body)) < 20


def test_a_large_result_takes_its_own_size_in_the_caller(tmp_path: Path) -> None:
    body = """
before = peak_kb()
assert len(make.remote(100 * MB)) == 100 * MB
print((peak_kb() - before) // 1024)
"""
    assert int(run(tmp_path, body)) <= 120


def test_a_large_argument_to_one_worker_does_not_hold_up_calls_to_others(tmp_path: Path) -> None:
    body = """
@app.function()
def quick(n): return n
quick.remote(0)
class Slow:
    def __reduce__(self): return time.sleep, (0.5,)
slow = Slow()
@app.function()
def starting(data): return slow, len(memoryview(data))
big = threading.Thread(target=starting.remote, args=(pickle.PickleBuffer(bytearray(100 * MB)),))
big.start()
calls = 0
while big.is_alive():
    assert quick.remote(calls) == calls
    calls += 1
print(calls)
"""
    assert int(run(tmp_path, body)) > 20


def test_the_buffers_of_a_result_may_be_written(tmp_path: Path) -> None:
    body = """
data = make.remote(MB)
data[0] = 7
print(data[0])
"""
    assert run(tmp_path, body) == "7"

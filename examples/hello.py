"""A function in another process: `python examples/hello.py` or `apothic run examples/hello.py`."""

from __future__ import annotations

import os

from apothic import App

app = App("hello")


@app.function(max_containers=2)
def greet(name: str) -> str:
    return f"Hello, {name}, from process {os.getpid()}!"


@app.local_entrypoint()
def main() -> None:
    print(greet.remote("world"))
    print(*greet.map(["Ada", "Grace", "Barbara"]), sep="\n")


if __name__ == "__main__":
    main()

"""The smallest program: one function, called once in another process."""

import sys

from apothic import App

app = App("hello")


@app.function()
def hello(name: str) -> str:
    """Greet."""
    return f"hello {name}"


if __name__ == "__main__":
    print(hello.remote("world"), flush=True)
    if "stay" in sys.argv:
        sys.stdin.read()

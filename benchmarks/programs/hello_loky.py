"""The smallest program: one function, called once in another process."""

import sys

from loky import ProcessPoolExecutor


def hello(name: str) -> str:
    """Greet."""
    return f"hello {name}"


if __name__ == "__main__":
    with ProcessPoolExecutor(max_workers=1) as pool:
        print(pool.submit(hello, "world").result(), flush=True)
        if "stay" in sys.argv:
            sys.stdin.read()

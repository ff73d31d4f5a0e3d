"""The smallest program: one function, called once in another process."""

import logging
import sys

import ray


@ray.remote
def hello(name: str) -> str:
    """Greet."""
    return f"hello {name}"


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, logging_level=logging.ERROR)
    print(ray.get(hello.remote("world")), flush=True)
    if "stay" in sys.argv:
        sys.stdin.read()
    ray.shutdown()

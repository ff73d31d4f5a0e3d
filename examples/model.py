"""A model that is loaded once and remembers what it has learned: `python examples/model.py`.

Each call of `greetings` is a call of one object in one process, in order. It is ended in order too,
so what it has learned is there for the next one.
"""

from __future__ import annotations

import apothic
from apothic import App, Dict

app = App("model")


@app.cls(max_restarts=3)
class Model:
    """Counts words; `name` says under what it keeps them."""

    name: str = "words"

    @apothic.enter()
    def load(self) -> None:
        """Before the first call: what a larger model would take long for."""
        self.kept: Dict[str, dict[str, int]] = Dict.from_name("models", create_if_missing=True)
        self.counts = self.kept.get(self.name) or {}
        print(f"loaded, with {len(self.counts)} words")

    @apothic.method()
    def learn(self, text: str) -> int:
        """Count the words of a text; how many different ones it knows now."""
        for word in text.lower().split():
            self.counts[word] = self.counts.get(word, 0) + 1
        return len(self.counts)

    @apothic.method()
    def most(self, count: int) -> list[tuple[str, int]]:
        """The words that it has seen most often."""
        return sorted(self.counts.items(), key=lambda it: (-it[1], it[0]))[:count]

    @apothic.exit()
    def save(self) -> None:
        """After the last call."""
        self.kept[self.name] = self.counts


@app.local_entrypoint()
def main() -> None:
    greetings = Model.named("greetings")
    for text in ("Hello world", "hello Ada", "hello again world"):
        print(f"{greetings.learn.remote(text)} words after {text!r}")
    Model.stop("greetings")
    print("after a new start:", greetings.most.remote(2))


if __name__ == "__main__":
    main()

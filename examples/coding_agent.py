"""A coding agent in a sandbox: `python examples/coding_agent.py`.

What an agent writes is run where it can do no harm: it writes a file, runs the tests, reads the
report, and tries again until they pass. Here the agent is a list of attempts; yours is a model.
"""

from __future__ import annotations

from apothic import App, Sandbox

app = App("coding-agent")
workspace = app.sandbox("coder", memory_mb=512, pids=64, network=False, timeout_s=600)

TESTS = """
import unittest

from slugs import slug


class Slugs(unittest.TestCase):
    def test_words_are_joined(self):
        self.assertEqual(slug("Hello World"), "hello-world")

    def test_marks_are_left_out(self):
        self.assertEqual(slug("What's new?"), "whats-new")


unittest.main()
"""

FIRST = """
def slug(text):
    return text.lower().replace(" ", "-")
"""

SECOND = """
def slug(text):
    kept = "".join(it for it in text.lower() if it.isalnum() or it == " ")
    return "-".join(kept.split())
"""


def attempt(box: Sandbox, code: str) -> bool:
    """Put the code in place, run the tests, and read what they say."""
    box.files.write_text("/workspace/slugs.py", code)
    tests = box.exec("python3", "test_slugs.py", timeout_s=60)
    passed = tests.wait() == 0
    for line in tests.stderr:
        if line.startswith(("FAIL", "Ran", "OK", "AssertionError")):
            print(f"    {line.rstrip()}")
    return passed


@app.local_entrypoint()
def main() -> None:
    with workspace.create(tags={"task": "slugs"}) as box:
        print(f"isolated by {box.isolation().level}")
        box.files.write_text("/workspace/test_slugs.py", TESTS)
        for number, code in enumerate((FIRST, SECOND), 1):
            print(f"attempt {number}")
            if attempt(box, code):
                break
        shell = box.session()
        shell.run("mkdir -p done && cp slugs.py done/ && cd done")
        print("kept:", shell.run("ls").stdout.strip())


if __name__ == "__main__":
    main()

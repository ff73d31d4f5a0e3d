"""An app with one function, declared and not called."""

from apothic import App

app = App("hello")


@app.function()
def hello(name: str) -> str:
    """Greet."""
    return f"hello {name}"

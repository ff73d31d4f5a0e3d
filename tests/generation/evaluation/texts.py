"""Texts are cleaned, cut and read."""

from __future__ import annotations

from tests.generation.evaluation.cases import case


@case(
    examples=[((" READY ",), "status:ready")],
    hidden=[(("Done",), "status:done"), (("\tA b\n",), "status:a b"), (("",), "status:")],
)
def normalize_status(status: str) -> str:
    """Return exactly `status:` followed by the lowercase input stripped of outer whitespace."""
    raise NotImplementedError


@case(
    examples=[(("Crème brûlée!",), "creme-brulee"), (("one two three", 8), "one-two")],
    hidden=[
        (("  --A__B--  ",), "a-b"),
        (("ÀÉÎ 1,5",), "aei-1-5"),
        (("!!!",), ""),
        (("abc def", 3), "abc"),
        (("abc def", 4), "abc"),
    ],
)
def slugify(title: str, max_length: int = 60) -> str:
    """Make a title fit for a URL.

    Accents are dropped, letters are lower case, and every run of other characters than the letters
    a-z and digits becomes one hyphen. It neither begins nor ends with a hyphen, and is at most
    `max_length` characters long, which are simply cut (and no hyphen is left at the end then).
    """
    raise NotImplementedError


@case(
    examples=[(("one two three", 10), "> one two\n> three")],
    hidden=[
        (("a b", 80), "> a b"),
        (("a\n\nb", 80), "> a\n>\n> b"),
        (("", 80), ""),
    ],
)
def quoted(text: str, width: int) -> str:
    """Quote a text as e-mail does, each line with `> ` before it.

    Lines of the text are broken between words so that each, with its mark, is at most `width`
    characters long. An empty line becomes `>` with no blank after it. Of an empty text there is
    nothing.
    """
    raise NotImplementedError


@case(
    examples=[(("ada@example.org",), "a***@example.org")],
    hidden=[
        (("x@y",), "x***@y"),
        (("a@b@c",), "a***@c"),
        (("nobody",), "raises ValueError"),
        (("@host",), "raises ValueError"),
    ],
)
def mask_email(address: str) -> str:
    """Keep the first character and, from the last @ on, the domain; `***` is between them.

    Raises ValueError if there is no @, or nothing before or after it.
    """
    raise NotImplementedError


@case(
    examples=[(("The cat, the dog.",), {"the": 2, "cat": 1, "dog": 1})],
    hidden=[((("Don't don't DO"),), {"don't": 2, "do": 1}), (("... 42",), {}), (("",), {})],
)
def word_counts(text: str) -> dict[str, int]:
    """How often each word occurs, in lower case. Words are of letters a-z and apostrophes."""
    raise NotImplementedError


@case(
    examples=[(("https://x.org/?a=1&b=2&a=3",), {"a": ["1", "3"], "b": ["2"]})],
    hidden=[
        (("/p?q=%C3%A9+x&empty=#f",), {"q": ["é x"], "empty": [""]}),
        (("https://x.org/",), {}),
    ],
)
def query_of(url: str) -> dict[str, list[str]]:
    """The parameters of a URL's query, decoded, each with all of its values, empty ones too."""
    raise NotImplementedError


@case(
    examples=[(("a\u200bb",), "ab")],
    hidden=[
        (("\ufeffx\u2060y\u200d",), "xy"),
        (("plain é",), "plain é"),
        (("a\u200cb c",), "ab c"),
    ],
)
def without_invisible(text: str) -> str:
    """A text without zero-width characters: U+200B, U+200C, U+200D, U+2060 and U+FEFF."""
    raise NotImplementedError

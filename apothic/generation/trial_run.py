"""Runs one example of a generated function: the program that `trials` has run in a sandbox.

It is of the standard library alone, and shipped as text. What to run comes by standard input, and
the report goes to where errors went, both as JSON; standard output has what the function prints.
"""

from __future__ import annotations

import ast
import json
import linecache
import os
import resource
import sys
import traceback
import types
import typing
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from itertools import islice
from typing import Any, NoReturn

FILE = "<generated>"
MOST_ITEMS = 1_000
"""How many items of a generator are taken."""

_NOT_EVALUATED = annotations.compiler_flag
"""Annotations are looked at after the call, as far as that can be done."""

_MOST_FILE_BYTES = 64 << 20
_MOST_TOLD = 4_000
_MOST_SHOWN = 500
_MOST_SAID = 1_500
_FRAMES = 5
_NOT_HERE = (
    " - it is not there where examples are tried: on this machine, without the files of the "
    "project; install it here, or leave the trials out with sandbox=False"
)
_NUMBERS: dict[Any, tuple[type, ...]] = {float: (float, int), complex: (complex, float, int)}
"""What may stand where these are asked for, as type checkers have it."""


def main() -> None:
    """Run what is asked for, report, and end at once, whatever was left running."""
    report = os.dup(2)
    os.dup2(1, 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (_MOST_FILE_BYTES, _MOST_FILE_BYTES))
    wanted = json.loads(sys.stdin.buffer.read())
    said = json.dumps(outcome(**wanted)).encode()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os.write(report, said)
        os._exit(0)


def outcome(code: str, name: str, example: str) -> dict[str, Any]:
    """What came of it: the `error`, if any, and whether the code could be loaded at all.

    The example is "None" where that is all there is to find out.
    """
    try:
        function = load(code, name)
    except BaseException as error:
        return {"is_loaded": False, "error": f"it cannot be loaded: {told(error)}"}
    wanted = ast.literal_eval(example)
    if wanted is None:
        return {"is_loaded": True, "error": None}
    args, kwargs, expected, is_exact = wanted
    try:
        error = tried(function, args, kwargs, (expected,) if is_exact else ())
    except BaseException as raised:
        error = f"it raised {told(raised)}"
    return {"is_loaded": True, "error": error and error[:_MOST_TOLD]}


def load(code: str, name: str) -> Callable[..., Any]:
    """The function, from a module of its own; tracebacks know its lines.

    What cannot be imported is missing where it is used, and no earlier: it may be in the image of
    the function, or only its signature may need it.
    """
    module = types.ModuleType("generated")
    sys.modules[module.__name__] = module
    linecache.cache[FILE] = (len(code), None, code.splitlines(keepends=True), FILE)
    for statement in ast.parse(code, FILE).body:
        step = compile(ast.Module([statement], []), FILE, "exec", _NOT_EVALUATED)
        try:
            exec(step, module.__dict__)
        except ImportError as error:
            for bound in _bound_by(statement):
                setattr(module, bound, _Missing(error))
    found: Callable[..., Any] = getattr(module, name)
    return found


def _bound_by(statement: ast.stmt) -> list[str]:
    names: list[ast.alias] = getattr(statement, "names", [])
    return [it.asname or it.name.partition(".")[0] for it in names]


class _Missing:
    """Stands for what an import would have brought."""

    def __init__(self, error: ImportError) -> None:
        self.__error = error

    def __getattr__(self, name: str) -> NoReturn:
        raise self.__error.with_traceback(None)

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise self.__error.with_traceback(None)


def tried(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    expected: tuple[Any, ...],
) -> str | None:
    """What is wrong with a call of it; `expected` is empty, or has what it should return."""
    hint = _hint_of(function)
    result = function(*args, **kwargs)
    if _is(result, types.CoroutineType):
        import asyncio  # few need it  # noqa: PLC0415

        result = asyncio.run(result)
    wrong = misfit(result, hint, "it returned")
    if wrong is None and (_is(result, Iterator) or _is(result, AsyncIterator)):
        result, hint = _items(result), list[(*typing.get_args(hint), Any)[0]]
        wrong = misfit(result, hint, "it yielded")
    if wrong is None and expected and result != expected[0]:
        wrong = f"it returned {shown(result)}, but {shown(expected[0])} is expected"
    return wrong


def _hint_of(function: Callable[..., Any]) -> Any:
    """What it says that it returns; what cannot be found out is anything."""
    try:
        return typing.get_type_hints(function).get("return", Any)
    except Exception:
        return Any


def _items(stream: Any) -> list[Any]:
    if _is(stream, Iterator):
        return [*islice(stream, MOST_ITEMS)]
    import asyncio  # as above  # noqa: PLC0415

    return asyncio.run(_awaited(stream))


async def _awaited(stream: AsyncIterator[Any]) -> list[Any]:
    found: list[Any] = []
    async for item in stream:
        found.append(item)
        if len(found) == MOST_ITEMS:
            break
    return found


# --- types ----------------------------------------------------------------------------------------


def misfit(value: Any, hint: Any, at: str) -> str | None:
    """What keeps a value from being what a type hint says; what is not known here fits."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        is_one = any(misfit(value, one, at) is None for one in args)
    elif origin is typing.Literal:
        is_one = any(value == one and type(value) is type(one) for one in args)
    elif typing.is_typeddict(hint):
        return _misfit_of_fields(value, hint, at)
    else:
        is_one = _is(value, origin or hint)
    if not is_one:
        return f"{at} {shown(value)}, which is no {_named(hint)}"
    return _misfit_of_parts(value, origin, args, at)


def _is(value: Any, kind: Any) -> bool:
    if kind is None:
        return value is None
    kinds: Any = _NUMBERS.get(kind, kind)
    try:
        return isinstance(value, kinds)
    except TypeError:
        return True  # a type variable, or something else that cannot be asked


def _misfit_of_fields(value: Any, hint: Any, at: str) -> str | None:
    fields = typing.get_type_hints(hint)
    if not _is(value, dict):
        return f"{at} {shown(value)}, which is no {_named(hint)}"
    missing, more = hint.__required_keys__ - value.keys(), value.keys() - fields.keys()
    if missing:
        return f"{at} {shown(value)}, a {_named(hint)} without {', '.join(sorted(missing))}"
    if more:
        return f"{at} {shown(value)}, a {_named(hint)} with {shown(more)} beside its own"
    return _first(
        misfit(it, fields[key], _inside(at, f"[{key!r}] is")) for key, it in value.items()
    )


def _misfit_of_parts(value: Any, origin: Any, args: tuple[Any, ...], at: str) -> str | None:
    """The first of its items that is not what it should be."""
    if not isinstance(origin, type) or not args or not _is(value, Collection):
        return None
    if _is(value, Mapping):
        return _misfit_of_pairs(value, args, at)
    if origin is not tuple or args[-1] is ...:
        hints = args[:1] * len(value)
    elif len(value) == len(args):
        hints = args
    else:
        return f"{at} {shown(value)}, which has {len(value)} items, not {len(args)}"
    pairs = enumerate(zip(value, hints, strict=True))
    return _first(misfit(it, hint, _inside(at, f"item {i} is")) for i, (it, hint) in pairs)


def _misfit_of_pairs(value: Mapping[Any, Any], args: tuple[Any, ...], at: str) -> str | None:
    if len(args) != 2:  # noqa: PLR2004 - of keys, and of values
        return None
    wrong = _first(misfit(key, args[0], _inside(at, "it has the key")) for key in value)
    return wrong or _first(
        misfit(it, args[1], _inside(at, f"[{shown(key)}] is")) for key, it in value.items()
    )


def _inside(at: str, what: str) -> str:
    """Where something is, as one reads it: "it returned item 1 is" would be hard to."""
    return f"{at.removesuffix(' is')}: {what}"


def _first(found: Iterator[str | None]) -> str | None:
    return next((one for one in found if one is not None), None)


def _named(hint: Any) -> str:
    if hint is None:
        return "None"
    return hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")


# --- what is said of it ---------------------------------------------------------------------------


def shown(value: Any) -> str:
    """A value as Python writes it, bounded."""
    try:
        text = repr(value)
    except Exception as error:
        text = f"<{type(value).__name__} whose repr() raises {type(error).__name__}>"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def told(error: BaseException) -> str:
    """An exception, and where in the generated code it came from."""
    what = "".join(traceback.format_exception_only(error)).strip()[:_MOST_SAID]
    if isinstance(error, ImportError):
        what += _NOT_HERE
    frames = [it for it in traceback.extract_tb(error.__traceback__) if it.filename == FILE]
    lines = [f"  line {it.lineno}, in {it.name}: {it.line}"[:200] for it in frames[-_FRAMES:]]
    return "\n".join([what, *lines])


if __name__ == "__main__":
    main()

"""Where this user's packages come from, for the commands of a build, and for nobody afterwards.

The classic builder knows no secrets. What it does not write into layers and their history is the
predefined arguments, those of proxies; so `ftp_proxy` carries, as a line of shell, the settings of
pip and uv, which may have passwords in them. Only commands that install packages read it.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping

from apothic_backends.images import pip

_PROXIES = ("http_proxy", "https_proxy", "no_proxy")
_CARRIER = "ftp_proxy"
_READ = f'eval "${_CARRIER}"; '
_READ_JSON = _READ.replace('"', r"\"")
_PIP = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
_UV = re.compile(r"UV_(DEFAULT_INDEX|INDEX(_.*)?|EXTRA_INDEX_URL|INSECURE_HOST|HTTP_TIMEOUT)")
_INSTALLS = r"(?=.*\b(?:pip3?|uv)\b)"
_USERS = re.compile(r"://([^/@\s'\"]+)@")
_SHELL = re.compile(rf"(?mi)^(RUN\s+)(?=[^\[\s<-]){_INSTALLS}")
_EXEC = re.compile(rf'(?mi)^(RUN\s+\["/bin/sh", "-c", "){_INSTALLS}')


def arguments(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The arguments of a build: proxies, and what `reading` has commands read."""
    given = {name: environ.get(name) or environ.get(name.upper()) or "" for name in _PROXIES}
    given |= {name.upper(): value for name, value in given.items()}
    settings = settings_of(environ)
    if settings:
        words = [f"{name}={shlex.quote(value)}" for name, value in settings.items()]
        given[_CARRIER] = f"export {' '.join(words)}"
    return {name: value for name, value in given.items() if value}


def passwords(given: Mapping[str, str]) -> list[str]:
    """Who is named in addresses among these arguments, with passwords: nobody is to see them."""
    return [who for value in given.values() for who in _USERS.findall(value)]


def reading(dockerfile: str) -> str:
    """The text, in which commands that install packages know where from."""
    in_shell = _SHELL.sub(lambda found: found[1] + _READ, dockerfile)
    return _EXEC.sub(lambda found: found[1] + _READ_JSON, in_shell)


def without_reading(text: str) -> str:
    """A line of a build's output as its author has written it."""
    return text.replace(_READ_JSON, "").replace(_READ, "")


def settings_of(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of pip and uv: from the environment, and else from pip's files.

    Places on this machine's disk are left out, since a build has another one.
    """
    told = pip.told(environ)
    found = {name: told[name] for name in _PIP if name in told}
    of_uv = {**pip.for_uv(environ), **environ}
    found |= {name: value for name, value in of_uv.items() if _UV.fullmatch(name)}
    return {name: v for name, value in found.items() if (v := _reachable(value))}


def _reachable(value: str) -> str:
    return " ".join(word for word in value.split() if not word.startswith(("file:", "/")))

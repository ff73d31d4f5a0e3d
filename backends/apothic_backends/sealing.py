"""Seals bytes under a key of this user: out of the desktop's keyring, or of a file beside them.

The keyring is asked only where one runs (the extra `secrets` brings `keyring`), and never waited
for longer than a few seconds: nobody may be there who could answer its prompt. A file protects
against backups and stray copies of the store, not against who can read this user's files.
`APOTHIC_SECRETS_KEY` says `keyring` or `file` where the choice is not to be ours.
"""

from __future__ import annotations

import base64
import os
import stat
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apothic_backends.model.errors import SecretStoreRefused

VARIABLE = "APOTHIC_SECRETS_KEY"
FILE, KEYRING = "file", "keyring"
_SERVICE = "apothic"
_KEY_BYTES, _NONCE_BYTES = 32, 12
_PATIENCE_S = 5.0
_RECOMMENDED = 1
"""From this priority on, `keyring` itself recommends a keyring; those below may ask a terminal."""


class Seal:
    """One key, with which bytes are sealed and opened."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import (  # 50 ms  # noqa: PLC0415
            AESGCM,
        )

        self._cipher = AESGCM(key)

    def close(self, data: bytes, about: bytes) -> str:
        """Seal bytes; they can be opened only as the same thing."""
        nonce = os.urandom(_NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, data, about)).decode()

    def open(self, sealed: str, about: bytes) -> bytes:
        """What was sealed.

        Raises:
            SecretStoreRefused: it was changed, or sealed with another key.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - as above

        try:
            data = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], about)
        except (InvalidTag, ValueError) as error:
            raise SecretStoreRefused(
                "a secret was sealed with another key than the one that is there now, or was "
                "changed; set it again with `apothic secret set NAME`"
            ) from error


def choose() -> str:
    """Where the key of a new store goes.

    Raises:
        SecretStoreRefused: the environment wants a keyring and none works, or something else.
    """
    wanted = os.environ.get(VARIABLE, "")
    if wanted not in ("", FILE, KEYRING):
        raise SecretStoreRefused(f"{VARIABLE}={wanted!r}: it is {KEYRING!r} or {FILE!r}")
    if wanted == FILE:
        return FILE
    if _works():
        return KEYRING
    if wanted == KEYRING:
        raise SecretStoreRefused(
            f"{VARIABLE}={KEYRING!r}, but no keyring answers here; install apothic[secrets], or "
            f"set it to {FILE!r}"
        )
    return FILE


def seal_of(kind: str, key_id: str, path: Path, *, create: bool) -> Seal:
    """The seal of a store, with the key that it has, or with a new one if it may.

    Raises:
        SecretStoreRefused: the key is not there, or lies where others can read it.
    """
    key = _from_keyring(key_id, create=create) if kind == KEYRING else _from_file(path, create)
    if key is None or len(key) != _KEY_BYTES:
        where = "the keyring of this desktop" if kind == KEYRING else str(path)
        raise SecretStoreRefused(
            f"{where} has no key for the secrets in {path.parent}, so they cannot be read. Bring "
            "the key back, or delete secrets.json there and set them again"
        )
    return Seal(key)


def read_private(path: Path) -> bytes | None:
    """What is in a file that only its owner can read; None if there is none.

    Raises:
        SecretStoreRefused: others can read or write it, or it is somebody else's, or a link.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SecretStoreRefused(f"{path} cannot be read: {error.strerror}") from error
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        if found.st_uid != os.geteuid():
            raise SecretStoreRefused(
                f"{path} belongs to user {found.st_uid}; delete it, or name another directory "
                "with APOTHIC_HOME"
            )
        if stat.S_IMODE(found.st_mode) & 0o077 or not stat.S_ISREG(found.st_mode):
            raise SecretStoreRefused(
                f"{path} can be read by others (mode {stat.S_IMODE(found.st_mode):04o}), so what "
                f"is in it may be known. Close it with `chmod 600 {path}`, and set the secrets anew"
            )
        return file.read()


def write_private(path: Path, data: bytes) -> None:
    """Have exactly this in a file that only its owner can read, or else what was there before.

    Whoever calls has a lock: the new file has one name.
    """
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _from_file(path: Path, create: bool) -> bytes | None:  # noqa: FBT001 - private
    found = read_private(path)
    if found is None and create:
        write_private(path, base64.b64encode(os.urandom(_KEY_BYTES)) + b"\n")
        found = read_private(path)
    try:
        return None if found is None else base64.b64decode(found.strip(), validate=True)
    except ValueError:
        return None


# --- the desktop's keyring ------------------------------------------------------------------------


def _works() -> bool:
    """Whether a keyring is there that keeps what it is given, without asking a terminal."""
    is_linux = sys.platform.startswith("linux")
    if is_linux and not os.environ.get("DBUS_SESSION_BUS_ADDRESS"):
        return False

    def look() -> bool:
        ring = _keyring()
        return ring is not None and float(ring.get_keyring().priority) >= _RECOMMENDED

    return bool(_in_time(look))


def _from_keyring(key_id: str, *, create: bool) -> bytes | None:
    def ask() -> str | None:
        ring = _keyring()
        if ring is None:
            return None
        known: str | None = ring.get_password(_SERVICE, key_id)
        if known is None and create:
            made = base64.b64encode(os.urandom(_KEY_BYTES)).decode()
            ring.set_password(_SERVICE, key_id, made)
            known = ring.get_password(_SERVICE, key_id)
        return known

    found = _in_time(ask)
    try:
        return None if found is None else base64.b64decode(found, validate=True)
    except ValueError:
        return None


def _keyring() -> Any:
    try:
        import keyring  # an extra  # noqa: PLC0415
    except ImportError:
        return None
    return keyring


def _in_time(ask: Callable[[], Any]) -> Any:
    """What a keyring answers; None if it refuses, or lets us wait."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask())
        except Exception:  # noqa: BLE001 - each keyring has its own errors, and all mean "no"
            return

    thread = threading.Thread(target=run, name="apothic-keyring", daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return answers[0] if answers else None

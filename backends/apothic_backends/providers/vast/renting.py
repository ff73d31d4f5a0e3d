"""What is sent to Vast to rent an offer: pure."""

from __future__ import annotations

from typing import Any, Final

from apothic_backends.providers.base import Login, Mount, Order, ProviderError

LEAST_DISK_GB: Final = 8.0
_SPECIAL: Final = {*" \t\r\n\"'\\`$&|;<>()"}
MOST_OF_A_VARIABLE, MOST_OF_ARGUMENTS, MOST_OF_A_LABEL = 256, 4096, 60


def body_of(order: Order) -> dict[str, Any]:
    """A machine that runs the image's entrypoint with our arguments, or nothing at all.

    Raises:
        ProviderError: Vast would not take it; values of variables are not shown.
    """
    _check(order)
    login = {} if order.login is None else {"image_login": _login(order.login)}
    volume = {} if order.volume is None else {"volume_info": _mounting(order.volume)}
    return {
        **login,
        **volume,
        "client_id": "me",
        "image": order.image,
        "disk": max(order.disk_gb, LEAST_DISK_GB),
        "env": {**order.env},
        "runtype": "args",
        "args": [*order.argv],
        "label": order.tag,
        "target_state": "running",
        "cancel_unavail": True,  # else a machine may be left that is stopped, queued, and paid for
    }


def _mounting(volume: Mount) -> dict[str, Any]:
    """A volume that is there already, and lies on the machine of the offer."""
    its = {"volume_id": int(volume.provider_id), "mount_path": volume.path}
    return {"create_new": False, **its}


def secrets_of(order: Order) -> list[str]:
    """What of an order nobody is to be shown."""
    return [*order.env.values(), *([order.login.password] if order.login else [])]


def _login(its: Login) -> str:
    """As options of `docker login`; nothing in it may be taken for another one.

    Raises:
        ProviderError: something may; it is not shown.
    """
    words = its.user, its.password, its.host
    if any(not word or word.startswith("-") or set(word) & _SPECIAL for word in words):
        raise ProviderError(
            f"the name or password for the registry {its.host} has signs that Vast would take for "
            "something else: nothing was rented",
            provider="vast",
        )
    return f"-u {its.user} -p {its.password} {its.host}"


def _check(order: Order) -> None:
    for name, value in order.env.items():
        if len(name) + len(value) > MOST_OF_A_VARIABLE:
            raise _too_long(f"the variable {name}", MOST_OF_A_VARIABLE)
    if sum(map(len, order.argv)) > MOST_OF_ARGUMENTS:
        raise _too_long("the program's arguments", MOST_OF_ARGUMENTS)
    if len(order.tag) > MOST_OF_A_LABEL:
        raise _too_long("the tag", MOST_OF_A_LABEL)
    if not order.offer.name.isdecimal():
        raise ProviderError(f"{order.offer.name!r} is no offer of Vast's", provider="vast")


def _too_long(what: str, most: int) -> ProviderError:
    return ProviderError(
        f"{what} of a machine is too long for Vast: it takes {most} characters; nothing was rented",
        provider="vast",
    )

"""What makes an app's functions live, in the project's files: a procedure, for `_drive`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from apothic._connect import ask, connect
from apothic._drive import work
from apothic._services import url_if_started
from apothic._shipping import running_in, ship, ship_image
from apothic.functions import Declared
from apothic.services import Service
from apothic_backends.base import Backend
from apothic_backends.commands import GetDurability, RegisterFunction
from apothic_backends.commands.deployments import Deploy
from apothic_backends.model.deployments import Deployed, DeployedFunction
from apothic_backends.model.errors import UsageError


async def deploy(app_name: str, functions: Mapping[str, Declared[..., Any]]) -> Deployed:
    """Ship the project, and make these functions live.

    Raises:
        UsageError: there are none.
        SecretNotFound: one needs a secret that is not there.
        NotGenerated, GenerationFailed: one is to be generated, and cannot be.
        PackageRefused: the project cannot be shipped as it is.
        BackendError: a service has no address.
    """
    if not functions:
        raise UsageError(
            f"the app {app_name!r} has no functions to deploy; declare some with @app.function, "
            "and deploy after that"
        )
    await ask(GetDurability())  # refused while a worker imports the module that deploys
    handles = [*functions.values()]
    backend = connect()
    if backend.shares_files:
        for handle in handles:
            if isinstance(handle, Service):
                handle.check_installed()
    code = [await _introduced(backend, handle) for handle in handles]
    await _check_secrets(code)
    shipped = await ship(backend)
    deployed = await ask(
        Deploy(
            app_name,
            tuple(
                DeployedFunction(running_in(one.spec, shipped), one.code, _rule(handle))
                for one, handle in zip(code, handles, strict=True)
            ),
        )
    )
    for handle in handles:
        if handle.spec().service is None:
            handle.deployed(backend, f"{app_name}/{handle.name}")
        else:
            service: Any = handle
            service.service_url = await url_if_started(f"{app_name}/{handle.name}")
    return deployed


async def _introduced(backend: Backend, handle: Declared[..., Any]) -> RegisterFunction:
    """What there is to say of a function; its secrets are given, and its image is sent already."""
    image = handle.options.get("image")
    recipe = None if image is None else await ship_image(backend, image)
    if handle.freeze is not None:
        await work(handle.freeze)
    *before, introduced = handle.introduction()
    for command in before:
        await ask(command)
    assert isinstance(introduced, RegisterFunction)
    return RegisterFunction(introduced.spec.replace(image=recipe), introduced.code)


async def _check_secrets(code: Iterable[RegisterFunction]) -> None:
    """See whether what functions need is there, before anything of them is live.

    Raises:
        SecretNotFound: a secret is not.
    """
    for one in code:
        if one.spec.needs:
            from apothic_backends.commands.secrets import CheckSecrets  # noqa: PLC0415 - few do

            await ask(CheckSecrets(one.spec))


def _rule(handle: Declared[..., Any]) -> Any:
    schedule = handle.options.get("schedule")
    return None if schedule is None else schedule.rule

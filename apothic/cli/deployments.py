"""What `apothic deploy`, `apothic deployment` and `apothic app` do."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import redirect_stdout
from sys import stderr
from types import ModuleType
from typing import Any

from apothic._deploying import deploy as deploying
from apothic._drive import block
from apothic._watches import Reading
from apothic.apps import App
from apothic.cli import output
from apothic.cli.command import say
from apothic.cli.found import declared_by
from apothic.cli.images import by_image
from apothic.cli.load import find_file, load
from apothic.cli.plane import control_plane
from apothic.cli.publishing import missing
from apothic.cli.wishes import Wishes
from apothic.deployments import TABLE, Deployment
from apothic.watches import Watch, check_watch
from apothic_backends.base import Backend
from apothic_backends.commands.deployments import ListDeployments
from apothic_backends.model.deployments import DeploymentSnapshot
from apothic_backends.model.errors import NotFound, UsageError
from apothic_backends.model.events import Cursor
from apothic_backends.project import project

ONE, ALL = "apothic.deployment.v1", "apothic.deployments.v1"


def deploy(asked: Wishes, *, target: str) -> None:
    """Ship the project, and make an app of a file live."""
    path, _, name = target.partition("::")
    file = find_file(path)
    if not file.is_relative_to(project().resolve()):
        raise UsageError(f"{file} is not in the project {project()}; call it from there")
    plane = control_plane(target)
    with redirect_stdout(stderr):
        app = app_of(load(file), name)
    done = block(deploying(app.name, app.functions))
    it = done.deployment
    if asked.is_json():
        output.put(output.line_of({"schema": ONE, **_told(it), "is_new": done.is_new}))
        return
    output.put(it.deployment_id)
    names = ", ".join(work.name for work in it.functions)
    news = "is live" if done.is_new else "is live already: nothing has changed"
    say(asked, f"{it.app_name} version {it.version} {news} ({names}){_where(plane)}")
    waiting = missing(plane, by_image(declared_by(app)))
    if waiting:
        say(
            asked,
            f"{', '.join(waiting)}: no machine can be rented for calls yet, as the image needs "
            f"Docker. Where there is one: apothic image publish {path}",
        )


def _where(plane: Backend) -> str:
    """Where that is, of one that runs elsewhere."""
    address = getattr(plane, "address", None)
    return "" if address is None else f", at {address.url}"


def app_of(module: ModuleType, name: str) -> App:
    """The app of a module: the one of that name, or under that name; else the only one.

    Raises:
        NotFound: there is none.
        UsageError: there are several.
    """
    found = {key: value for key, value in vars(module).items() if isinstance(value, App)}
    apps = {id(app): app for app in found.values()}
    meant = [app for app in apps.values() if app.name == name] or (
        [found[name]] if name in found else []
    )
    listed = ", ".join(sorted(app.name for app in apps.values())) or "none"
    if name and not meant:
        raise NotFound(f"{module.__file__} has no app {name!r}; there are: {listed}", name=name)
    choices = meant or [*apps.values()]
    if not choices:
        raise NotFound(f"{module.__file__} has no app to deploy", name=module.__name__)
    if len(choices) > 1:
        raise UsageError(f"say which app with path.py::name; there are: {listed}")
    return choices[0]


# --- looking ------------------------------------------------------------------------------------


def _named(name: str) -> Deployment:
    """The deployment that was typed, on a control plane that runs.

    Raises:
        UsageError: nothing can be called so.
        NoControlPlane: none runs.
    """
    is_id = name.startswith(f"{TABLE}:")
    found = Deployment.from_id(name) if is_id else Deployment.from_name(name)
    control_plane(name)
    return found


def show(asked: Wishes, *, app: str | None = None, live_only: bool = False) -> None:
    """Print deployments."""
    plane = control_plane("deployments")
    _put_all(asked, plane.start(ListDeployments(app, live_only)).wait())


def show_apps(asked: Wishes) -> None:
    """Print what each app has live, else its latest version."""
    found: dict[str, DeploymentSnapshot] = {}
    for it in control_plane("apps").start(ListDeployments()).wait():
        if it.app_name not in found or it.ended_at is None:
            found[it.app_name] = it
    _put_all(asked, [found[app] for app in sorted(found)])


def get(asked: Wishes, *, name: str) -> None:
    """Print one deployment."""
    _put(asked, _named(name).get())


def history(asked: Wishes, *, name: str) -> None:
    """Print all deployments of an app."""
    _put_all(asked, _named(name).history())


def rollback(asked: Wishes, *, name: str, version: int | None) -> None:
    """Make an earlier version live again."""
    new = Deployment.from_id(_named(name).rollback(version)).get()
    if asked.is_json():
        _put(asked, new)
        return
    output.put(new.deployment_id)
    say(asked, f"{new.app_name} version {new.version} is live: again version {new.of}")


def stop(asked: Wishes, *, name: str, drain: bool) -> None:
    """End a deployment."""
    _put(asked, _named(name).stop(drain=drain))


def delete(asked: Wishes, *, name: str) -> None:
    """End a deployment, and forget it."""
    _named(name).delete()
    say(asked, f"{name} is deleted")


def watch(asked: Wishes, *, name: str, after: str | None) -> None:
    """Print events, until it is deleted."""
    cursor = None if after is None else Cursor.parse(after)
    snapshot = bool(asked.snapshot)
    check_watch(cursor, snapshot=snapshot)
    _named(name)
    topic = name if name.startswith(f"{TABLE}:") else f"apps:{name}"
    stream = control_plane(name).watch(topic, cursor, snapshot=snapshot)
    with Watch(Reading(stream)) as events:
        for event in events:
            is_read = output.put(output.line_of_event(event))
            if not is_read or event.event.endswith(".deleted"):
                return


# --- output -------------------------------------------------------------------------------------


def _told(it: DeploymentSnapshot) -> dict[str, Any]:
    told: dict[str, Any] = {field: getattr(it, field) for field in it.fields}
    told["functions"] = [
        {
            "name": work.name,
            "function_id": work.function_id,
            "queued": work.queued,
            "running": work.running,
            "schedule": work.schedule
            and {field: getattr(work.schedule, field) for field in work.schedule.fields},
        }
        for work in it.functions
    ]
    return told


def _put(asked: Wishes, it: DeploymentSnapshot) -> None:
    if asked.is_json():
        output.put(output.line_of({"schema": ONE, **_told(it)}))
        return
    again = "" if it.of is None else f", again version {it.of}"
    output.put(f"{it.deployment_id}  {it.app_name}  version {it.version}{again}  {it.status}")
    if it.source is not None:
        output.put(f"files  {it.source[:12]}")
    rows = [("FUNCTION", "QUEUED", "RUNNING", "BY ITSELF")]
    for work in it.functions:
        alone = "" if work.schedule is None else "yes"
        rows.append((work.name, str(work.queued), str(work.running), alone))
    _put_table(rows)


def _put_all(asked: Wishes, found: Iterable[DeploymentSnapshot]) -> None:
    if asked.is_json():
        output.put(output.line_of({"schema": ALL, "deployments": [_told(it) for it in found]}))
        return
    rows = [("DEPLOYMENT", "APP", "VERSION", "STATUS", "UNFINISHED", "FUNCTIONS")]
    for it in found:
        version = str(it.version) if it.of is None else f"{it.version} (again {it.of})"
        names = ", ".join(work.name for work in it.functions)
        row = (it.deployment_id, it.app_name, version, it.status, str(it.unfinished), names)
        rows.append(row)
    _put_table(rows)


def _put_table(rows: list[tuple[str, ...]]) -> None:
    for line in output.columns(rows):
        output.put(line)

"""Machines that are made of the image of a function."""

from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.commands.machines import ListImages, PublishImage
from apothic_backends.model.errors import InvalidOption
from apothic_backends.model.images import ImageSpec
from apothic_backends.model.machines import PublishedImage
from apothic_emulator.core.effects import StartExecutor
from apothic_emulator.core.hellos import Capacity
from apothic_emulator.core.renting import Rent, SeekOffers
from tests.unit.emulator.core.renting import TERMS, Renter, offer

OWN = ImageSpec(base="debian")
DIGEST = OWN.digest
BOTH = TERMS.replace(providers=("fly", "vast"))


def reference(name: str = "own", host: str = "registry.example.com") -> str:
    return f"{host}/{name}@sha256:{'0' * 64}"


def published(provider: str = "", **more: Any) -> PublishImage:
    told = {"digest": DIGEST, "reference": reference(provider or "own"), "release": "0.1.0"}
    return PublishImage(PublishedImage(provider=provider, **{**told, **more}))


def waiting(driver: Renter, **how: Any) -> int:
    """A job waits whose function has an image of its own; gives the job."""
    return driver.submit(driver.register("g", image=OWN, max_containers=1, **how))


def test_what_has_no_published_image_is_told_so_and_nothing_is_rented() -> None:
    driver = Renter()
    job = waiting(driver)

    assert not driver.wanted(SeekOffers)
    assert driver.look(job).waiting.startswith(
        f"no machine can be made of the image {DIGEST[:12]} of app/g, which needs Docker "
        "(it begins with the image debian of a registry): publish it, where there is a Docker, "
        "with `apothic image publish path.py::g`"
    )
    assert driver.cloud.waiting["app/g"] in driver.look(job).waiting


def test_once_it_is_published_a_machine_is_made_of_it() -> None:
    driver = Renter()
    waiting(driver)
    driver.ask(published())
    (sought,) = driver.wanted(SeekOffers)

    (rent,) = driver.offers(offer(), function=sought.function)

    assert rent.image == published().image


def test_others_are_made_of_what_all_are_made_of() -> None:
    driver = Renter()
    driver.ask(published())

    assert driver.rent().image is None


def test_a_machine_of_an_image_runs_functions_of_that_one_alone() -> None:
    driver = Renter(image=OWN, cpu=1)
    driver.ask(published())
    rent = driver.up(capacity=Capacity(8, 32_000, image=DIGEST))
    assert rent.image == published().image
    assert driver.job(1).executor

    for another in (None, ImageSpec(base="ubuntu")):
        job = driver.submit(driver.register(f"of {another}", image=another, max_containers=1))
        assert not any(isinstance(it, StartExecutor) for it in driver.effects)
        told = f"not m1: it was made of the image {DIGEST[:12]}, for that alone"
        assert told in driver.look(job).waiting


def test_only_who_can_load_it_is_asked_for_a_machine() -> None:
    driver = Renter(terms=BOTH)
    job = waiting(driver)
    driver.ask(published("fly"))

    (sought,) = driver.wanted(SeekOffers)
    driver.offers(function=sought.function, provider="fly")

    assert sought.provider == "fly"
    told = "none of 0 offers will do; machines of vast cannot load its image"
    assert driver.look(job).waiting.startswith(told)


def test_where_nobody_who_rents_can_load_it_another_registry_is_the_way_out() -> None:
    driver = Renter()
    job = waiting(driver)
    driver.ask(published("fly"))

    assert not driver.wanted(SeekOffers)
    told = "its image is where only machines of fly can load it; put it into a registry for all:"
    assert driver.look(job).waiting.startswith(told)


def test_each_provider_is_given_the_image_that_is_nearest() -> None:
    driver = Renter(terms=BOTH)
    waiting(driver)
    for image in (published(), published("fly")):
        driver.ask(image)
    function = 2
    driver.offers(function=function, provider="vast")
    (rent,) = driver.offers(offer(), function=function, provider="fly")

    assert rent.image == published("fly").image


def test_what_was_published_is_known_after_a_restart() -> None:
    driver = Renter()
    ours = [published(), published("fly")]
    for image in [published(release="0.0.9"), *ours]:
        driver.ask(image)

    driver.restart()

    assert driver.ask(ListImages()) == tuple(it.image for it in ours)


def test_without_a_store_it_is_known_as_long_as_the_control_plane_is_there() -> None:
    driver = Renter(is_kept=False)
    driver.ask(published())

    assert driver.ask(ListImages()) == (published().image,)
    assert driver.rent()
    assert not [it for it in driver.effects if isinstance(it, Rent) and it.image]


@pytest.mark.parametrize(
    "wrong",
    [
        {"reference": "registry.example.com/own:latest"},
        {"reference": f"-v@sha256:{'0' * 64}"},
        {"digest": "../1"},
        {"provider": "a/b"},
        {"release": "\n"},
    ],
)
def test_what_names_no_image_is_refused(wrong: dict[str, str]) -> None:
    driver = Renter()

    with pytest.raises(InvalidOption):
        driver.ask(PublishImage(published().image.replace(**wrong)))
    assert driver.ask(ListImages()) == ()

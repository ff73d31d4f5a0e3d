from __future__ import annotations

from typing import Any

import pytest

from apothic_backends.providers.base import Blocked, Busy, NoCapacity, ProviderError
from apothic_backends.providers.fly.refusals import (
    has_timed_out,
    is_image_missing,
    is_missing,
    is_name_taken,
    meant,
)
from apothic_backends.providers.http import Refusal


def refusal(status: int, text: str = "", word: str = "") -> Refusal:
    error = Refusal(f"{status}: {text}", provider="fly", status=status, text=text, request_id="")
    error.told = {"error": text, **({"status": word} if word else {})}
    return error


LEASED = "aborted: machine ID 148e lease currently held by x@tokens.fly.io, expires at 2030"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            refusal(422, "could not reserve resource for machine", "insufficient_capacity"),
            NoCapacity,
        ),
        (refusal(422, "anything", "volume_placement_capacity"), NoCapacity),
        (refusal(409, "insufficient memory available"), NoCapacity),
        (
            refusal(412, "insufficient resources to create new machine with existing volume"),
            NoCapacity,
        ),
        (refusal(400, "no capacity"), NoCapacity),
        (
            refusal(
                403, "using 9 MB which is over the allowed quota. please consider other regions"
            ),
            NoCapacity,
        ),
        (refusal(403, 'organization "x" has reached its machine quota'), Blocked),
        (refusal(403, "not authorized"), Blocked),
        (refusal(401, "invalid token"), Blocked),
        (refusal(402, ""), Blocked),
        (refusal(422, "please add a credit card"), Blocked),
        (refusal(409, LEASED), Busy),
        (refusal(422, "invalid config.guest"), Refusal),
        (refusal(404, "machine not found"), Refusal),
        (refusal(412, "volume already claimed by machine 148e"), Refusal),
    ],
    ids=str,
)
def test_the_text_says_what_is_to_be_done(error: Refusal, kind: type[ProviderError]) -> None:
    found = meant(error)

    assert type(found) is kind
    assert error.message in found.message


def test_a_quota_and_a_key_have_different_ways_out() -> None:
    assert "quota or billing" in meant(refusal(403, "over quota")).message
    assert "fly tokens create" in meant(refusal(403, "not authorized")).message


@pytest.mark.parametrize("told", [None, [], "text", {"message": "no capacity"}, {"error": None}])
def test_what_was_told_may_have_any_shape(told: Any) -> None:
    error = refusal(400, "no capacity")
    error.told = told

    assert isinstance(meant(error), NoCapacity) == (not isinstance(told, dict) or "message" in told)


def test_a_name_is_taken_by_its_word_or_its_text() -> None:
    assert is_name_taken(refusal(422, "", "name_taken"))
    assert is_name_taken(refusal(422, "Name has already been taken"))
    assert is_name_taken(refusal(409, "already_exists: unique machine name violation"))
    assert not is_name_taken(refusal(409, LEASED))
    assert is_name_taken(refusal(409, "some text of 2030"))
    assert not is_name_taken(refusal(422, "invalid guest"))
    assert not is_name_taken(refusal(404, "name exists"))


def test_what_is_not_there_and_what_takes_longer_are_known() -> None:
    assert is_missing(refusal(404))
    assert not is_missing(refusal(403))
    assert is_image_missing(refusal(400, "failed to get manifest x: MANIFEST_UNKNOWN"))
    assert has_timed_out(refusal(408))
    assert not has_timed_out(refusal(400))

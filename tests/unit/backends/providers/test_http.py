from __future__ import annotations

import json
import logging
import sys
import threading
from email.utils import formatdate
from typing import Any

import pytest

from apothic_backends.model.errors import UsageError
from apothic_backends.providers import http
from apothic_backends.providers.base import Busy, ProviderError, Unclear
from apothic_backends.providers.http import Limit, Refusal, Speaker
from apothic_backends.providers.reading import Nonsense, a_list, an_object, number, text
from tests.unit.backends.providers.clocks import NOW, Time
from tests.unit.backends.providers.rude import (
    Rude,
    answers,
    breaks_off,
    drips,
    floods,
    hangs_up,
    is_silent,
    resets,
    rude,
)

TOKEN = "fm2_lJPECAAAAAAAAAAA"
FINE = answers(200, {"id": "7"})
LOSSES = [resets, hangs_up, breaks_off]
TROUBLE = [answers(500), answers(502, "<html>Bad gateway"), answers(503), answers(504, "null")]


def speaker(server: Rude, time: Time | None = None, **how: Any) -> Speaker:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return Speaker("cloud", server.url, headers, clock=(time or Time()).clock, **how)


def get(server: Rude, time: Time | None = None, **how: Any) -> Any:
    one = speaker(server, time)
    try:
        return one.call("GET", "/things", **how)
    finally:
        one.close()


def post(server: Rude, time: Time | None = None, **how: Any) -> Any:
    one = speaker(server, time)
    try:
        return one.call("POST", "/things", body={"size": 1}, changes=True, **how)
    finally:
        one.close()


def test_an_answer_is_what_its_json_says() -> None:
    with rude(FINE) as server:
        assert get(server, query={"of": "a b"}) == {"id": "7"}

    asked = server.asked[0]
    assert (asked.method, asked.path) == ("GET", "/things?of=a+b")
    assert asked.headers["authorization"] == f"Bearer {TOKEN}"


def test_a_body_goes_along_as_json() -> None:
    with rude(FINE) as server:
        post(server)

    assert server.asked[0].headers["content-type"] == "application/json"
    assert json.loads(server.asked[0].body) == {"size": 1}


@pytest.mark.parametrize("step", [*LOSSES, *TROUBLE])
def test_what_only_reads_is_asked_again_after_growing_pauses(step: Any) -> None:
    time = Time()
    with rude(step, step, step, FINE) as server:
        assert get(server, time) == {"id": "7"}

    assert time.slept == [0.5, 1.0, 2.0]


@pytest.mark.parametrize("step", [*LOSSES, *TROUBLE])
def test_what_changes_something_is_sent_once_and_its_outcome_is_unclear(step: Any) -> None:
    with rude(step) as server, pytest.raises(Unclear, match="may have done POST /things, or not"):
        post(server)

    assert server.count == 1


@pytest.mark.parametrize("step", LOSSES)
def test_what_is_lost_every_time_is_an_error_that_says_how(step: Any) -> None:
    with (
        rude(*[step] * http.TRIES) as server,
        pytest.raises(ProviderError, match="gave no whole answer") as caught,
    ):
        get(server)

    assert type(caught.value) is ProviderError
    assert server.count == http.TRIES


def test_trouble_that_stays_is_told_as_it_was() -> None:
    with (
        rude(*[answers(503, "down <b>now</b>", Fly_Request_Id="01J-iad")] * http.TRIES) as server,
        pytest.raises(Refusal, match=r"503: down <b>now</b>.*01J-iad") as caught,
    ):
        get(server)

    assert caught.value.data["status"] == 503
    assert caught.value.data["request_id"] == "01J-iad"


@pytest.mark.parametrize("is_change", [False, True])
def test_where_nobody_listens_nothing_was_done(is_change: bool) -> None:
    with rude() as server:
        pass
    time = Time()

    with pytest.raises(ProviderError, match="cannot be reached") as caught:
        (post if is_change else get)(server, time)

    assert not isinstance(caught.value, Unclear)
    assert len(time.slept) == http.TRIES - 1


@pytest.mark.parametrize("ask", [get, post])
def test_too_many_requests_wait_as_long_as_is_said_and_then_ask_again(ask: Any) -> None:
    time = Time()
    with rude(answers(429, Retry_After="7"), answers(429), FINE) as server:
        assert ask(server, time) == {"id": "7"}

    assert time.slept == [7.0, 1.0]


def test_a_date_to_ask_again_is_as_good_as_seconds() -> None:
    time = Time()
    with rude(answers(429, Retry_After=formatdate(NOW + 9, usegmt=True)), FINE) as server:
        get(server, time)

    assert time.slept == [9.0]


@pytest.mark.parametrize(
    "step",
    [
        answers(429, X_RateLimit_Reset="12"),
        answers(429, X_RateLimit_Reset=str(int(NOW + 12))),
        answers(429, {"success": False, "retry_after": 12}),
        answers(429, {"retry_after": "12"}, Retry_After="3"),
    ],
)
def test_other_ways_to_say_when_to_ask_again_are_understood(step: Any) -> None:
    time = Time()
    with rude(step, FINE) as server:
        get(server, time)

    assert time.slept == [12.0]


@pytest.mark.parametrize("said", ["soon", "-3", "9" * 40, "nan", "inf", "Thu, 99 Foo 2020"])
def test_a_time_to_ask_again_that_makes_no_sense_is_as_none(said: str) -> None:
    time = Time()
    with rude(answers(429, Retry_After=said), FINE) as server:
        get(server, time)

    assert time.slept == [0.5]


def test_too_many_requests_every_time_are_busy() -> None:
    with rude(*[answers(429)] * http.TRIES) as server, pytest.raises(Busy) as caught:
        post(server)

    assert server.count == http.TRIES
    assert caught.value.data["after_s"] == 8.0


def test_a_long_time_to_ask_again_is_left_to_the_caller_and_holds_for_all_who_ask() -> None:
    time = Time()
    with rude(answers(429, Retry_After="600"), FINE) as server:
        one = speaker(server, time)
        for expected in (600, 600):
            with pytest.raises(Busy) as caught:
                one.call("GET", "/things", action="list", key="a")
            assert caught.value.data["after_s"] == expected
        one.call("GET", "/things", action="list", key="b")
        one.close()

    assert time.slept == []


def test_a_limit_is_kept_before_the_provider_has_to_say_so() -> None:
    time = Time()
    with rude(*[FINE] * 5) as server:
        one = speaker(server, time, limits={"make": Limit(2.0, 2)})
        for _ in range(4):
            one.call("POST", "/things", action="make", key="app", changes=True)
        one.call("POST", "/things", action="make", key="other", changes=True)
        one.close()

    assert time.slept == [2.0, 2.0]


def test_a_limit_that_would_keep_one_too_long_is_busy_and_asks_nobody() -> None:
    with rude(FINE) as server:
        one = speaker(server, limits={"make": Limit(60.0)})
        one.call("POST", "/things", action="make", changes=True)
        with pytest.raises(Busy) as caught:
            one.call("POST", "/things", action="make", changes=True)
        one.close()

    assert (server.count, caught.value.data["after_s"]) == (1, 60.0)


NONSENSE = [
    *(b"", b"  ", b"<html>Welcome", b'{"id": ', b"\xff\xfe", b"NaN", b'{"id": Infinity}'),
    *(b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"),
]


@pytest.mark.parametrize("body", NONSENSE, ids=lambda body: repr(body[:12]))
def test_success_that_makes_no_sense_is_an_error_with_a_short_excerpt(body: bytes) -> None:
    with rude(answers(200, body)) as server, pytest.raises(ProviderError) as caught:
        get(server)

    assert "makes no sense" in caught.value.message
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize("body", NONSENSE[:3])
def test_a_change_that_is_answered_with_nonsense_may_be_done(body: bytes) -> None:
    with rude(answers(200, body)) as server, pytest.raises(Unclear):
        post(server)


def test_an_answer_may_be_empty_where_that_was_said() -> None:
    with rude(answers(204)) as server:
        assert post(server, may_be_empty=True) is None


def a_size(told: Any) -> float:
    return number(an_object(told), "size")


@pytest.mark.parametrize(
    "told",
    [
        [],
        {},
        {"size": None},
        {"size": "7"},
        {"size": True},
        {"size": [7]},
        {"size": 10**400},
        7,
        "size",
        None,
    ],
    ids=repr,
)
def test_an_answer_of_another_shape_makes_no_sense(told: object) -> None:
    with rude(answers(200, told)) as server, pytest.raises(ProviderError, match="no sense"):
        get(server, read=a_size)


def test_what_an_answer_has_beside_is_passed_over() -> None:
    with rude(answers(200, {"size": 7, "new_in_2030": {"a": []}})) as server:
        assert get(server, read=a_size) == 7


def test_readers_say_which_field_is_wrong() -> None:
    assert a_list(None) == []
    assert text({"a": "b"}, "a") == "b"
    assert text({"a": None}, "a", "c") == "c"
    assert number({}, "a", 3.0) == 3.0
    for look in (lambda: text({}, "a"), lambda: text({"a": 1}, "a", "c"), lambda: number({}, "a")):
        with pytest.raises(Nonsense, match="'a' is no"):
            look()
    with pytest.raises(Nonsense, match="machines is no list"):
        a_list({}, "machines")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 422])
def test_a_refusal_has_the_status_and_what_was_told_and_is_not_asked_again(status: int) -> None:
    told = {"error": "name taken", "status": "name_taken"}
    with rude(answers(status, told)) as server, pytest.raises(Refusal) as caught:
        post(server)

    assert caught.value.told == told
    assert caught.value.data["status"] == status
    assert "POST /things" in caught.value.message
    assert server.count == 1


def test_a_request_that_timed_out_there_may_have_been_done() -> None:
    with rude(answers(408)) as server, pytest.raises(Unclear):
        post(server)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with (
        rude() as other,
        rude(answers(status, Location=other.url)) as server,
        pytest.raises(Refusal, match="redirects are not followed"),
    ):
        post(server)

    assert other.count == 0


def test_an_answer_that_never_ends_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 100_000)
    with rude(floods) as server, pytest.raises(Unclear, match="more than 100000 bytes"):
        post(server)


def test_an_answer_that_comes_too_slowly_is_given_up() -> None:
    with rude(drips) as server, pytest.raises(Unclear, match="no whole answer within 30 s"):
        post(server, Time(step_s=11.0))


def test_silence_is_given_up() -> None:
    with rude(is_silent) as server, pytest.raises(Unclear, match="ReadTimeout"):
        post(server, timeout_s=0.05)


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_a_key_says_if_the_clock_may_be_why(status: int) -> None:
    step = answers(status, "no", Date=formatdate(NOW - 3600, usegmt=True))
    with rude(step) as server, pytest.raises(Refusal, match="3600 s ahead of the provider's"):
        get(server)


def test_a_clock_that_is_right_is_not_blamed() -> None:
    step = answers(401, "no", Date=formatdate(NOW - 5, usegmt=True))
    with rude(step) as server, pytest.raises(Refusal) as caught:
        get(server)

    assert "clock" not in caught.value.message


@pytest.mark.parametrize("status", [200, 400, 500])
def test_secrets_are_in_no_error_no_log_and_no_repr(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    own = "join-token-of-a-machine"
    echo = f"you sent Bearer {TOKEN} and {own} <html>"
    with rude(answers(status, echo)) as server, pytest.raises(ProviderError) as caught:
        post(server, hidden=[own])

    shown = f"{caught.value} {caught.value.data} {caplog.text} {speaker(server)!r}"
    assert "you sent" in shown
    assert TOKEN not in shown
    assert own not in shown


def test_a_refusal_that_echoes_a_token_tells_it_to_nobody() -> None:
    with rude(answers(422, {"error": TOKEN})) as server, pytest.raises(Refusal) as caught:
        post(server)

    assert caught.value.told == {"error": "***"}


@pytest.mark.parametrize(
    "url", ["http://example.com", "ftp://127.0.0.1", "example.com", "https://"]
)
def test_a_token_is_sent_over_no_plain_line(url: str) -> None:
    with pytest.raises(UsageError, match="over https:// only"):
        Speaker("cloud", url, {})


@pytest.mark.parametrize("token", ["abc\ndef", " abcdef", "schlüssel"])
def test_a_token_that_can_be_none_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(UsageError, match="copied whole") as caught:
        Speaker("cloud", "https://example.com", {"authorization": token})

    assert token not in caught.value.message


def test_threads_share_a_speaker() -> None:
    with rude(*[FINE] * 8) as server:
        one = speaker(server)
        threads = [threading.Thread(target=one.call, args=("GET", "/things")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        one.close()

    assert server.count == 8


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)

    with pytest.raises(UsageError, match=r"pip install 'apothic\[cloud\]'"):
        Speaker("cloud", "https://example.com", {})

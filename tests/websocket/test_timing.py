"""What the clock asks of an open WebSocket, as tables of moments: no clock runs, and nothing is sent."""

from __future__ import annotations

import pytest

from bridge import Limits
from bridge.websocket.asgi_hosting.timing import Farewell, Pings

LIMITS = Limits(websocket_ping_s=10, websocket_pong_s=5, websocket_close_s=3)


def pings(**limits: float | None) -> Pings:
    return Pings(Limits(**{"websocket_ping_s": 10, "websocket_pong_s": 5, **limits}), 0.0)


@pytest.mark.requirement("S-026")
def test_a_ping_is_due_at_each_interval_and_once_in_it() -> None:
    keep_alive = pings()

    assert [now_s for now_s in range(35) if keep_alive.is_due(now_s)] == [10, 20, 30]


def test_without_an_interval_no_ping_is_due_and_nobody_is_overdue() -> None:
    keep_alive = pings(websocket_ping_s=None)

    assert not any(keep_alive.is_due(now_s) for now_s in range(100))
    assert not any(keep_alive.is_overdue(now_s, 0, is_excused=False) for now_s in range(100))


def looks(keep_alive: Pings, *moments: tuple[float, int, bool]) -> list[bool]:
    return [keep_alive.is_overdue(now_s, taken_bytes, is_excused=excused) for now_s, taken_bytes, excused in moments]


@pytest.mark.parametrize(
    ("moments", "verdicts"),
    [
        pytest.param([(14, 2, False), (15, 2, False), (16, 2, False)], [False, False, True], id="silent, seen twice"),
        pytest.param([(15, 2, False), (16, 2, True), (17, 2, False)], [False, False, False], id="excused in between"),
        pytest.param([(15, 2, True), (16, 2, True)], [False, False], id="excused: nothing is read"),
        pytest.param([(15, 1, False), (16, 1, False)], [False, False], id="takes what was before the ping"),
        pytest.param(
            [(15, 1, False), (20, 1, False), (21, 1, False)], [False, False, True], id="takes, then is silent"
        ),
    ],
)
def test_a_client_is_overdue_when_it_was_silent_for_two_looks(
    moments: list[tuple[float, int, bool]], verdicts: list[bool]
) -> None:
    keep_alive = pings()
    keep_alive.sent(10, 2, is_excused=False)

    assert looks(keep_alive, *moments) == verdicts


def test_an_answer_ends_the_wait() -> None:
    keep_alive = pings()
    keep_alive.sent(10, 2, is_excused=False)
    keep_alive.answered()

    assert looks(keep_alive, (15, 2, False), (16, 2, False)) == [False, False]


def test_a_second_ping_does_not_prolong_the_wait_for_the_first() -> None:
    keep_alive = pings()
    keep_alive.sent(10, 2, is_excused=False)
    keep_alive.sent(14, 4, is_excused=False)

    assert looks(keep_alive, (15, 2, False), (16, 2, False)) == [False, True]


def test_a_ping_that_was_sent_while_nothing_is_read_is_not_waited_for() -> None:
    keep_alive = pings()
    keep_alive.sent(10, 2, is_excused=True)

    assert looks(keep_alive, (30, 2, False), (31, 2, False)) == [False, False]


# ---- The end --------------------------------------------------------------------------------------------------------


def test_before_it_begins_nothing_is_over() -> None:
    farewell = Farewell(LIMITS)

    assert not farewell.has_begun
    assert not farewell.is_over(1000, 0)


@pytest.mark.parametrize(
    ("taken_at", "over_at"),
    [
        pytest.param({}, 3, id="takes nothing: its time is that of the close"),
        pytest.param({2: 100}, 5, id="takes all: its time begins anew, once"),
        pytest.param({2: 10, 4: 20, 6: 30}, 9, id="slow: each octet prolongs it"),
        pytest.param({2: 100, 4: 150}, 5, id="what it takes of later octets prolongs nothing"),
    ],
)
def test_a_client_has_its_time_from_the_moment_our_close_is_out(taken_at: dict[int, int], over_at: int) -> None:
    farewell = Farewell(LIMITS)
    farewell.begin(0, written_bytes=100, taken_bytes=0)
    taken_bytes = 0

    for now_s in range(over_at + 1):
        taken_bytes = taken_at.get(now_s, taken_bytes)
        assert farewell.is_over(now_s, taken_bytes) == (now_s == over_at)


def test_where_all_is_out_at_once_nothing_prolongs_the_time() -> None:
    farewell = Farewell(LIMITS)
    farewell.begin(0, written_bytes=100, taken_bytes=100)

    assert [farewell.is_over(now_s, 100 + now_s) for now_s in range(4)] == [False, False, False, True]


def test_the_answer_to_a_close_of_the_clients_own_has_to_go_out_too() -> None:
    farewell = Farewell(LIMITS)
    farewell.begin(0, written_bytes=100, taken_bytes=0)
    farewell.begin(1, written_bytes=110, taken_bytes=0)

    assert not farewell.is_over(2, 100)  # not all yet: prolonged
    assert not farewell.is_over(4, 110)  # all: prolonged for the last time
    assert [farewell.is_over(now_s, 120) for now_s in (5, 6, 7)] == [False, False, True]

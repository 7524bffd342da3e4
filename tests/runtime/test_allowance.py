"""`Allowance` and `Share`: what many may take together."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge._runtime.allowance import Allowance, Share
from tests.meeting import Helper

LIMIT_BYTES = 100


@pytest.mark.parametrize(
    ("limit_bytes", "takes", "expected"),
    [
        pytest.param(100, [100], [True], id="all of it"),
        pytest.param(100, [101], [False], id="too much"),
        pytest.param(100, [60, 41, 40, 1], [True, False, True, False], id="whole or not at all"),
        pytest.param(0, [0, 1], [True, False], id="nothing"),
        pytest.param(None, [10**12, 10**12], [True, True], id="no limit"),
    ],
)
def test_what_is_more_than_is_left_is_not_taken_in_part(limit_bytes, takes, expected):
    allowance = Allowance(limit_bytes)

    assert [allowance.take(size) for size in takes] == expected

    taken = sum(size for size, is_taken in zip(takes, expected, strict=True) if is_taken)
    assert allowance.taken_bytes == taken


def test_what_is_given_back_can_be_taken_again():
    allowance = Allowance(LIMIT_BYTES)
    assert allowance.take(80)
    assert not allowance.take(30)

    allowance.give(10)

    assert allowance.take(30)
    assert allowance.taken_bytes == LIMIT_BYTES


def test_a_share_gives_back_what_it_has_taken_once():
    allowance = Allowance(LIMIT_BYTES)
    first, second = Share(allowance), Share(allowance)
    assert first.take(30)
    assert first.take(30)
    assert not first.take(50)
    assert second.take(40)

    first.give_back()
    first.give_back()

    assert allowance.taken_bytes == 40
    assert first.take(60)
    first.give_back()
    second.give_back()
    assert allowance.taken_bytes == 0


@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60) | st.none()), max_size=40))
def test_any_sequence_of_steps_stays_within_the_limit_and_keeps_the_books(steps):
    """Four users; None gives back."""
    allowance = Allowance(LIMIT_BYTES)
    shares = [Share(allowance) for _ in range(4)]
    taken = [0] * 4
    for user, size in steps:
        if size is None:
            shares[user].give_back()
            taken[user] = 0
        elif shares[user].take(size):
            taken[user] += size
        else:
            assert sum(taken) + size > LIMIT_BYTES
        assert allowance.taken_bytes == sum(taken) <= LIMIT_BYTES

    for share in shares:
        share.give_back()
    assert allowance.taken_bytes == 0


def test_threads_that_take_and_give_at_once_lose_no_octet():
    allowance = Allowance(50)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def use() -> int:
        most = 0
        for _ in range(3000):
            if allowance.take(20):
                most = max(most, allowance.taken_bytes)
                allowance.give(20)
        return most

    try:
        threads = [Helper(use) for _ in range(4)]
        highest = [thread.join() for thread in threads]
    finally:
        sys.setswitchinterval(interval_s)

    assert allowance.taken_bytes == 0
    assert max(highest) <= 50

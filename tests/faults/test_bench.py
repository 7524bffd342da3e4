"""The bench can fail: every target is missed by a result that misses it, and an adapter that hangs is found out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults import outcomes, page, watching
from tests.faults.attacks import ATTACKS, attack_named
from tests.faults.bench import CONTESTANTS, Plan, run
from tests.faults.clients import DROPPED, REFUSED, RIGHT
from tests.faults.content import BLOCK_BYTES, blocks_of, checksum_of, content_of
from tests.faults.healthy import Window
from tests.faults.outcomes import Result, Target
from tests.faults.watching import Look
from tests.integration.servers import UVICORN_HTTPTOOLS

pytestmark = pytest.mark.faults

_WINDOW = Window(rate=1000, answered=2000, wrong=0, unanswered=0, p50_ms=1, p99_ms=9, slowest_ms=20)
_BOOKS = {"opened": 5, "closed": 5, "closed_elsewhere": 0, "whole": 0, "bridge": {"requests": 0, "bytes_held": 0}}
_LOOK = Look(threads=3, descriptors=10, resident_mib=40.0)


def _good() -> Result:
    """Return a result that misses nothing."""
    return Result(
        "slow-uploads",
        "bridge",
        "uvicorn",
        clients=5,
        rounds=1,
        begun=[5],
        outcomes={},
        without=[_WINDOW],
        onset=[_WINDOW],
        during=[_WINDOW],
        books=_BOOKS,
        idle=_LOOK,
        after=_LOOK,
        exited_after_s=0.1,
    )


def _window(**fields: Any) -> list[Window]:
    return [replace(_WINDOW, **fields)]


def _books(**fields: Any) -> dict[str, Any]:
    return {**_BOOKS, **fields}


@pytest.mark.parametrize(
    ("target", "good", "bad"),
    [
        pytest.param(outcomes.RATE, {"during": _window(rate=900)}, {"during": _window(rate=899)}, id="rate"),
        pytest.param(outcomes.RATE, {}, {"without": []}, id="rate-not-measured"),
        pytest.param(outcomes.ANSWERED, {}, {"during": _window(unanswered=1)}, id="unanswered"),
        pytest.param(outcomes.ANSWERED, {}, {"onset": _window(unanswered=1)}, id="unanswered-at-the-onset"),
        pytest.param(outcomes.ANSWERED, {}, {"during": _window(wrong=1)}, id="answered-wrongly"),
        pytest.param(outcomes.ANSWERED, {}, {"during": _window(answered=0)}, id="nothing-answered"),
        pytest.param(outcomes.ANSWERED, {}, {"during": _window(slowest_ms=15_001)}, id="answered-late"),
        pytest.param(outcomes.ANSWERED, {}, {"onset": [], "during": []}, id="nobody-looked"),
        pytest.param(outcomes.BEGINS, {}, {"begun": [5, 4]}, id="some-wait"),
        pytest.param(
            outcomes.RIGHT_ANSWERS,
            {"outcomes": {RIGHT: 5}},
            {"outcomes": {RIGHT: 4, "cut: closed": 1}},
            id="an-answer-cut",
        ),
        pytest.param(
            outcomes.RIGHT_ANSWERS,
            {"outcomes": {RIGHT: 5}},
            {"outcomes": {RIGHT: 4, REFUSED: 1}},
            id="an-answer-refused",
        ),
        pytest.param(outcomes.RIGHT_ANSWERS, {"outcomes": {RIGHT: 5}}, {"outcomes": {}}, id="no-outcome"),
        pytest.param(outcomes.DROPS, {"outcomes": {DROPPED: 5}}, {"outcomes": {}}, id="nobody-left"),
        pytest.param(
            outcomes.RIGHT_OR_REFUSED,
            {"outcomes": {RIGHT: 4, REFUSED: 1}},
            {"outcomes": {RIGHT: 4, "no answer in time": 1}},
            id="no-answer",
        ),
        pytest.param(
            outcomes.RIGHT_OR_REFUSED, {"outcomes": {RIGHT: 5}}, {"outcomes": {REFUSED: 5}}, id="everybody-refused"
        ),
        pytest.param(
            outcomes.DROPS, {"outcomes": {DROPPED: 5}}, {"outcomes": {DROPPED: 4, "wrong: 500": 1}}, id="not-served"
        ),
        pytest.param(outcomes.CLOSED, {}, {"books": _books(closed=4)}, id="left-open"),
        pytest.param(outcomes.CLOSED, {}, {"books": _books(closed=6)}, id="closed-twice"),
        pytest.param(outcomes.CLOSED, {}, {"books": _books(closed_elsewhere=1)}, id="closed-elsewhere"),
        pytest.param(outcomes.CLOSED, {}, {"books": _books(opened=0, closed=0)}, id="none-opened"),
        pytest.param(outcomes.CLOSED, {}, {"books": {}}, id="the-server-is-silent"),
        pytest.param(outcomes.CLOSED_SOON, {"closed_after_s": 2.0}, {"closed_after_s": 2.1}, id="closed-late"),
        pytest.param(outcomes.CUT, {}, {"books": _books(whole=1)}, id="half-is-whole"),
        pytest.param(outcomes.GIVEN_BACK, {}, {"after": replace(_LOOK, threads=4)}, id="a-thread-left"),
        pytest.param(outcomes.GIVEN_BACK, {}, {"after": replace(_LOOK, descriptors=11)}, id="a-descriptor-left"),
        pytest.param(outcomes.GIVEN_BACK, {}, {"books": _books(bridge={"bytes_held": 1})}, id="bytes-held"),
        pytest.param(outcomes.MEMORY, {"peak_over_idle_mib": 64.0}, {"peak_over_idle_mib": 65.0}, id="memory"),
        pytest.param(outcomes.ENDS, {}, {"exited_after_s": None}, id="killed"),
        pytest.param(outcomes.ENDS, {}, {"exited_after_s": 6.0}, id="ended-late"),
        pytest.param(outcomes.BESIDE, {}, {"during": _window(p50_ms=11)}, id="slow-beside"),
        pytest.param(outcomes.BESIDE, {}, {"during": _window(p99_ms=101)}, id="sometimes-slow-beside"),
        pytest.param(outcomes.NEXT_DOOR, {}, {"during": _window(p50_ms=61)}, id="slow-next-door"),
    ],
)
def test_a_target_is_missed_by_what_misses_it_only(target: Target, good: dict[str, Any], bad: dict[str, Any]) -> None:
    assert target.miss(replace(_good(), **good)) == ""
    assert target.miss(replace(_good(), **good | bad)) != ""


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    rates = [(100, 50), (200, 180), (100, 300)]
    result = replace(
        _good(),
        without=[replace(_WINDOW, rate=before) for before, _ in rates],
        during=[replace(_WINDOW, rate=during) for _, during in rates],
    )

    assert result.ratio == 0.9


def test_the_work_for_an_answer_is_compared_in_pairs() -> None:
    result = replace(_good(), without=_window(work_ms=0.10), during=_window(work_ms=0.12))

    assert result.more_work == pytest.approx(0.2)
    assert _good().more_work is None


def test_a_lost_or_doubled_block_changes_the_content() -> None:
    blocks = list(blocks_of(3 * BLOCK_BYTES + 10))

    assert b"".join(blocks) == content_of(3 * BLOCK_BYTES + 10)
    assert len(content_of(3 * BLOCK_BYTES + 10)) == 3 * BLOCK_BYTES + 10
    assert len(set(blocks)) == len(blocks)
    assert checksum_of(BLOCK_BYTES) != checksum_of(2 * BLOCK_BYTES)


@pytest.mark.live
@pytest.mark.timeout(120)
@pytest.mark.skipif(not watching.can_watch(), reason="other processes cannot be looked at on this system")
def test_an_adapter_that_gives_each_slow_client_a_thread_is_found_out(tmp_path: Path) -> None:
    attack = attack_named("slow-uploads")
    plan = Plan(attack.modest, rounds=1, window_s=0.3, begin_s=5, healthy_patience_s=1, settle_s=0.5)

    result = run(attack, plan, "a2wsgi", UVICORN_HTTPTOOLS, tmp_path)

    assert "requests had no answer" in outcomes.ANSWERED.miss(result)
    assert outcomes.RATE.miss(result)


# ---- The page -------------------------------------------------------------------------------------------------------


def test_the_page_has_every_attack_on_every_contestant() -> None:
    measured = page.PAGE.read_text(encoding="utf-8").partition(page.BEGIN)[2].partition(page.END)[0]

    for attack in ATTACKS:
        for contestant in CONTESTANTS:
            assert measured.count(f"| {attack.describe(attack.full)} | {contestant} |") == 1


def test_what_is_missed_is_told_on_the_page() -> None:
    result = replace(_good(), outcomes={RIGHT: 4, "cut: closed": 1}, peak_over_idle_mib=3.2, closed_after_s=0.5)

    text = page.generated([result], 0.25)

    assert "The load of the machine was 0.2 before it began." in text
    row = text.partition("| 200 clients upload 10 KB each at 1 byte/s | bridge |")[2].splitlines()[0]
    assert [cell.strip() for cell in row.split("|")[:-1]] == [
        "100 %",
        "\N{EN DASH}",
        "20 ms",
        "0",
        "4 right, 1 without a right answer",
        "5 of 5, the last after 0.50 s",
        "3, 0, 3",
        "3 MiB",
    ]
    assert "- bridge: every answer is right to the byte: slow-uploads: 1 times cut: closed\n" in text
    text = page.generated(
        [replace(result, contestant="a2wsgi"), replace(result, contestant="a2wsgi", attack="stuck")], 0.25
    )
    assert "- a2wsgi: every answer is right to the byte: slow-uploads, stuck\n" in text

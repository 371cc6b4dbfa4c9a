"""Many entitlements in one pass."""

from __future__ import annotations

from hub.usage import Judgement, judge
from hub.usage.many import judge_many
from tests.hub.usage.histories import a_history, used


def test_each_is_judged_in_order_and_a_bad_one_fails_alone() -> None:
    good = a_history(used(80))
    bad = a_history([-1], entitlement_id="ent_2")
    told = list(judge_many([good, bad, good]))
    assert [name for name, _ in told] == ["ent_1", "ent_2", "ent_1"]
    assert told[0][1] == told[2][1] == judge(good)
    assert isinstance(told[1][1], ValueError)


def test_histories_are_taken_one_at_a_time_and_progress_is_told() -> None:
    taken, told = [], []

    def histories():
        for number in range(105):
            taken.append(number)
            yield a_history([5])

    walk = judge_many(histories(), progress=told.append)
    assert isinstance(next(walk)[1], Judgement)
    assert taken == [0]
    assert len(list(walk)) == 104
    assert told == [100, 105]

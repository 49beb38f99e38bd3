"""Which job is next."""

from __future__ import annotations

from appliance.jobs.queue import Ask, Limits, Queue


def taken(queue: Queue) -> list[int]:
    found = []
    while (ask := queue.take()) is not None:
        found.append(ask.id)
    return found


def test_higher_priorities_go_first_then_who_asked_first() -> None:
    queue = Queue(Limits(heavy=8))
    for number, priority in ((1, 50), (2, 90), (3, 50), (4, 10)):
        queue.add(Ask(number, priority, is_heavy=True))
    assert taken(queue) == [2, 1, 3, 4]


def test_limits_count_hard_jobs_and_others_apart() -> None:
    queue = Queue(Limits(heavy=1, light=2))
    for number in range(1, 7):
        queue.add(Ask(number, 50, is_heavy=number < 4))
    assert taken(queue) == [1, 4, 5]
    queue.remove(1)
    queue.remove(4)
    assert taken(queue) == [2, 6]


def test_what_claims_the_same_waits_and_is_not_overtaken_there() -> None:
    queue = Queue(Limits(heavy=2, light=2))
    queue.add(Ask(1, 50, is_heavy=True, claims=frozenset({"a"})))
    queue.add(Ask(2, 90, is_heavy=False, claims=frozenset({"a", "b"})))
    queue.add(Ask(3, 10, is_heavy=False, claims=frozenset({"b"})))
    queue.add(Ask(4, 10, is_heavy=False))
    assert taken(queue) == [2, 4]
    assert queue.blockers(1) == [2]
    queue.remove(2)
    assert taken(queue) == [1, 3]


def test_a_claim_to_any_of_a_kind_waits_for_all_of_them_and_they_for_it() -> None:
    queue = Queue()
    queue.add(Ask(1, 50, is_heavy=False, claims=frozenset({"vault b"})))
    queue.add(Ask(2, 50, is_heavy=False, claims=frozenset({"vault *"})))
    queue.add(Ask(3, 50, is_heavy=False, claims=frozenset({"vault c"})))
    queue.add(Ask(4, 50, is_heavy=False, claims=frozenset({"verify"})))
    assert taken(queue) == [1, 4]
    assert queue.blockers(2) == [1]
    queue.remove(1)
    assert taken(queue) == [2]
    queue.remove(2)
    assert taken(queue) == [3]


def test_a_job_that_waits_for_a_claim_keeps_it_from_those_behind() -> None:
    queue = Queue(Limits(heavy=1, light=8))
    queue.adopt(Ask(1, 50, is_heavy=True))
    queue.add(Ask(2, 60, is_heavy=True, claims=frozenset({"m"})))
    queue.add(Ask(3, 50, is_heavy=False, claims=frozenset({"m"})))
    assert taken(queue) == []
    queue.remove(1)
    assert taken(queue) == [2]


def test_what_serves_until_it_is_stopped_takes_nobodys_place() -> None:
    queue = Queue(Limits(light=1))
    queue.add(Ask(1, 50, is_heavy=False, is_endless=True))
    queue.add(Ask(2, 50, is_heavy=False, is_endless=True))
    queue.add(Ask(3, 50, is_heavy=False))
    queue.add(Ask(4, 50, is_heavy=False))
    assert taken(queue) == [1, 2, 3]

"""What is done at the same time: facts and detectors in threads, each as soon as all that it rests on is there."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from msgspec import Struct

from analyzer.facts.contract import Fact
from analyzer.frames import Table


class Task(Struct, frozen=True):
    """One piece of work, and the keys of those that must be over before it begins."""

    key: Hashable
    work: Callable[[], object]
    after: Collection[Hashable] = ()


Futures = dict[Hashable, Future[object]]


def together(tasks: Sequence[Task], threads: int, futures: Futures | None = None) -> Futures:
    """Every task once, so many at a time; of those that may begin the first one does. One that breaks keeps its error,
    and what rests on it begins all the same. A task may look at the `futures` of those that it comes after."""
    futures = {} if futures is None else futures
    left = list(tasks)
    waited_for = {task.key for task in tasks}
    running: set[Future[object]] = set()
    with ThreadPoolExecutor(threads, thread_name_prefix="detect") as pool:
        try:
            while left or running:
                over = {key for key, future in futures.items() if future.done()}
                ready = [task for task in left if waited_for.intersection(task.after) <= over]
                for task in ready[: threads - len(running)]:
                    futures[task.key] = pool.submit(task.work)
                    running.add(futures[task.key])
                    left.remove(task)
                running = wait(running, return_when=FIRST_COMPLETED).not_done
        finally:
            pool.shutdown(cancel_futures=True)
    return futures


def by_use(needs: Sequence[Collection[Table | Fact]]) -> list[Fact]:
    """All facts that these needs rest on; those that most rest on come first."""
    count: dict[Fact, int] = {}
    for each in needs:
        for fact in behind(each):
            count[fact] = count.get(fact, 0) + 1
    for fact in list(count):
        for other in behind(fact.inputs):
            count[other] += 1
    return sorted(count, key=lambda fact: (-count[fact], fact.name))


def behind(needs: Collection[Table | Fact]) -> set[Fact]:
    """The facts among these needs, and those that they rest on."""
    found: set[Fact] = set()
    left = list(needs)
    while left:
        if isinstance(one := left.pop(), Fact) and one not in found:
            found.add(one)
            left += one.inputs
    return found

"""Python threads over kernels that release the GIL. No pool outlives a call, so a fork is safe."""

from collections import deque
from collections.abc import Callable
from threading import Thread

from .config import available_cpus


def each(work: Callable[[int], None], parts: int, count: int) -> None:
    """work(0) .. work(parts - 1) in `count` threads, the caller's one of them; the first failure is raised when all have
    ended.

    Each thread takes the next part when it is done with one, so that a busy processor holds nobody up.
    """
    if count == 1:
        for part in range(parts):
            work(part)
        return
    left = deque(range(parts))
    failures: list[BaseException] = []

    def take() -> None:
        while left and not failures:
            try:
                part = left.popleft()
            except IndexError:  # another thread took the last one
                return
            try:
                work(part)
            except BaseException as failure:
                failures.append(failure)

    others = [Thread(target=take, daemon=True) for _ in range(1, min(count, parts))]
    for thread in others:
        thread.start()
    take()
    for thread in others:
        thread.join()
    if failures:
        raise failures[0]


def run(work: Callable[[int, int], None], items: int, threads: int | None = None, grain: int = 1) -> None:
    """Call work(lo, hi) on ranges that cover range(items), as many as there are threads.

    `threads` None uses the processors of the affinity mask. No range is shorter than `grain` items unless there are
    fewer.
    """
    parts = max(1, min(threads or available_cpus(), items // max(grain, 1)))
    cuts = [items * i // parts for i in range(parts + 1)]
    each(lambda i: work(cuts[i], cuts[i + 1]), parts, parts)

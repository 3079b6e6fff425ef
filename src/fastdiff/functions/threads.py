"""Python threads over kernels that release the GIL, cut by items. No pool outlives a call, so a fork is safe."""

from collections.abc import Callable
from itertools import pairwise
from threading import Thread

from ..config import available_cpus


def run(work: Callable[[int, int], None], items: int, threads: int | None = None, grain: int = 1) -> None:
    """Call work(lo, hi) on ranges that cover range(items), each call but the caller's own in a thread of its own.

    `threads` None uses the processors of the affinity mask. No range is shorter than `grain` items unless there are
    fewer. An exception of any call is raised, after all have ended.
    """
    parts = max(1, min(threads or available_cpus(), items // max(grain, 1)))
    cuts = [items * i // parts for i in range(parts + 1)]
    failed: list[BaseException] = []

    def part(lo: int, hi: int) -> None:
        try:
            work(lo, hi)
        except BaseException as error:
            failed.append(error)

    others = [Thread(target=part, args=cut, daemon=True) for cut in pairwise(cuts[1:])]
    for thread in others:
        thread.start()
    part(cuts[0], cuts[1])
    for thread in others:
        thread.join()
    if failed:
        raise failed[0]

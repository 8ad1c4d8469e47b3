"""Work on many items by all cores: results in the items' order, and never more than a few of them in memory."""

import collections
import itertools
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TypeVar

from seglib import child

Item, Result = TypeVar("Item"), TypeVar("Result")

FEW = 100  # items that are done here before other processes have started: that takes a second, an item some 10 ms
BATCH = 8  # items handed over at once: handing over one takes half a millisecond
AHEAD = 2  # batches in flight a process: one at work, one waiting, so that none stands idle


class Workers:
    """`count` processes, started where they pay, that end with the `with` block and with the process that has them.

    They come from a fork server: a fork of this process could copy a lock that a thread of it holds, and a new
    interpreter each would import everything once a core.
    """

    def __init__(self, count: int, modules: list[str]):
        """`modules`: what the fork server imports once, for all."""
        self._count, self._modules, self._pool = count, modules, None

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def map(self, work: Callable[[Item], Result], items: Iterable[Item],
            is_ready: Callable[[Item], bool]) -> Iterator[Result]:
        """`work` of each item, in order. A batch of items that are ready is done here: to hand it over would cost more.

        What goes to another process, `work`, items and results, is pickled. An exception of `work` is raised here.
        Raises ChildProcessError where another process is ended from outside.
        """
        items = iter(items)
        first = list(itertools.islice(items, FEW + 1))
        if self._count == 1 or (self._pool is None and len(first) <= FEW):
            yield from map(work, itertools.chain(first, items))
            return
        items = itertools.chain(first, items)
        line: collections.deque[Future[list[Result]]] = collections.deque()
        try:
            while batch := list(itertools.islice(items, BATCH)):
                line.append(_done(work, batch) if all(map(is_ready, batch)) else
                            self._start().submit(_work_through, work, batch))
                if len(line) > AHEAD * self._count:
                    yield from line.popleft().result()
            while line:
                yield from line.popleft().result()
        except BrokenProcessPool as error:
            raise ChildProcessError("worker process died (out of memory, or data that cannot be pickled)") from error

    def _start(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(self._modules)
            self._pool = ProcessPoolExecutor(self._count, context, child.begin, (Path.cwd(),))
        return self._pool


def _work_through(work: Callable[[Item], Result], batch: list[Item]) -> list[Result]:
    return [work(item) for item in batch]


def _done(work: Callable[[Item], Result], batch: list[Item]) -> "Future[list[Result]]":
    future: Future[list[Result]] = Future()
    future.set_result(_work_through(work, batch))
    return future

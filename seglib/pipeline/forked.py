"""Work on many items by processes that are forked from this one.

They start within milliseconds and hold everything that this process has loaded, so the work itself is not pickled. Only
items and results are.
"""

import collections
import contextlib
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from typing import Generic, TypeVar

Item, Result = TypeVar("Item"), TypeVar("Result")


def can_fork() -> bool:
    """Whether forking is safe here: on Linux. macOS's own libraries fail in a forked process."""
    return sys.platform == "linux"


class ForkedProcesses(Generic[Item, Result]):
    """Processes that end with the `with` block, however it ends, and soon after this process if it is killed.

    work: is called with each item, in any of the processes. It must use no thread of this process, such as PyTorch's
    when they are more than one, and no GPU.
    count: how many processes; 0: this process does the work.
    leave: is asked before each item whether one process should end, because its core is wanted elsewhere. One stays.
    """

    def __init__(self, work: Callable[[Item], Result], count: int, *, leave: Callable[[], bool] = lambda: False):
        self._work, self._count, self._leave = work, count, leave
        self._processes: dict[Connection, BaseProcess] = {}

    def __enter__(self) -> "ForkedProcesses[Item, Result]":
        try:
            for _ in range(self._count):
                self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def map(self, items: Iterable[Item]) -> Iterator[Result]:
        """The results, in the items' order. An item is taken from `items` when a process is free for it.

        An exception of `work` is raised here. Raises ChildProcessError if a process is ended from outside.
        """
        if not self._processes:
            yield from map(self._work, items)
            return
        numbered = enumerate(items)
        free, busy = collections.deque(self._processes), dict[Connection, int]()
        finished: dict[int, Result] = {}
        following, is_more = 0, True
        while True:
            while is_more and free:
                if len(free) + len(busy) > 1 and self._leave():
                    free.popleft().close()
                    continue
                number, item = next(numbered, (-1, None))
                if is_more := number >= 0:
                    busy[free[0]] = number
                    self._send(free.popleft(), item)
            if not busy:
                return
            for connection in wait(list(busy)):
                finished[busy.pop(connection)] = self._receive(connection)
                free.append(connection)
            while following in finished:
                yield finished.pop(following)
                following += 1

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(self._work, theirs, [*self._processes, ours]), daemon=True)
        process.start()
        theirs.close()  # now only that process has it: if it dies, `ours` says so
        self._processes[ours] = process

    def _send(self, connection: Connection, item: Item) -> None:
        try:
            connection.send(item)
        except OSError as error:
            raise self._died(connection) from error

    def _receive(self, connection: Connection) -> Result:
        try:
            result, error = connection.recv()
        except (EOFError, OSError) as died:
            raise self._died(connection) from died
        if error is not None:
            raise error
        return result

    def _died(self, connection: Connection) -> ChildProcessError:
        process = self._processes[connection]
        process.join()
        how = f"signal {-process.exitcode}" if process.exitcode < 0 else f"exit status {process.exitcode}"
        return ChildProcessError(f"worker process died ({how}); this happens if memory runs out")

    def _end(self) -> None:
        for process in self._processes.values():
            process.kill()
        for connection, process in self._processes.items():
            process.join()
            connection.close()
        self._processes.clear()


def _serve(work: Callable[[Item], Result], connection: Connection, inherited: list[Connection]) -> None:
    """The life of a forked process: take an item, send back (result, None) or (None, exception)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the one that started this ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for other in inherited:  # ends of pipes that only the first process may hold: if it is killed, `recv` fails here
        other.close()
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            connection.send_bytes(_answer(work, connection.recv()))


def _answer(work: Callable[[Item], Result], item: Item) -> memoryview:
    try:
        return ForkingPickler.dumps((work(item), None))
    except Exception as error:
        error.add_note(f"In a worker process:\n{traceback.format_exc()}")
        try:
            return ForkingPickler.dumps((None, error))
        except Exception:  # some exceptions hold what cannot be pickled
            return ForkingPickler.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))

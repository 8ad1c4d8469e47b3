"""A thread for work that a stage does not wait for. It does one task after another and ends with its process."""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


class BackgroundThread:
    """Starts with its first task. It is a daemon thread: a task that hangs does not stop the process from ending."""

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[Future, Callable[[], object]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def submit(self, task: Callable[[], Result]) -> "Future[Result]":
        """Run the task after those that were submitted before."""
        if self._thread.ident is None:
            self._thread.start()
        done: Future[Result] = Future()
        self._tasks.put((done, task))
        return done

    def submit_last(self, task: Callable[[], Result]) -> "Future[Result]":
        """Run the task next. Tasks that have not started yet are cancelled."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._tasks.get_nowait()[0].cancel()
        return self.submit(task)

    def _work(self) -> None:
        while True:
            done, task = self._tasks.get()
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(task())
            except Exception as error:  # the caller gets it from the Future
                done.set_exception(error)

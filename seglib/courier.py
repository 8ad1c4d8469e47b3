"""Errands that nobody waits for: done one after another by a thread that ends with its process."""

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


class Courier:
    """Starts with its first errand. Its thread is a daemon: an errand that hangs holds up no process that ends."""

    def __init__(self) -> None:
        self._errands: queue.SimpleQueue[tuple[Future, Callable[[], object]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def send(self, errand: Callable[[], Result]) -> "Future[Result]":
        """Have it done after what was sent before."""
        if self._thread.ident is None:
            self._thread.start()
        done: Future[Result] = Future()
        self._errands.put((done, errand))
        return done

    def send_last(self, errand: Callable[[], Result]) -> "Future[Result]":
        """Have it done next, in place of all that has not begun."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._errands.get_nowait()[0].cancel()
        return self.send(errand)

    def _work(self) -> None:
        while True:
            done, errand = self._errands.get()
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(errand())
            except Exception as error:  # whoever asks for the result is told
                done.set_exception(error)

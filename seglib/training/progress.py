"""What trainings show while they run: bars in a terminal, lines of text anywhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch

from seglib.training.device import peak_memory_mb

EVERY = 0.25  # seconds between two messages about the pictures of a training in another process


class Bar(Protocol):
    """The place of one training on a screen."""

    def update(self, images: int) -> None:
        """Add pictures that were learnt from."""

    def show(self, **values: str) -> None:
        """Show these values beside the bar."""

    def close(self) -> None:
        """Take the bar away."""


class Screen:
    """Where trainings of this process are shown: lines on standard output, and bars if standard error is a terminal."""

    def open(self, title: str, *, images: int, done: int) -> Bar | None:
        """A bar for a training; None without a terminal. images: those of all epochs; done: those of earlier runs."""
        return _terminal_bar(title, images=images, done=done)

    def say(self, line: str) -> None:
        """Print a line of text above all bars."""
        if sys.stderr.isatty():
            from tqdm import tqdm

            tqdm.write(line)
        else:
            print(line, flush=True)


def _terminal_bar(title: str, *, images: int, done: int, stays: bool = True, **options: Any) -> "_TerminalBar | None":
    if not sys.stderr.isatty():
        return None
    from tqdm import tqdm

    return _TerminalBar(tqdm(total=images, initial=done, desc=title, unit="image", dynamic_ncols=True, smoothing=0.05,
                             leave=stays, **options))


class _TerminalBar:
    """A bar of tqdm's."""

    def __init__(self, bar: Any):
        self._bar = bar

    def update(self, images: int) -> None:
        self._bar.update(images)

    def show(self, **values: str) -> None:
        self._bar.set_postfix(**values)

    def move_to(self, images: int, text: str) -> None:
        """Put the bar there, behind this text."""
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(images - self._bar.n)

    def close(self) -> None:
        self._bar.close()


_screen: Screen = Screen()


@contextlib.contextmanager
def shown_on(screen: Screen) -> Iterator[None]:
    """Show what begins within the block, in this process, on another screen."""
    global _screen
    before, _screen = _screen, screen
    try:
        yield
    finally:
        _screen = before


class Progress(contextlib.AbstractContextManager):
    """One training's place on the screen: images/s, the time that is left, loss and peak memory.

    Without a terminal there is no bar, and only what is said is printed. images: those of all epochs; done: of them,
    those that an earlier run saw.
    """

    def __init__(self, title: str, *, images: int, done: int, device: torch.device):
        self._title, self._device, self._screen = title, device, _screen
        self._bar = _screen.open(title, images=images, done=done)

    def update(self, images: int) -> None:
        if self._bar is not None:
            self._bar.update(images)

    def show(self, loss: float | None) -> None:
        """The loss of the last window that is known, if one is: on a GPU, the last of the epoch before."""
        if self._bar is not None and loss is not None:
            self._bar.show(loss=f"{loss:.4g}", memory=f"{peak_memory_mb(self._device) / 1e3:.1f} GB")

    def say(self, text: str) -> None:
        self._screen.say(f"{self._title} {text}")

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.close()


class GroupScreen(Screen):
    """Where trainings that run together are shown: a bar for each that runs, and a line for all of them.

    name: of the group. images: for each training's title, the pictures of all its epochs. clock: gives seconds. The
    time that is left follows from the pictures that are left and the speed so far.
    """

    def __init__(self, name: str, images: Mapping[str, int], *, clock: Callable[[], float] = time.monotonic):
        self._name, self._images, self._clock = name, dict(images), clock
        self._at = dict.fromkeys(images, 0)  # for each training, how many pictures are behind it
        self._seen, self._ended, self._started = 0, 0, clock()
        self._line = _terminal_bar(name, images=sum(images.values()), done=0, stays=False,
                                   bar_format="{desc} {percentage:3.0f}%|{bar}|")

    def open(self, title: str, *, images: int, done: int) -> Bar:
        self._images[title], self._at[title] = images, done
        return _GroupBar(title, _terminal_bar(title, images=images, done=done, stays=False), self._see)

    def end(self, title: str) -> None:
        """This training is finished, was skipped or has failed."""
        self._ended += 1
        self._at[title] = self._images[title]
        if self._line is None:
            self.say(f"{self._name}: {self.summary()}")
        self._draw()

    def summary(self) -> str:
        """How far all trainings together are, in words."""
        from tqdm import tqdm

        left, seconds = sum(self._images.values()) - sum(self._at.values()), self._clock() - self._started
        ended = f"{self._ended} of {len(self._images)} trainings ended"
        if not (left and self._seen and seconds):
            return ended
        rate = self._seen / seconds
        return f"{ended}, {rate:.0f} images/s together, about {tqdm.format_interval(left / rate)} left"

    def close(self) -> None:
        if self._line is not None:
            self._line.close()

    def _see(self, title: str, images: int) -> None:
        self._seen += images
        self._at[title] += images
        self._draw()

    def _draw(self) -> None:
        if self._line is not None:
            self._line.move_to(sum(self._at.values()), f"{self._name}: {self.summary()}")


class _GroupBar:
    """A training's bar, whose pictures count for its group too. bar: None without a terminal."""

    def __init__(self, title: str, bar: "_TerminalBar | None", see: Callable[[str, int], None]):
        self._title, self._bar, self._see = title, bar, see

    def update(self, images: int) -> None:
        if self._bar is not None:
            self._bar.update(images)
        self._see(self._title, images)

    def show(self, **values: str) -> None:
        if self._bar is not None:
            self._bar.show(**values)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


class Relay(Screen):
    """Hands what one training shows on to another process, as messages that `play` there understands."""

    def __init__(self, send: Callable[[tuple[Any, ...]], None]):
        self._send = send

    def open(self, title: str, *, images: int, done: int) -> Bar:
        self._send(("open", title, images, done))
        return _RelayedBar(self._send)

    def say(self, line: str) -> None:
        self._send(("say", line))


class _RelayedBar:
    """Sends the number of pictures a few times per second: a message for each step would slow down fast steps."""

    def __init__(self, send: Callable[[tuple[Any, ...]], None]):
        self._send, self._images, self._sent = send, 0, time.monotonic()

    def update(self, images: int) -> None:
        self._images += images
        if time.monotonic() - self._sent >= EVERY:
            self._flush()

    def show(self, **values: str) -> None:
        self._send(("show", values))

    def close(self) -> None:
        self._flush()
        self._send(("close",))

    def _flush(self) -> None:
        self._send(("update", self._images))
        self._images, self._sent = 0, time.monotonic()


class Relayed:
    """Shows on `screen` what the `Relay` of one other process sends."""

    def __init__(self, screen: Screen):
        self._screen, self._bar = screen, None

    def play(self, message: tuple[Any, ...]) -> None:
        match message:
            case "open", title, images, done:
                self._bar = self._screen.open(title, images=images, done=done)
            case "say", line:
                self._screen.say(line)
            case "update", images:
                self._bar.update(images)
            case "show", values:
                self._bar.show(**values)
            case ("close",):
                self.close()

    def close(self) -> None:
        """Take the bar away, also that of a process that could not say so any more."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

"""How errors name things: what is nearest to a name that does not exist, what was found instead of what was wanted."""

import difflib
import reprlib

LONGEST = 200  # characters of a value that an error shows


class _Brief(reprlib.Repr):
    def __init__(self):
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = 80
        self.maxdict = self.maxlist = self.maxtuple = self.maxset = 8

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to write more than 4,300 digits.
        return repr(value) if value.bit_length() < 4 * self.maxlong else f"a number of {value.bit_length()} bits"


_BRIEF = _Brief()


def brief(value: object) -> str:
    """Any value as an error shows it: part of one line, however large, deep or hostile it is."""
    text = _BRIEF.repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def nearest(name: str, known: list[str]) -> str:
    """A sentence that names the known name closest to `name`, or all of them when none is close."""
    close = difflib.get_close_matches(name[:LONGEST], known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"

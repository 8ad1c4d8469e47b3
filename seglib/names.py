"""What to say about a name that does not exist."""

import difflib


def nearest(name: str, known: list[str]) -> str:
    """A sentence that names the known name closest to `name`, or all of them when none is close."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"

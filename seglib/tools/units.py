"""Seconds and bytes, for people."""


def duration(seconds: float) -> str:
    """Two or three digits, in the largest unit of which there are at least two."""
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def size(number: float) -> str:
    """Bytes, in the largest unit of which there is at least one."""
    for unit, length in (("GB", 1e9), ("MB", 1e6)):
        if number >= length:
            return f"{number / length:.1f} {unit}"
    return f"{number / 1e3:.0f} kB"

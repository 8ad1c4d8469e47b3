"""All benchmarks, as Markdown. `python -m benchmarks` (`make bench`), `python -m benchmarks long` (`make bench-long`).

Each module can be run alone: `python -m benchmarks.training`.
"""

import importlib
import sys
import time

from benchmarks.harness import machine

# Those that end in minutes, and those that do not.
SHORT = ("training", "data", "coco", "pictures", "statistics")
LONG = ("together", "road", "scaling", "page", "quality")


def main() -> None:
    started = time.perf_counter()
    print(f"## {machine()}", flush=True)
    for name in LONG if "long" in sys.argv[1:] else SHORT:
        importlib.import_module(f"benchmarks.{name}").main()
    print(f"{(time.perf_counter() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()

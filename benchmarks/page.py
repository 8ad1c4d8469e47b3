"""How large the page is and how fast it opens: 20 variants × 1,000 test pictures, from disk, in headless Chromium.

    python -m benchmarks.page

Prints one table. Opening is what Navigation Timing says, from the start of the navigation until the text is parsed and
the scripts have run (DOMContentLoaded) and until everything is loaded (load): of the browser's first page, and the
median of 5 more openings.
"""

import shutil
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.harness import heading, table
from seglib.report.builder import build
from tests.report.browser import Browser
from tests.report.synthetic import LOSSES, Study, write

OPENINGS = 5
STUDIES = {
    "64×64": Study(models=("munet", "munet_aspp", "unet", "resnet"), losses=tuple(LOSSES), images=1000, pictures=36,
                   gap=0.01),
    "256×256": Study(models=("munet", "munet_aspp", "unet", "resnet"), losses=tuple(LOSSES), images=1000, pictures=36,
                     gap=0.01, side=256),
}
TIMING = """const [entry] = performance.getEntriesByType("navigation");
return entry.loadEventEnd > 0 && [entry.domContentLoadedEventEnd, entry.loadEventEnd]"""


def main() -> None:
    heading("The page, 20 variants × 1,000 test pictures, in headless Chromium")
    rows = []
    for name, study in STUDIES.items():
        with tempfile.TemporaryDirectory() as folder:
            rows.append([name, *measure(study, Path(folder))])
    table(["pictures", "built in", "reports/", "index.html", "data", "first load", "DOMContentLoaded", "load"], rows)


def measure(study: Study, folder: Path) -> list[str]:
    """The cells of a row."""
    write(study, folder / "comparisons")
    out = folder / "reports"
    out.mkdir()
    start = time.perf_counter()
    build([study.dataset], folder / "comparisons", out)
    built = time.perf_counter() - start
    total = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    timings = []
    with Browser(shutil.which("chromium"), shutil.which("chromedriver"), profile=folder / "profile") as browser:
        browser.screen(1280, 900)
        for _ in range(1 + OPENINGS):
            browser.open(out / "index.html")
            timings.append(browser.wait_for(TIMING))
        assert browser.console() == []
    parsed, loaded = (statistics.median(column) for column in zip(*timings[1:], strict=True))
    sizes = [total, (out / "index.html").stat().st_size, (out / f"data/{study.dataset}.js").stat().st_size]
    return [f"{built:.1f} s", *(f"{size / 1e6:.2f} MB" for size in sizes),
            *(f"{duration / 1e3:.2f} s" for duration in (timings[0][1], parsed, loaded))]


if __name__ == "__main__":
    main()

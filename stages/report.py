"""Write the page from comparisons/. `python -m stages.report`"""

from pathlib import Path

import stages
from seglib.files import atomic_folder, write_json
from seglib.pipeline.workspace import live_datasets
from seglib.report.builder import build


def main() -> None:
    """Write reports/index.html and metrics.json."""
    with atomic_folder(Path("reports"), keeps_others=True) as out:
        headline = build(live_datasets(), Path("comparisons"), out)
    write_json(Path("metrics.json"), headline)
    print("reports/index.html")


if __name__ == "__main__":
    stages.run(main)

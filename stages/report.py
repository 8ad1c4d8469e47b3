"""Write the page from comparisons/. `python -m stages.report`"""

from pathlib import Path

import stages
from seglib.configs import ReportConfig
from seglib.files import atomic_folder, write_json
from seglib.pipeline.code import RunningCode
from seglib.pipeline.workspace import REPORT_CONFIG
from seglib.report.builder import build


def main() -> None:
    """Write reports/index.html and metrics.json."""
    code, config = RunningCode(REPORT_CONFIG), ReportConfig.read(REPORT_CONFIG)
    with atomic_folder(Path("reports"), keeps_others=True) as out:
        headline = build(config.datasets, Path("comparisons"), out)
        code.check()
    write_json(Path("metrics.json"), headline)
    print("reports/index.html")


if __name__ == "__main__":
    stages.run(main)

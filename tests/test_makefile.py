"""What the Makefile promises."""

import re

from tests.conftest import ROOT


def test_mlflows_page_is_served_to_this_machine_alone():
    makefile = (ROOT / "Makefile").read_text()
    commands = re.findall(r"^.*\bmlflow (?:ui|server)\b.*$", makefile, re.MULTILINE)
    assert commands and all(" --host 127.0.0.1 " in command for command in commands)
    assert not re.search(r"--(?:allowed-hosts|cors)|0\.0\.0\.0", makefile)

"""The archives of `make release`, without what is in them: `release.py` tests that."""

import os
import sys

from local import ROOT

sys.path.insert(0, str(ROOT / "crates/dev"))

from release import add, pack


def test_the_same_programs_make_the_same_archives_whenever_and_wherever(tmp_path):
    program = tmp_path / "program"
    made = []
    for name, time, mode in (("first", 1e9, 0o700), ("second", 1.5e9, 0o755)):
        program.write_bytes(b"the same")
        program.chmod(mode)
        os.utime(program, (time, time))
        folder = tmp_path / name
        folder.mkdir()
        pack(folder / f"{name}.tar.gz", "heartbeat-agent", program)
        add(folder / f"{name}.zip", {"bootstrap": program})
        made.append([(folder / f"{name}.{kind}").read_bytes() for kind in ("tar.gz", "zip")])
    assert made[0] == made[1]

#!/usr/bin/env python3
"""Installs packages into a virtual environment, once: the project's own tools.

    crates/dev/tools.py target/tools/ready FILE-OR-REQUIREMENT…

Of a file, pip takes only what has one of its hashes. Several stamps can share an environment, the folder that they are in. A stamp
holds Python's version, and the packages that were asked for, with the checksums of their files. Where it says something else, the
environment is made anew.
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def options(requirements):
    """The arguments of pip, and what they mean now."""
    arguments, meaning = [], [sys.version]
    for given in requirements:
        if os.path.isfile(given):
            # The file has all that its packages need.
            arguments += ["--no-deps", "--require-hashes", "--requirement", given]
            meaning.append(f"{given} {hashlib.sha256(Path(given).read_bytes()).hexdigest()}")
        else:
            arguments.append(given)
            meaning.append(given)
    return arguments, "\n".join(meaning) + "\n"


def install(stamp, *requirements):
    """Brings the environment to what is asked for, if it is not there."""
    stamp = Path(stamp)
    folder = stamp.parent
    arguments, wanted = options(requirements)
    # A link to a Python that is gone does not exist.
    stamps = list(folder.glob("*ready")) if (folder / "bin/python").exists() else []
    if stamp in stamps and stamp.read_text() == wanted:
        return
    is_usable = stamps and all(each.read_text().startswith(f"{sys.version}\n") for each in stamps)
    if stamp in stamps or not is_usable:
        # One sentence if venv is missing; venv itself has ten lines.
        look = subprocess.run([ROOT / ".ci/install", "--look", "tools"], env=os.environ | {"INSTALL": "no"})
        if look.returncode:
            sys.exit(look.returncode)
        if folder.is_symlink() and not folder.exists():
            folder.unlink()
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
    subprocess.run([folder / "bin/python", "-m", "pip", "install", "--quiet", *arguments], check=True)
    stamp.write_text(wanted)


if __name__ == "__main__":
    try:
        install(*sys.argv[1:])
    except subprocess.CalledProcessError as failure:
        sys.exit(f"{sys.argv[1]}: {failure.cmd[0]} failed.")

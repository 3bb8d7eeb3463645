"""Commands as a reader types them."""

import os
import subprocess

from stack import ROOT


def run(command, **environment):
    """What a command prints."""
    path = f"{ROOT}/target/tools/bin:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euc", command], cwd=ROOT, env=os.environ | environment | {"PATH": path}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout

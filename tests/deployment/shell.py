"""Runs commands as a reader would."""

import os
import subprocess

from local import DEBUG, ROOT


def run(command, **environment):
    """Runs a command in bash; returns its output."""
    environment = os.environ | environment | {"PATH": f"{DEBUG}:{ROOT}/target/tools/bin:{os.environ['PATH']}"}
    result = subprocess.run(["bash", "-euc", command], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout

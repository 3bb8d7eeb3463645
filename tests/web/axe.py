"""axe-core, which finds what keeps people from using a page."""

import base64
import hashlib
import io
import subprocess
import tarfile

from local import ROOT

PACKAGE = "axe-core@4.14.1"
SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
TARGET = ROOT / "target"


def script():
    """Its source, which is downloaded once."""
    file = TARGET / f"{PACKAGE}.js"
    if not file.exists():
        command = ["npm", "pack", "--silent", PACKAGE]
        packed = subprocess.run(command, cwd=TARGET, check=True, stdout=subprocess.PIPE, text=True)
        archive = TARGET / packed.stdout.strip()
        content = archive.read_bytes()
        archive.unlink()
        digest = base64.b64encode(hashlib.sha512(content).digest()).decode()
        assert digest == SHA512, f"{PACKAGE}: the hash is {digest} instead of {SHA512}"
        with tarfile.open(fileobj=io.BytesIO(content)) as files:
            file.write_bytes(files.extractfile("package/axe.min.js").read())
    return file.read_text()


def findings(page):
    """What is wrong with what a page shows now."""
    page.evaluate(f"{script()}; undefined")
    violations = page.evaluate("axe.run()")["violations"]
    return [f"{each['id']}: {node['html'][:200]} {node['failureSummary']}" for each in violations for node in each["nodes"]]

"""Stops a deployment whose functions are built for a different processor from the one they would run on.

    target/tools/bin/python crates/dev/check_architecture.py ARCHITECTURE

The functions will run on the Architecture in samconfig.toml, or else on ARCHITECTURE. The ELF header of each
`bootstrap` shows what it is built for. The script restricts the built template to this architecture, so that
CloudFormation rejects a different answer to `sam deploy --guided`.
"""

import struct
import sys
from pathlib import Path

from samcli.cli.types import CfnParameterOverridesType
from samcli.lib.config.samconfig import SamConfig
from samcli.yamlhelper import yaml_dump, yaml_parse

BUILD = Path(".aws-sam/build")
MACHINES = {62: "x86_64", 183: "arm64"}


def machine(bootstrap):
    """The architecture that a program is built for."""
    header = bootstrap.read_bytes()[:20]
    if len(header) < 20 or header[:4] != b"\x7fELF":
        sys.exit(f"{bootstrap} is not a program for Linux.")
    # Byte 5 gives the byte order; e_machine is at offset 18.
    (number,) = struct.unpack_from("<H" if header[5] == 1 else ">H", header, 18)
    return MACHINES.get(number, f"machine {number}")


def remembered():
    """The architecture in samconfig.toml, which SAM will propose, if there is one."""
    parameters = SamConfig(Path.cwd()).get_all(["deploy"], "parameters")
    overrides = CfnParameterOverridesType().convert((parameters.get("parameter_overrides", ""),), None, None)
    return overrides.get("Architecture")


def main():
    requested = sys.argv[1]
    deployed = remembered() or requested
    bootstraps = sorted(BUILD.glob("*/bootstrap"))
    if not bootstraps:
        sys.exit(f"There is no {BUILD}/*/bootstrap.")
    for bootstrap in bootstraps:
        built = machine(bootstrap)
        if built != deployed:
            sys.exit(
                f"Not deployed: {bootstrap} is built for {built}, but would run on {deployed}.\n"
                f"Build for {deployed}, or change Architecture in samconfig.toml to {built}."
            )
    template = BUILD / "template.yaml"
    content = yaml_parse(template.read_text())
    content["Parameters"]["Architecture"] |= {"Default": deployed, "AllowedValues": [deployed]}
    template.write_text(yaml_dump(content))


if __name__ == "__main__":
    main()

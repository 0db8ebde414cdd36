"""What the requirements files pin: looked up among known vulnerabilities, and listed as an SBOM.

`audit FILE…` and `sbom FILE OUTPUT`. Both fail if anything that is pinned was left out: pip-audit by itself is content
when it could look up nothing. They need pip-audit and cyclonedx-bom (`make audit`, `make sbom`).
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

IGNORED = ["CVE-2024-23342"]  # of ecdsa, which python-jose installs and nothing here uses: docs/security.md
PINNED = re.compile(r"(?m)^[A-Za-z0-9][^\\\n#]*==[^\\\n#]*")


def pinned(file: str, *, here: bool) -> set[str]:
    """Return the names that a file pins; with `here` without those of other platforms and versions."""
    found = [Requirement(line.strip()) for line in PINNED.findall(Path(file).read_text())]
    return {canonicalize_name(r.name) for r in found if not here or r.marker is None or r.marker.evaluate()}


def report(*command: str) -> str:
    """Return what a tool prints; it ends with 1 when it has found something."""
    done = subprocess.run([sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, check=False)  # noqa: S603
    if done.returncode not in (0, 1) or not done.stdout:
        raise SystemExit(f"{command[0]} failed with exit code {done.returncode}")
    return done.stdout


def audit(file: str) -> list[str]:
    """Return what is wrong with what a file pins."""
    options = [option for name in IGNORED for option in ("--ignore-vuln", name)]
    command = ("pip_audit", "--require-hashes", "--disable-pip", "--format", "json", *options)
    found = {dep["name"]: dep for dep in json.loads(report(*command, "-r", file))["dependencies"]}
    audited = {canonicalize_name(name) for name, dep in found.items() if "vulns" in dep}
    return left_out(file, pinned(file, here=True), audited) + [
        f"{file}: {name} {dep['version']} has {vuln['id']}, mended in {', '.join(vuln['fix_versions']) or 'no version'}"
        for name, dep in found.items()
        for vuln in dep.get("vulns", [])
    ]


def sbom(file: str, output: str) -> list[str]:
    """Write the SBOM of what a file pins (CycloneDX)."""
    content = report("cyclonedx_py", "requirements", file, "--output-format", "JSON", "--output-file", "-")
    Path(output).write_text(content)
    listed = {canonicalize_name(component["name"]) for component in json.loads(content).get("components", [])}
    return left_out(file, pinned(file, here=False), listed)


def left_out(file: str, wanted: set[str], done: set[str]) -> list[str]:
    """Return a complaint if a file pins nothing, or something that was not dealt with."""
    missing = sorted(wanted - done)
    if not wanted:
        return [f"{file} pins nothing"]
    return [f"{file}: {len(missing)} of {len(wanted)} left out: {', '.join(missing)}"] if missing else []


def main(command: str, *arguments: str) -> str | None:
    """Carry out a command; return what is wrong, one line each."""
    wrong = sbom(*arguments) if command == "sbom" else [line for file in arguments for line in audit(file)]
    if not wrong:
        print(f"{command}: nothing left out of {', '.join(arguments)}")
    return "\n".join(wrong) or None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""What is in an image, from the records of dpkg and of the compiler; run by the Dockerfile's build.

    sbom.py libraries PROGRAM...                  the Debian packages whose shared libraries the programs load, one a line
    sbom.py document OPTIONS PROGRAM-NAME...      an SPDX 2.3 document of an image with these programs, as JSON
"""

import argparse
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import urllib.parse
import uuid
from collections.abc import Iterable
from typing import Any

DPKG_FIELDS = "${db:Status-Status}\t${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n"


def run(*command: object) -> str:
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True).stdout


def owners(paths: Iterable[str]) -> list[str]:
    """The Debian packages that installed these files."""
    wanted = sorted({str(pathlib.Path(path).resolve()) for path in paths})
    found = {}
    # dpkg remembers some files by their place before /lib became a link to /usr/lib.
    asked = wanted + [path.removeprefix("/usr") for path in wanted if path.startswith("/usr/lib")]
    for start in range(0, len(asked), 500):
        done = subprocess.run(["dpkg-query", "-S", *asked[start:start + 500]], check=False, capture_output=True, text=True)
        for line in done.stdout.splitlines():
            packages, _, path = line.rpartition(": ")
            if not packages.startswith("diversion by"):
                found[path] = packages.split(", ")[0].split(":")[0]
    missing = [path for path in wanted if path not in found and path.removeprefix("/usr") not in found]
    if missing:
        sys.exit(f"sbom: no Debian package has installed {', '.join(missing[:5])}")
    return sorted(set(found.values()))


def libraries(programs: Iterable[pathlib.Path]) -> list[str]:
    paths = set()
    for program in programs:
        for line in run("ldd", program).splitlines():
            if "not found" in line:
                sys.exit(f"sbom: {program}: {line.strip()}")
            match = re.search(r"(?:=> )?(/\S+) \(0x", line)
            if match:
                paths.add(match.group(1))
    return owners(paths)


def headers(build: pathlib.Path, program: str) -> list[str]:
    """The Debian packages whose headers were compiled into a program: header-only libraries leave no other trace."""
    objects = {line for line in run("ninja", "-C", build, "--quiet", "-t", "inputs", program).splitlines() if line.endswith(".o")}
    paths, mine = set(), False
    for line in run("ninja", "-C", build, "--quiet", "-t", "deps").splitlines():
        if line and not line.startswith(" "):
            mine = line.split(":")[0] in objects
        elif mine and line.strip().startswith("/usr/"):
            paths.add(line.strip())
    if not paths:
        sys.exit(f"sbom: ninja knows no headers of {program}")
    return owners(paths)


def spdx_id(kind: str, name: str) -> str:
    return f"SPDXRef-{kind}-" + re.sub(r"[^A-Za-z0-9.-]", lambda match: f"-{ord(match.group()):x}-", name)


def debian_packages(admin_folder: str) -> dict[str, dict[str, Any]]:
    """Name → SPDX package, of all that dpkg has recorded as installed there."""
    result = {}
    release = run("sh", "-c", ". /etc/os-release && echo $VERSION_ID").strip()
    for line in run("dpkg-query", f"--admindir={admin_folder}", "-W", f"-f={DPKG_FIELDS}").splitlines():
        status, name, version, architecture, source, source_version = line.split("\t")
        if status != "installed":
            continue
        quoted = urllib.parse.quote(version, safe="~")
        result[name] = {
            "SPDXID": spdx_id("Debian", f"{name}-{version}"),
            "name": name,
            "versionInfo": version,
            "supplier": "Organization: Debian",
            "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False,
            "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION",
            "copyrightText": "NOASSERTION",
            "sourceInfo": f"built from Debian's source package {source} {source_version}; licence: /usr/share/doc/{name}/copyright",
            "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl",
                              "referenceLocator": f"pkg:deb/debian/{urllib.parse.quote(name)}@{quoted}?arch={architecture}&distro=debian-{release}"}],
        }
    return result


def document(arguments: argparse.Namespace) -> dict[str, Any]:
    installed = debian_packages(f"{arguments.root}/var/lib/dpkg")
    of_build = debian_packages("/var/lib/dpkg")
    own = {"downloadLocation": "NOASSERTION", "filesAnalyzed": False, "licenseConcluded": "Apache-2.0", "licenseDeclared": "Apache-2.0",
           "copyrightText": "NOASSERTION", "versionInfo": arguments.version, "sourceInfo": f"commit {arguments.commit}"}
    image = {"SPDXID": spdx_id("Image", arguments.image), "name": f"stockalert/{arguments.image}", "primaryPackagePurpose": "CONTAINER", **own,
             "licenseConcluded": "NOASSERTION"}
    packages = {package["SPDXID"]: package for package in installed.values()}
    relations = [("SPDXRef-DOCUMENT", "DESCRIBES", image["SPDXID"])]
    relations += [(image["SPDXID"], "CONTAINS", identity) for identity in packages]
    packages[image["SPDXID"]] = image
    for name in arguments.names:
        path = arguments.programs / name
        program = {"SPDXID": spdx_id("Program", name), "name": name, "primaryPackagePurpose": "APPLICATION", **own,
                   "checksums": [{"algorithm": "SHA256", "checksumValue": hashlib.sha256(path.read_bytes()).hexdigest()}]}
        packages[program["SPDXID"]] = program
        relations.append((image["SPDXID"], "CONTAINS", program["SPDXID"]))
        for library in libraries([path]):
            if library not in installed:
                sys.exit(f"sbom: {name} loads a library of {library}, which the image lacks")
            relations.append((program["SPDXID"], "DYNAMIC_LINK", installed[library]["SPDXID"]))
        for library in headers(arguments.build, name):
            packages[of_build[library]["SPDXID"]] = of_build[library]
            relations.append((of_build[library]["SPDXID"], "BUILD_DEPENDENCY_OF", program["SPDXID"]))
    contents = sorted(packages.values(), key=lambda package: package["SPDXID"])
    digest = hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"stockalert-{arguments.image}-{arguments.version}",
        "documentNamespace": uuid.uuid5(uuid.NAMESPACE_URL, f"{arguments.image} {arguments.commit} {digest}").urn,
        "creationInfo": {"created": arguments.created, "creators": ["Organization: StockAlert", "Tool: stockalert-docker-sbom.py"]},
        "packages": contents,
        "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other} for one, kind, other in relations],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="sbom.py")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("libraries")
    command.add_argument("names", nargs="+")
    command = commands.add_parser("document")
    for name in ("image", "version", "commit", "created"):
        command.add_argument(f"--{name}", required=True)
    command.add_argument("--root", required=True, help="where the image's file system is")
    command.add_argument("--build", required=True, type=pathlib.Path, help="the build folder, with ninja's records")
    command.add_argument("--programs", required=True, type=pathlib.Path, help="the folder of the programs")
    command.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    if arguments.command == "libraries":
        print("\n".join(libraries(arguments.names)))
    else:
        json.dump(document(arguments), sys.stdout, indent=1)
        print()


if __name__ == "__main__":
    main()

"""The images: what they run as, what they are made of, how large they are."""

import hashlib
import io
import json
import re
import tarfile

import images
from images import PROGRAMS, ROOT, docker, inspect, name

# Cairo with the X libraries that it loads, and the font of pictures, take 13 of them.
OVER_BASE_MB_MAX = 70
CONFINED = ("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")


def expect(condition, text):
    if not condition:
        raise AssertionError(text)


def read_file(image, path):
    container = docker("create", name(image)).stdout.strip()
    try:
        done = images.subprocess.run(["docker", "cp", f"{container}:{path}", "-"], capture_output=True, check=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            return archive.extractfile(archive.next()).read()
    finally:
        docker("rm", container)


def confined():
    """Every program answers as nobody in particular, on a read-only file system, without capabilities, network and shell."""
    images.build()
    for image, programs in PROGRAMS.items():
        config = inspect(name(image))["Config"]
        labels = config["Labels"]
        version, commit = (labels[f"org.opencontainers.image.{label}"] for label in ("version", "revision"))
        expect(re.fullmatch(r"\d+\.\d+\.\d+", version), f"{image}: version {version!r}")
        expect(re.fullmatch(r"[0-9a-f]{40}(-dirty)?|unknown", commit), f"{image}: commit {commit!r}")
        expect(re.fullmatch(r"[1-9]\d*:[1-9]\d*", config["User"]), f"{image}: user {config['User']!r} is not a number, or root")
        for program in programs:
            # The tmpfs hides every shell and tool of the base.
            done = docker("run", *CONFINED, "--tmpfs", "/usr/bin", "--entrypoint", program, name(image), "--version")
            expect(done.stdout.strip() == f"{program} {version} ({commit})", f"{image}: {program} --version says {done.stdout!r}")
        if image != "tools":
            expect(config["Entrypoint"] == programs, f"{image}: entrypoint {config['Entrypoint']}")
            expect(config["Healthcheck"]["Test"] == ["CMD", programs[0], "--healthcheck"], f"{image}: {config['Healthcheck']}")
            done = docker("run", *CONFINED, name(image), "--healthcheck", check=False)
            expect(done.returncode == 1, f"{image}: --healthcheck ends with {done.returncode} where nothing is served: {done.stderr}")
        wrote = docker("run", *CONFINED, "--entrypoint", "touch", name(image), "/usr/local/bin/x", check=False)
        expect("Read-only file system" in wrote.stderr, f"{image}: a file could be written: {wrote.stderr}")


def sizes():
    images.build()
    base = inspect("debian:bookworm-slim")
    common = None
    for image in PROGRAMS:
        found = inspect(name(image))
        over_mb = (found["Size"] - base["Size"]) / 1e6
        expect(over_mb <= OVER_BASE_MB_MAX, f"{image} is {over_mb:.1f} MB larger than its base; at most {OVER_BASE_MB_MAX}")
        layers = found["RootFS"]["Layers"]
        common = layers if common is None else [one for one, other in zip(common, layers) if one == other]
    expect(len(common) > len(base["RootFS"]["Layers"]), "the images share no layer beyond the base")


def bills():
    """The documents agree with what dpkg knows in the image, and with the programs in it."""
    images.build()
    for image, programs in PROGRAMS.items():
        text = read_file(image, "/usr/share/doc/stockalert/sbom.spdx.json")
        expect((ROOT / "build" / "images" / f"{image}.spdx.json").read_bytes() == text, f"{image}: build/images holds another document")
        bill = json.loads(text)
        expect(bill["spdxVersion"] == "SPDX-2.3", f"{image}: {bill['spdxVersion']}")
        packages = {package["SPDXID"]: package for package in bill["packages"]}
        contained = [packages[r["relatedSpdxElement"]] for r in bill["relationships"] if r["relationshipType"] == "CONTAINS"]
        listed = {(p["name"], p["versionInfo"]) for p in contained if p["name"] not in programs}
        dpkg = docker("run", *CONFINED, "--entrypoint", "dpkg-query", name(image), "-W", "-f", "${Package} ${Version}\n").stdout
        installed = {tuple(line.split(" ")) for line in dpkg.splitlines()}
        expect(len(installed) > 80, f"{image}: dpkg knows {len(installed)} packages")
        expect(listed == installed, f"{image}: the document and dpkg differ: {sorted(listed ^ installed)[:5]}")
        for program in programs:
            element = next(p for p in contained if p["name"] == program)
            found = hashlib.sha256(read_file(image, f"/usr/local/bin/{program}")).hexdigest()
            expect(element["checksums"] == [{"algorithm": "SHA256", "checksumValue": found}], f"{image}: {program}'s checksum")
            linked = {packages[r["relatedSpdxElement"]]["name"] for r in bill["relationships"]
                      if r["relationshipType"] == "DYNAMIC_LINK" and r["spdxElementId"] == element["SPDXID"]}
            expect({"libc6", "libstdc++6"} <= linked, f"{image}: {program} is linked with {sorted(linked)}")
        # What no program is linked with, and the pictures of mails need.
        expect("fonts-dejavu-core" in {package for package, _ in listed}, f"{image}: there is no font")


CASES = [
    ("images: built", images.build),
    ("images: confined, without a shell", confined),
    ("images: sizes and shared layers", sizes),
    ("images: bills of materials", bills),
]

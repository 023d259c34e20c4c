"""Is this a release? `make release-check`: what is built, installed alone, run, and compared; a line each.

The wheel is installed without extras into an environment of its own, and exports a run there, outside of this
repository. Only the package index is asked, and the list of known vulnerabilities where that can be reached.
"""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
FIXTURE = ROOT / "tests" / "sources" / "older" / "chroma-1.0.21.zip"
QUESTION = [3.0, 0.5, -1.0, 0.0, 2.0]
IN_THE_WHEEL = ("exporter/py.typed", "exporter/serving/opening.js", "exporter/sharing/shared.js")
REFUSED_LICENCES = re.compile(
    r"(?<!L)\bA?GPL|GNU (Affero )?General Public|Server Side|Commons Clause|Proprietary", re.I
)
TOOLS = {"pip", "setuptools", "wheel"}


class Fault(Exception):
    """Something that keeps this from being a release, in words."""


def said(*command: str | Path, where: Path = ROOT, **environment: str) -> str:
    """What a command prints on stdout. Raises Fault with its last lines when it fails."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "CHROMA_"))}
    done = subprocess.run(
        [str(part) for part in command], cwd=where, capture_output=True, text=True, env={**clean, **environment}
    )
    if done.returncode:
        last = " / ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise Fault(f"{Path(str(command[0])).name} {' '.join(map(str, command[1:4]))} failed: {last}")
    return done.stdout


def version() -> str:
    """What setup.cfg says."""
    settings = configparser.ConfigParser()
    settings.read(ROOT / "setup.cfg", encoding="utf-8")
    return settings["metadata"]["version"]


def the_version() -> str:
    """The changelog has the version, or something unreleased; a tag here is that version's."""
    headings = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    if not headings or headings[0] not in ("Unreleased", version()):
        raise Fault(f"CHANGELOG.md begins with {headings[:1]}, setup.cfg has {version()}")
    tags = said("git", "tag", "--points-at", "HEAD").split()
    if tags and (f"v{version()}" not in tags or headings[0] != version()):
        raise Fault(f"this commit is tagged {', '.join(tags)}; setup.cfg has {version()}, CHANGELOG.md {headings[0]}")
    return f"{version()}, CHANGELOG.md begins with {headings[0]}, " + (f"tag {tags[0]}" if tags else "no tag yet")


def the_build() -> str:
    """An sdist and, from that, a wheel with all that it needs and no tests."""
    shutil.rmtree(DIST, ignore_errors=True)
    said(sys.executable, "-m", "build", "--outdir", DIST, ROOT)
    built = sorted(DIST.iterdir())
    with zipfile.ZipFile(_wheel()) as wheel:
        names = wheel.namelist()
    if lacking := [name for name in IN_THE_WHEEL if name not in names]:
        raise Fault(f"the wheel lacks {', '.join(lacking)}")
    if foreign := [name for name in names if not name.startswith(("exporter/", "chroma_projector-"))]:
        raise Fault(f"the wheel has {foreign[0]}, which is no part of it")
    said(sys.executable, "-m", "twine", "check", "--strict", *built)
    return ", ".join(f"{path.name} {path.stat().st_size / 1e3:.0f} kB" for path in built) + "; twine finds no fault"


def _wheel() -> Path:
    (found,) = DIST.glob("*.whl")
    return found


def the_wheel_alone(place: Path) -> str:
    """Installed with nothing but what it asks for, it explains itself, and exports a run that is whole."""
    said(sys.executable, "-m", "venv", place / "venv")
    python = place / "venv" / "bin" / "python"
    said(python, "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", _wheel(), where=place)
    program = place / "venv" / "bin" / "chroma-projector"
    if version() not in said(program, "--version", where=place):
        raise Fault("--version says another one")
    for command in (
        "",
        *re.findall(r"^  (\w+) ", said(program, "--help", where=place).partition("Commands:")[2], re.M),
    ):
        said(program, *filter(None, [command]), "--help", where=place)
    with zipfile.ZipFile(FIXTURE) as fixture:
        fixture.extractall(place / "chroma")
    (place / "q.json").write_text(json.dumps(QUESTION))
    asked = ("export", "chroma", "-c", "by-cosine", "--question-vector", "q.json", "-a", "text of id05", "--json")
    run = json.loads(said(program, *asked, where=place, HF_HUB_OFFLINE="1"))
    if "whole" not in said(program, "verify", run["run"], where=place):
        raise Fault("its run is not whole")
    said(python, "-c", "import exporter, typing; typing.get_type_hints(exporter.export)", where=place)
    return f"--help of every command, an export of {run['rows']} rows, verified"


def the_licences(place: Path) -> str:
    """No package that it needs forbids to hand it on as it is."""
    python = place / "venv" / "bin" / "python"
    command = ("-m", "piplicenses", "--python", python, "--format", "json", "--from", "mixed")
    found = json.loads(said(sys.executable, *command))
    bad = [f"{one['Name']} ({one['License']})" for one in found if REFUSED_LICENCES.search(one["License"])]
    bad = [one for one in bad if " OR " not in one and ";" not in one]  # of several one may choose
    if bad:
        raise Fault(", ".join(bad))
    unknown = [one["Name"] for one in found if one["License"] in ("UNKNOWN", "")]
    return f"{len(found)} packages, none under a licence that spreads; not said by: {', '.join(unknown) or 'none'}"


def the_vulnerabilities(place: Path) -> str:
    """Known ones of what it needs, where the list of them can be reached."""
    listed = said(place / "venv" / "bin" / "python", "-m", "pip", "list", "--format", "freeze")
    pins = [re.sub(r"\+.*", "", line) for line in listed.splitlines() if line.split("==")[0] not in TOOLS]
    (place / "pins.txt").write_text("\n".join(pin for pin in pins if not pin.startswith("chroma-projector")) + "\n")
    command = ("-m", "pip_audit", "--disable-pip", "--no-deps", "-r", "pins.txt", "--format", "json", "--timeout", "20")
    done = subprocess.run([sys.executable, *command], cwd=place, capture_output=True, text=True)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except ValueError:
        why = (done.stderr.strip().splitlines() or ["no answer"])[-1][:120]
        return f"NOT CHECKED: the list of vulnerabilities can't be reached from here ({why})"
    bad = [f"{one['name']} {one['version']}: {flaw['id']}" for one in found for flaw in one.get("vulns", ())]
    if bad:
        raise Fault("; ".join(bad))
    return f"none known of {len(found)} packages"


def the_format(place: Path) -> str:
    """Whoever reads runs of the last release can read these, or the version says that they can't."""
    tags = said("git", "tag", "--list", "v*", "--sort", "-v:refname", "--merged", "HEAD").split()
    older = [tag for tag in tags if tag != f"v{version()}"]
    if not older:
        return "there is no release before this one"
    (place / "format.json").write_text(said("git", "show", f"{older[0]}:tests/golden/format.json"))
    command = ("-m", "scripts.run_format", "tests/golden/run", "--since", place / "format.json")
    return f"since {older[0]}: {said(sys.executable, *command).strip().splitlines()[-1]}"


def checks(place: Path) -> Iterator[tuple[str, str]]:
    """What was looked at, and what was found, in the order of the work."""
    yield "version", the_version()
    yield "build", the_build()
    yield "wheel alone", the_wheel_alone(place)
    yield "licences", the_licences(place)
    yield "vulnerabilities", the_vulnerabilities(place)
    yield "format", the_format(place)


def main() -> int:
    """Look at all of it; stop at the first fault."""
    with tempfile.TemporaryDirectory() as place:
        try:
            for name, found in checks(Path(place)):
                print(f"{name}: {found}", flush=True)
        except Fault as fault:
            print(f"not a release: {fault}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Versions of what we need: pinned anew, and tried at both ends of the ranges in setup.cfg.

`python -m scripts.versions pins` resolves the newest of everything into constraints.txt, for the oldest Python that is
supported, and installs nothing. `lowest` and `newest` make an environment each, beside this repository's own, and run
the tests that need no browser in it; more arguments say which, and `--python` takes another interpreter.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PINS = ROOT / "constraints.txt"
HELD = ("torch==2.13.0",)
"""Of which a newer one can't be had everywhere that the tests run."""
OF_A_BUILD = re.compile(r"^(nvidia|cuda|triton)")
"""What only some builds of PyTorch bring."""
EXTRAS = {"pins": ("test", "dev", "ray", "benchmark", "release"), "lowest": ("test",), "newest": ("test",)}
OLDEST_PYTHON = "3.11"
TESTS = ("tests", "--ignore", "tests/end_to_end", "--ignore", "tests/test_makefile.py")


def resolved(what: str, python: str) -> list[str]:
    """The versions of everything, as pip takes them."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header", "--upgrade"]
    command += ["--resolution", "lowest-direct" if what == "lowest" else "highest", "--python", python]
    for extra in EXTRAS[what]:
        command += ["--extra", extra]
    held = "\n".join(HELD)
    done = subprocess.run(
        [*command, "--constraint", "-", "setup.cfg"], cwd=ROOT, input=held, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"nothing fits together: {done.stderr.strip()}")
    return sorted(line for line in done.stdout.splitlines() if line.strip() and not OF_A_BUILD.match(line))


def environment(what: str, python: str, pins: list[str]) -> Path:
    """The interpreter of an environment that has exactly these."""
    place = ROOT / f".venv-{what}"
    subprocess.run([python, "-m", "venv", "--clear", place], check=True)
    inside = place / "bin" / "python"
    (place / "pins.txt").write_text("\n".join(pins) + "\n")
    pip = [str(inside), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "-r", str(place / "pins.txt")], check=True)
    subprocess.run([*pip, "--no-deps", "-e", str(ROOT)], check=True)
    return inside


def main(arguments: list[str] | None = None) -> int:
    """Pin, or try; the exit code is that of the tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=EXTRAS)
    parser.add_argument("--python", default=sys.executable)
    asked, more = parser.parse_known_args(arguments)
    pins = resolved(asked.what, OLDEST_PYTHON if asked.what == "pins" else asked.python)
    if asked.what == "pins":
        PINS.write_text("\n".join(pins) + "\n")
        print(f"{len(pins)} packages in {PINS.name}; `make test` says whether they work")
        return 0
    inside = environment(asked.what, asked.python, pins)
    return subprocess.run(
        [inside, "-m", "pytest", "-q", "-n", "2", "--dist", "loadgroup", "-m", "not browser", *(more or TESTS)],
        cwd=ROOT,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())

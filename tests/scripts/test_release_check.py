"""What keeps a commit from being a release."""

import subprocess

import pytest

from scripts import release_check
from scripts.release_check import REFUSED_LICENCES, Fault, the_version


@pytest.mark.parametrize(
    "licence", ["GPL-3.0", "AGPLv3", "GNU General Public License v2", "GNU Affero General Public License"]
)
def test_licences_that_spread(licence):
    """A licence that spreads to what uses it is refused."""
    assert REFUSED_LICENCES.search(licence)


@pytest.mark.parametrize(
    "licence", ["MIT", "Apache-2.0", "LGPL-3.0", "GNU Lesser General Public License v2", "MPL-2.0"]
)
def test_licences_that_do_not(licence):
    """Others are not."""
    assert not REFUSED_LICENCES.search(licence)


@pytest.mark.parametrize(
    ("changelog", "tag", "fault"),
    [
        ("## Unreleased\n\n## 1.0.0", None, None),
        ("## 1.2.3 - today\n", "v1.2.3", None),
        ("## 1.2.2\n", None, "setup.cfg has 1.2.3"),
        ("## Unreleased\n", "v1.2.3", "is tagged"),
        ("## 1.2.3\n", "v1.2.4", "is tagged v1.2.4"),
        ("nothing", None, "begins with"),
    ],
)
def test_the_version(tmp_path, monkeypatch, changelog, tag, fault):
    """Version, changelog and tag say the same, or it is no release."""
    (tmp_path / "setup.cfg").write_text("[metadata]\nversion = 1.2.3\n")
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{changelog}\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "tag.gpgSign=false"]
    subprocess.run([*git, "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "x"], cwd=tmp_path, check=True)
    if tag:
        subprocess.run([*git, "tag", tag], cwd=tmp_path, check=True)
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(release_check.said, "__kwdefaults__", {"where": tmp_path})
    if fault is None:
        assert the_version().startswith("1.2.3")
    else:
        with pytest.raises(Fault, match=fault):
            the_version()

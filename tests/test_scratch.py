"""Folders that belong to a living process."""

from exporter.scratch import scratch, sweep


def test_what_is_left_goes(tmp_path):
    """A folder whose owner no longer lives goes at the next start; that of a living one stays, and goes at its end."""
    (tmp_path / "x-left").mkdir()
    with scratch(tmp_path, "x-") as folder:
        assert list(tmp_path.iterdir()) == [folder]
        sweep(tmp_path, "x-")
        assert folder.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_not_followed(tmp_path):
    """A link of such a name, which somebody else may have made, leads to nothing being written or removed."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "lock").write_text("mine")
    (tmp_path / "x-link").symlink_to("precious")
    sweep(tmp_path, "x-")
    assert [path.name for path in (tmp_path / "precious").iterdir()] == ["lock"]
    assert (tmp_path / "precious" / "lock").read_text() == "mine"

"""The Projector that sees every change on disk, asked over HTTP as the page asks it."""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from exporter.errors import ServingError
from exporter.serving.tensorboard import Server, start
from tests.serving.little_runs import (
    eventually,
    exchange,
    generation_of,
    get,
    runs_of,
    tab_is_enabled,
    tensor_of,
    write_run,
)


def test_a_new_run_is_listed(serve, tmp_path):
    """A run that appears while the server runs is listed within ten seconds, in front, and a removed one is not."""
    write_run(tmp_path / "one", 1, modified=1000)
    server = serve(tmp_path)
    write_run(tmp_path / "two", 2, modified=2000)
    assert eventually(lambda: runs_of(server) == ["two", "one"])
    assert generation_of(server, "two") == (2, 2)
    shutil.rmtree(tmp_path / "two")
    assert eventually(lambda: runs_of(server) == ["one"])


def test_a_rewritten_run_is_seen(serve, tmp_path):
    """A run of the same name, exchanged in one step, is served with its new tensor and metadata within ten seconds."""
    write_run(tmp_path / "run", 1, rows=20)
    server = serve(tmp_path)
    assert generation_of(server, "run") == (1, 1)
    write_run(tmp_path / "run", 2, rows=30)
    assert eventually(lambda: tensor_of(server, "run")["tensorShape"] == [30, 4])
    assert generation_of(server, "run") == (2, 2)


def test_a_run_deleted_and_written_again_is_seen(serve, tmp_path):
    """The same names and sizes in a new directory are a new run, and what was cached is not served."""
    write_run(tmp_path / "run", 1)
    server = serve(tmp_path)
    assert generation_of(server, "run") == (1, 1)
    shutil.rmtree(tmp_path / "run")
    write_run(tmp_path / "run", 1)
    vectors = np.fromfile(tmp_path / "run/assets/vectors-1.bytes", "<f4")
    vectors[-4] = 7
    vectors.tofile(tmp_path / "run/assets/vectors-1.bytes")
    assert eventually(lambda: generation_of(server, "run") == (7, 1))


def test_the_other_tabs_see_a_rewritten_run(serve, tmp_path):
    """The text of a rewritten run is the new one, not the one that TensorBoard read first."""
    write_text_run = text_writer()
    write_text_run(write_run(tmp_path / "run", 1), "the old question")
    server = serve(tmp_path)

    def text() -> bytes:
        return get(server, "/data/plugin/text/text", run="run", tag="question")[1]

    assert eventually(lambda: b"the old question" in text())
    staged = write_run(tmp_path / ".next", 2)
    write_text_run(staged, "the new question")
    exchange(staged, tmp_path / "run")
    shutil.rmtree(staged)
    assert eventually(lambda: b"the new question" in text())
    assert b"the old question" not in text()


def text_writer() -> Callable[[Path, str], None]:
    """Writes the events of a run anew, with one text in them."""
    from exporter.runs.notf import without_tensorflow

    without_tensorflow()
    from tensorboard.compat.proto import event_pb2, summary_pb2
    from tensorboard.plugins.text.metadata import create_summary_metadata
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    def write(run: Path, text: str) -> None:
        for events in run.glob("events*"):
            events.unlink()
        tensor = make_tensor_proto(np.array([text.encode()], dtype=object))
        value = summary_pb2.Summary.Value(
            tag="question", tensor=tensor, metadata=create_summary_metadata("question", "")
        )
        writer = EventFileWriter(str(run))
        writer.add_event(event_pb2.Event(wall_time=time.time(), summary=summary_pb2.Summary(value=[value])))
        writer.close()

    return write


def test_generations_are_never_mixed(serve, tmp_path):
    """However often a run is rewritten, vectors and metadata that go by one tensor name are of one generation."""
    write_run(tmp_path / "run", 1)
    server = serve(tmp_path)
    stop = threading.Event()
    seen: set[int] = set()
    mixed: list[str] = []
    pairs = 0

    def rewrite() -> None:
        generation = 1
        while not stop.wait(0.03):
            generation += 1
            write_run(tmp_path / "run", generation)

    def ask() -> None:
        nonlocal pairs
        while not stop.is_set():
            # A run that is exchanged again and again in the middle of a request is an error for that one request.
            status, info = get(server, "info", run="run")
            if status != 200:
                continue
            name = json.loads(info)["embeddings"][0]["tensorName"]
            generation = int(name.removeprefix("vectors "), 16)
            tensor_status, tensor = get(server, "tensor", run="run", name=name)
            metadata_status, metadata = get(server, "metadata", run="run", name=name)
            vectors = np.frombuffer(tensor, "<f4").reshape(-1, 4)[1:, 0] if tensor_status == 200 else []
            labels = metadata.decode().splitlines()[1:] if metadata_status == 200 else []
            if any(value != generation for value in vectors):
                mixed.append(f"{name} has the vectors of {set(vectors)}")
            if any(not label.endswith(f"\t{generation}") for label in labels):
                mixed.append(f"{name} has the metadata {labels[0]}")
            if len(vectors) and labels:
                seen.add(generation)
                pairs += 1

    failures: list[BaseException] = []

    def caught(work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as error:
                failures.append(error)

        return threading.Thread(target=run)

    threads = [caught(work) for work in (rewrite, ask, ask)]
    for thread in threads:
        thread.start()
    time.sleep(6)
    stop.set()
    for thread in threads:
        thread.join()
    assert (failures, mixed) == ([], [])
    assert pairs > 50
    assert len(seen) > 10
    assert tab_is_enabled(server)


def test_a_request_does_not_meet_a_plugin_that_is_reading(tmp_path):
    """While a request is answered nothing is read anew: in the midst of that, other runs are unknown."""
    from exporter.runs.notf import without_tensorflow

    without_tensorflow()
    from tensorboard.plugins.base_plugin import TBContext
    from werkzeug.test import Client

    from exporter.serving.plugin import RefreshingProjector

    write_run(tmp_path / "other")
    config = config_of(write_run(tmp_path / "run"))
    asked = threading.Event()

    class Slow(RefreshingProjector):
        def _update_configs(self) -> None:
            super()._update_configs()
            asked.set()
            time.sleep(0.1)

        def _augment_configs_with_checkpoint_info(self) -> None:
            super()._augment_configs_with_checkpoint_info()
            time.sleep(0.2)

    plugin = Slow(TBContext(logdir=str(tmp_path)))
    plugin.refresh()
    asked.clear()

    def read_anew() -> None:
        asked.wait()
        os.utime(config)
        plugin.refresh()

    reader = threading.Thread(target=read_anew)
    reader.start()
    answer = Client(plugin.get_plugin_apps()["/info"]).get("/", query_string={"run": "other"})
    reader.join()
    assert answer.status_code == 200


def test_the_newest_run_comes_first(serve, tmp_path):
    """Runs are listed by the age of their configs, whatever their names, and a rewritten one moves to the front."""
    for name, modified in (("b", 2000), ("c", 3000), ("a", 1000)):
        write_run(tmp_path / name, modified=modified)
    server = serve(tmp_path)
    assert runs_of(server) == ["c", "b", "a"]
    write_run(tmp_path / "a", 1, modified=4000)
    assert eventually(lambda: runs_of(server) == ["a", "c", "b"])


def test_a_run_below_a_directory_and_the_log_directory_itself(serve, tmp_path):
    """Runs may be nested, and the log directory itself may be one, as in stock TensorBoard."""
    (tmp_path / "deep").mkdir()
    write_run(tmp_path / "deep/run", modified=2000)
    write_run(tmp_path / "away", modified=1000)
    for path in (tmp_path / "away").iterdir():
        path.rename(tmp_path / path.name)
    assert runs_of(serve(tmp_path)) == [os.path.join("deep", "run"), "."]


def test_what_is_being_staged_is_not_shown(serve, tmp_path):
    """A hidden directory, and one without an events file, are no runs yet."""
    write_run(tmp_path / "run")
    write_run(tmp_path / ".staged")
    (write_run(tmp_path / "unfinished") / "events.out.tfevents.1.here").unlink()
    assert runs_of(serve(tmp_path)) == ["run"]


def config_of(run: Path) -> Path:
    """The file that makes it a run."""
    return run / "projector_config.pbtxt"


def replace_in_config(run: Path, old: str, new: str) -> None:
    """One edit of a run's config."""
    config = config_of(run)
    config.write_text(config.read_text().replace(old, new))


def write_table(run: Path) -> None:
    """What people make of a tensor in a spreadsheet."""
    (run / "assets/vectors-0.bytes").write_text("a\tb\tc\td\n1\t2\t3\t4\n")


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "malformed config": (lambda run: config_of(run).write_text("embeddings { nonsense: 1 }"), "nonsense"),
    "config not UTF-8": (lambda run: config_of(run).write_bytes(b'embeddings { tensor_name: "\xff" }'), "0xff"),
    "config without tensor": (lambda run: config_of(run).write_text(""), "no tensor file"),
    "tensor missing": (lambda run: (run / "assets/vectors-0.bytes").unlink(), "assets/vectors-0.bytes is missing"),
    "tensor of another shape": (lambda run: replace_in_config(run, "shape: 20", "shape: 21"), "cannot reshape"),
    "tensor without shape": (lambda run: replace_in_config(run, "tensor_shape", "# shape"), "must be 2D"),
    "tensor with a header": (write_table, "could not convert string to float: 'a'"),
    "tensor elsewhere": (lambda run: replace_in_config(run, "assets/v", "../v"), "outside the config directory"),
    "metadata missing": (lambda run: (run / "assets/metadata-0.tsv").unlink(), "metadata-0.tsv is missing"),
    "metadata not UTF-8": (
        lambda run: (run / "assets/metadata-0.tsv").write_bytes(b"label\tx\nN\x9cud\t1\n"),
        "metadata-0.tsv is not UTF-8",
    ),
    "sprite missing": (
        lambda run: replace_in_config(
            run, "metadata_path", 'sprite { image_path: "s.png" single_image_dim: 8 single_image_dim: 8 } metadata_path'
        ),
        "s.png is missing",
    ),
}


@pytest.fixture(scope="module")
def among_the_broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[str], Path]]:
    """A server of one good run and one of each broken kind, with what it said, and its log directory."""
    logs = tmp_path_factory.mktemp("logs")
    for name, (break_run, _) in BREAKAGES.items():
        break_run(write_run(logs / name))
    write_run(logs / "good", 5, modified=1000)
    notices: list[str] = []
    with start(logs, port=0, notice=notices.append) as server:
        eventually(lambda: len(notices) >= len(BREAKAGES))
        time.sleep(1.5)  # for more than there should be
        yield server, notices, logs


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_broken_run_is_left_out_with_one_warning(among_the_broken, kind):
    """A broken run is not listed, and one line names it and what is wrong with it."""
    server, notices, _ = among_the_broken
    assert kind not in runs_of(server)
    (line,) = [notice for notice in notices if f"run {kind} is" in notice]
    assert BREAKAGES[kind][1] in line
    assert "\n" not in line


def test_the_good_run_beside_broken_ones_is_served(among_the_broken):
    """Next to runs that are broken in every way, the good one is listed and served, and the tab is there."""
    server, _, _ = among_the_broken
    assert runs_of(server) == ["good"]
    assert generation_of(server, "good") == (5, 5)
    assert tab_is_enabled(server)


def test_a_repaired_run_is_shown(among_the_broken):
    """A run whose missing file turns up is shown, though its config is the same as before."""
    server, _, logs = among_the_broken
    shutil.copy(write_run(logs / ".spare") / "assets/vectors-0.bytes", logs / "tensor missing/assets")
    try:
        assert eventually(lambda: runs_of(server) == ["tensor missing", "good"])
        assert generation_of(server, "tensor missing") == (0, 0)
    finally:
        (logs / "tensor missing/assets/vectors-0.bytes").unlink()
    assert eventually(lambda: runs_of(server) == ["good"])


def test_the_tab_survives_a_run_that_breaks(serve, tmp_path):
    """When the only run breaks, the tab stays; when it is whole again, it is served again."""
    run = write_run(tmp_path / "run", 1)
    server = serve(tmp_path)
    whole = config_of(run).read_text()
    config_of(run).write_text("embeddings {")
    assert eventually(lambda: runs_of(server) == [])
    assert tab_is_enabled(server)
    config_of(run).write_text(whole)
    assert eventually(lambda: runs_of(server) == ["run"])
    assert generation_of(server, "run") == (1, 1)


def test_a_run_that_is_being_copied_is_no_warning(serve, tmp_path):
    """A run that is incomplete for less than a second is listed when it is whole, and nothing is said."""
    write_run(tmp_path / "run")
    notices: list[str] = []
    server = serve(tmp_path, notice=notices.append)
    for name in "abcd":
        run = write_run(tmp_path / name)
        tensor = run / "assets/vectors-0.bytes"
        tensor.rename(tmp_path / name / "later")
        time.sleep(0.3)
        (tmp_path / name / "later").rename(tensor)
    time.sleep(2)
    assert notices == []
    assert set(runs_of(server)) == {"run", *"abcd"}


def test_nothing_but_broken_runs(tmp_path):
    """When no run can be shown, `start` says so at once and says why."""
    for name in ("one", "two"):
        (write_run(tmp_path / name) / "assets/vectors-0.bytes").unlink()
    begun = time.monotonic()
    with pytest.raises(ServingError, match=r"assets/vectors-0\.bytes is missing"):
        start(tmp_path, port=0)
    assert time.monotonic() - begun < 15


def test_news_while_a_run_is_read(serve, tmp_path):
    """While a rewritten run is read anew, the news that the page asks for still tell of every run."""
    write_run(tmp_path / "one", 1)
    write_run(tmp_path / "two", 1, rows=50_000)
    server = serve(tmp_path)
    told = set()
    for generation in range(2, 6):
        write_run(tmp_path / "two", generation, rows=50_000)
        reading = threading.Thread(target=get, args=(server, "runs"))
        reading.start()
        while reading.is_alive():
            told.add(tuple(sorted(run["name"] for run in json.loads(get(server, "news")[1]))))
        reading.join()
    assert told == {("one", "two")}

"""What is printed of a run."""

from exporter.cli.console import print_run
from tests.workflows.test_export import ask


def summary(run, capsys):
    print_run(run)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "list of nearest points" in line]
    return line


def test_the_pages_own_list(chroma, tmp_path, capsys):
    """The summary says how many of the top k the page's own list begins with, in stock TensorBoard and in ours, and the
    cure that fits the metric; of many questions the mean.
    """
    run = ask(chroma, tmp_path, top_k=12)
    share = run.facts["questions"][0]["page_neighbours"]["stock"]
    assert share < 1
    assert summary(run, capsys) == (
        f"on vectors, stock TensorBoard's list of nearest points begins with {round(share * 12)} of the top 12 "
        "(choose EUCLIDEAN); chroma-projector tensorboard's with 12"
    )
    run = ask(chroma, tmp_path, question=[f"text {i}" for i in range(9)], top_k=12, run="many")
    assert "on average of the top 12" in summary(run, capsys)
    run = ask(chroma, tmp_path, metric="ip", question="text 8", top_k=4, run="ip")
    assert "trust the column rank" in summary(run, capsys)

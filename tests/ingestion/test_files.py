"""Each kind of file becomes documents with what is known of them; what can't be read is told by name."""

import os

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_pdf import PdfPages

from exporter.ingestion import Failed, LeftOut, Text, Unreadable
from exporter.ingestion.files import is_below, read_files

FRENCH = "L'œuvre coûte 5 €, dit Élodie : « naïveté »."


def write_pdf(path, *pages, title=None):
    """A PDF with a line of text a page."""
    with mpl.rc_context({"pdf.fonttype": 42}), PdfPages(path, metadata={"Title": title} if title else None) as pdf:
        for text in pages:
            figure = plt.figure()
            figure.text(0.1, 0.5, text)
            pdf.savefig(figure)
            plt.close(figure)


def read(*roots, **options):
    """Text and metadata of every document, by source; and what was not read."""
    texts, others = {}, []
    for outcome in read_files(roots, **options):
        if isinstance(outcome, Text):
            texts[outcome.source] = [(one.page_content, one.metadata) for one in outcome.documents]
        else:
            others.append(outcome)
    return texts, others


def one(path, **options):
    texts, others = read(path, **options)
    assert others == []
    return texts[path.as_posix()]


def test_html(tmp_path):
    """A page gives its main text, title and language; menus and scripts are not in it."""
    path = tmp_path / "page.html"
    path.write_text(
        f"<html lang='fr'><head><title> Titre \n œ</title><script>var hidden</script></head><body><nav>Menu</nav>"
        f"<h1>Le prix</h1><p>{FRENCH}</p><footer>Mentions</footer></body></html>"
    )
    ((text, metadata),) = one(path)
    assert FRENCH in text
    assert not any(word in text for word in ("hidden", "Menu", "Mentions"))
    assert metadata == {"source": path.as_posix(), "title": "Titre œ", "language": "fr"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rst", "a.html", "a.csv", "a.jsonl"])
def test_encodings(tmp_path, name, encoding):
    """French comes through in each encoding that files of it have."""
    path = tmp_path / name
    before = {".csv": "text\n", ".jsonl": '{"text": "', ".html": "<p>"}.get(path.suffix, "")
    text = FRENCH.replace(",", ";")
    path.write_bytes((before + text + {".jsonl": '"}\n'}.get(path.suffix, "")).encode(encoding))
    assert one(path)[0][0].strip() == text


def test_markdown(tmp_path):
    """A Markdown file's title is its first heading."""
    path = tmp_path / "a.md"
    path.write_text("intro\n\n# The *title* #\n\ntext\n\n# Another\n")
    assert one(path)[0][1]["title"] == "The *title*"


def test_pdf(tmp_path):
    """A PDF gives a document a page, counted from 0, with the label that is printed."""
    from pypdf import PdfReader, PdfWriter

    write_pdf(tmp_path / "plain.pdf", "first page", "second page", title="A manual")
    writer = PdfWriter(clone_from=PdfReader(tmp_path / "plain.pdf"))
    writer.set_page_label(0, 0, style="/r")
    writer.set_page_label(1, 1, style="/D", start=7)
    path = tmp_path / "a.pdf"
    writer.write(path)
    pages = one(path)
    assert [text for text, _ in pages] == ["first page", "second page"]
    common = {"source": path.as_posix(), "title": "A manual"}
    assert [metadata for _, metadata in pages] == [
        {**common, "page": 0, "page_label": "i"},
        {**common, "page": 1, "page_label": "7"},
    ]


def test_damaged_pdf(tmp_path):
    """A PDF that was cut short is told, not skipped."""
    write_pdf(tmp_path / "whole.pdf", "text")
    path = tmp_path / "cut.pdf"
    path.write_bytes((tmp_path / "whole.pdf").read_bytes()[:300])
    with pytest.raises(Unreadable, match="the PDF can't be read"):
        one(path)


def test_rows(tmp_path):
    """A row of CSV, TSV or JSONL is a document; its other cells stay beside it."""
    (tmp_path / "a.csv").write_text('id,text,url\n7,"two\nlines",http://x\n8,,\n')
    (tmp_path / "a.tsv").write_text("text\tn\nhello\t1\n")
    (tmp_path / "a.jsonl").write_text('{"body": "one", "n": 1, "list": [1], "none": null}\n\n{"body": "two"}\n')
    source = (tmp_path / "a.csv").as_posix()
    assert one(tmp_path / "a.csv") == [
        ("two\nlines", {"source": source, "id": "7", "url": "http://x", "row": 0}),
        ("", {"source": source, "id": "8", "row": 1}),
    ]
    assert one(tmp_path / "a.tsv")[0][0] == "hello"
    rows = one(tmp_path / "a.jsonl", text_column="body")
    assert [(text, metadata["row"], metadata.get("n")) for text, metadata in rows] == [("one", 0, 1), ("two", 1, None)]
    assert "list" not in rows[0][1]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", b"body\nx\n", "no column 'text' .it has body.: name it by --text-column"),
        ("a.jsonl", b'{"text": 1}\n{"text"\n', "row 1 is not JSON"),
        ("a.jsonl", b"[1]\n", "row 0 is no JSON object"),
        ("a.txt", bytes(range(256)) * 20, "binary"),
        ("a.html", b"\x89PNG\r\n\x1a\n" + bytes(2000), "binary"),
    ],
)
def test_what_cannot_be_read(tmp_path, name, content, words):
    """What is wrong with a file is said in a line."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=words):
        one(path)


def test_a_long_cell(tmp_path):
    """A cell may be longer than Python's own limit for CSV."""
    path = tmp_path / "a.csv"
    path.write_text("text\n" + "word " * 100_000 + "\n")
    assert len(one(path)[0][0]) == 500_000


def test_a_folder(tmp_path):
    """A folder is read with all below it, in order; hidden files, links to folders and other kinds are not."""
    for name in ("b.md", "a.md", "deep/er/c.txt", ".hidden/d.md", ".e.md", "f.png", "drafts/g.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "loop").symlink_to(tmp_path)
    texts, others = read(tmp_path, exclude=["/drafts/"])
    assert list(texts) == [(tmp_path / name).as_posix() for name in ("a.md", "b.md", "deep/er/c.txt")]
    assert others == [LeftOut((tmp_path / "f.png").as_posix(), "files .png are not read")]


def test_a_named_file_of_another_kind(tmp_path):
    """A file that was named and can't be read is a failure, not one of those left out."""
    (tmp_path / "f.png").write_bytes(b"")
    assert read(tmp_path / "f.png")[1] == [Failed((tmp_path / "f.png").as_posix(), "files .png are not read")]


def test_is_below(tmp_path, monkeypatch):
    """A source is known as one of a root, whatever way that is written; a neighbour of a like name is not."""
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    assert is_below("docs/a.md", Path("docs/"))
    assert is_below("docs/a.md", Path("./docs"))
    assert is_below("docs/a.md", Path("."))
    assert not is_below("docs2/a.md", Path("docs"))
    assert not is_below("https://x/docs/a.md", Path("."))
    assert not is_below("../a.md", Path("."))


def test_what_is_no_file_and_no_name(tmp_path):
    """A pipe is not waited for, a link to nothing fails by name, a name that is no text is told with question marks."""
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "nowhere.md").symlink_to("nothing")
    (tmp_path / os.fsdecode(b"\xe9t\xe9.txt")).write_text("summer")
    outcomes = {outcome.source: outcome for outcome in read_files([tmp_path])}
    named = {name: outcomes.pop((tmp_path / name).as_posix()) for name in ("pipe.txt", "nowhere.md", "?t?.txt")}
    assert outcomes == {}
    assert named["pipe.txt"].why == "no regular files"
    assert [document.page_content for document in named["?t?.txt"].documents] == ["summer"]
    with pytest.raises(Unreadable, match="No such file"):
        list(named["nowhere.md"].documents)

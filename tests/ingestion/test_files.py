"""Each kind of file becomes documents with what is known of them; what can't be read is told by name."""

import os
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_pdf import PdfPages

from exporter.ingestion import Failed, LeftOut, Text, Unreadable
from exporter.ingestion.files import identity_of, is_gone, read_files, source_of

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
    assert read(tmp_path / "f.png")[1] == [
        Failed((tmp_path / "f.png").as_posix(), "files .png are not read", path=tmp_path / "f.png")
    ]


def test_one_name_for_a_file(tmp_path, monkeypatch):
    """A file has one identity, however its path is written and wherever it is seen from; its source is short."""
    for name in ("docs", "db", "elsewhere"):
        (tmp_path / name).mkdir()
    (tmp_path / "docs" / "a.md").write_text("x")
    (tmp_path / "link").symlink_to("docs")
    written = {"docs/a.md", "./docs/a.md", "db/../docs/a.md", "link/a.md", tmp_path / "docs" / "a.md"}
    monkeypatch.chdir(tmp_path)
    assert {identity_of(Path(path), Path("db")) for path in written} == {"../docs/a.md"}
    assert {source_of(Path(path)) for path in written} == {"docs/a.md", "link/a.md"}
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert identity_of(Path("../docs/a.md"), Path("../db")) == "../docs/a.md"
    assert source_of(Path("../docs/a.md")) == "../docs/a.md"


def test_what_is_gone(tmp_path, monkeypatch):
    """A file is gone when it is below a root and not there any more: no neighbour, and none that can't be looked at."""
    monkeypatch.chdir(tmp_path)
    for name in ("docs", "docs2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "here.md").write_text("x")
    base = Path("db")
    assert is_gone("../docs/gone.md", base, [Path("docs/")])
    assert is_gone("../docs/here.md/gone.md", base, [Path("docs")])
    assert is_gone("../docs/gone.md", base, [Path(".")])
    assert not is_gone("../docs/here.md", base, [Path("docs")])
    assert not is_gone("../docs2/gone.md", base, [Path("docs")])
    assert not is_gone("../../gone.md", base, [Path(".")])
    assert not is_gone(f"../docs/{'x' * 300}.md", base, [Path("docs")])


def test_a_folder_that_cannot_be_opened(tmp_path, monkeypatch):
    """It fails by name, and what lies beside it is read."""
    for name in ("open", "shut"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.md").write_text("x")
    scan = os.scandir

    def refuse(path):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    texts, others = read(tmp_path)
    assert list(texts) == [(tmp_path / "open" / "a.md").as_posix()]
    shut = tmp_path / "shut"
    assert others == [Failed(shut.as_posix(), "the folder can't be read: Permission denied", path=shut)]


def test_bad_rows(tmp_path):
    """One bad row of JSONL costs no other: all that can be read come, then the bad ones are told."""
    path = tmp_path / "a.jsonl"
    deep = '{"text": ' + "[" * 200_000 + "]" * 200_000 + "}"
    path.write_text("\n".join(['{"text": "one"}', deep, '{"text"', "[1]", '{"text": "two"}', '{"body": 1}']))
    (outcome,) = read_files([path])
    documents, found = iter(outcome.documents), []
    with pytest.raises(Unreadable, match=r"^row 1 is nested too deeply \(and 3 more rows that can't be read\)$"):
        while True:
            found.append(next(documents).page_content)
    assert found == ["one", "two"]


def test_a_reader_that_breaks(tmp_path, monkeypatch):
    """Whatever a reader raises, it is the file that failed."""
    from exporter.ingestion import files

    (tmp_path / "a.html").write_text("<p>x")
    monkeypatch.setattr(files, "decode", lambda data: [][1])
    with pytest.raises(Unreadable, match="IndexError: list index"):
        one(tmp_path / "a.html")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("id;text\n1;one, two\n", "one, two"),
        ("id\ttext\n1\tone; two\n", "one; two"),
        ("text\none; two\n", "one; two"),
        ('"text";"a,b"\n"one";2\n', "one"),
    ],
)
def test_what_stands_between_cells(tmp_path, content, text):
    """A CSV with semicolons, as spreadsheets write it, or with tabs is read as it is meant."""
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert one(path)[0][0] == text


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


def test_a_file_without_an_end(tmp_path):
    """A text of which most is a hole in the disk is left before it fills the memory."""
    file = tmp_path / "huge.txt"
    file.touch()
    os.truncate(file, 20 * 2**30)
    (text,) = read_files([file])
    with pytest.raises(Unreadable, match="it holds more than 256 MB"):
        list(text.documents)

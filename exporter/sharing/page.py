"""A run as one HTML file, which opens from disk: no server, no Python, no network.

It carries TensorBoard's Projector, copied from the installed wheel when the page is made, and what that shows. Beside
the picture stands what the Projector can't show: the questions, their hits as tables, and how far to trust the picture.
Foreign text is escaped or JSON, and the page's policy lets no script run but the three whose hashes it names.
"""

from __future__ import annotations

import gzip
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import numpy as np

from exporter.errors import OutputError, UsageError
from exporter.layouts.trust import told
from exporter.runs import manifest
from exporter.runs.folder import METADATA, VECTORS
from exporter.runs.metadata import read_as_the_page_does, text_cell
from exporter.runs.projector import read_config
from exporter.runs.verify import read_shown

LARGEST = 300_000_000
"""Bytes of a page. Browsers hold a text of half a gigabyte at most, and the page needs its files twice to unpack."""
TABLES = 200
"""Questions whose hits are listed; a set can have thousands."""
_WHOLE_TEXT = 10_000  # characters of a cell
_COLUMNS = (("source", (None,)), ("page", (None, -1)), ("text", ("",)))
"""Of a hit, with what stands there for nothing."""
_CLASSES = dict.fromkeys(("rank", "distance", "page"), ' class="number"') | {"text": ' class="wide"'}
_SMALL = ' class="small"'
_SCRIPT = "shared.js"
_COMPONENT = "tensorboard/plugins/projector/tf_projector_plugin/projector_binary.js"
_POLICY = (
    "default-src 'none'; script-src {hashes} 'unsafe-eval'; style-src 'unsafe-inline'; connect-src blob:; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'"
)
"""numeric.js in the Projector evaluates text at its start; without 'unsafe-eval' there is no Projector."""
_STYLE = """\
html, body { height: 100%; margin: 0; }
body { display: flex; flex-direction: column; font: 14px/1.45 Roboto, system-ui, sans-serif; color: #111; }
#picture { flex: 1 1 60%; min-height: 320px; position: relative; overflow: hidden; }
#picture vz-projector { display: block; height: 100%; }
#told { flex: 0 1 auto; max-height: 36%; overflow-y: auto; border-top: 2px solid #ddd; padding: 4px 16px 12px; }
summary { cursor: pointer; padding: 4px 0; }
.message { padding: 24px; color: #555; }
.quiet { color: #555; font-size: 12px; }
.question { font-weight: 700; unicode-bidi: isolate; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th { text-align: left; color: #555; font-weight: 500; }
td, th { padding: 2px 12px 2px 0; vertical-align: top; unicode-bidi: isolate; overflow-wrap: break-word; }
td.number, th { white-space: nowrap; }
td.number, th.number { text-align: right; }
td.place { min-width: 9em; max-width: 24em; overflow-wrap: anywhere; }
th.wide { width: 100%; }
td.wide { overflow-wrap: anywhere; }
table.small { width: auto; }
td div { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
tr.selected div { display: block; }
tr[data-row] { cursor: pointer; }
tr[data-row]:hover, tr[data-row]:focus { background: #f2f5fa; outline: none; }
tr[data-row].selected { background: #fde8d8; }
.answer { color: #00704A; white-space: nowrap; }
figure { margin: 8px 0; }
pre { white-space: pre-wrap; }
"""


@dataclass(frozen=True)
class Shown:
    """What a page carries of one tensor: names of files, and how the Projector is to take them."""

    name: str
    shape: tuple[int, int]
    file: str
    metadata: str
    bookmarks: str | None
    sprite: str | None
    cell: tuple[int, ...]


def page(
    run: Path,
    facts: Mapping[str, Any],
    box: Mapping[str, Any] | None,
    opening: str,
    *,
    map_only: bool = False,
    largest: int = LARGEST,
) -> list[bytes]:
    """The pieces of the file, in their order.

    `facts` is the run's manifest, `box` what the script `opening`, our server's own, says of it. With `map_only` the
    tensor of all dimensions stays away: a tenth of the size, and no vectors in the file.

    Raises UsageError where a run has no map, OutputError where it is not whole, or the file would be above `largest`.
    """
    shown, files = _carried(run, facts, map_only)
    scripts = [_inside_script(text) for text in (opening, _component(), _own_script())]
    rows = shown[0].shape[0]
    head = [
        "<!doctype html>\n" + _notice() + '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY.format(hashes=_hashes(scripts))}">',
        '<meta name="viewport" content="width=device-width"><meta name="referrer" content="no-referrer">',
        f"<title>{_text(_title(facts))} · chroma-projector</title><style>{_STYLE}</style></head><body>",
        '<div id="picture"><p class="message">The picture is being laid out …</p>',
        '<noscript><p class="message">The picture needs JavaScript.</p></noscript></div>',
        f'<div id="told">{"".join(_told(run, facts, map_only))}</div>',
    ]
    data = [_json("chroma-projector-facts", box), _json("tensors", {"rows": rows, "tensors": [vars(s) for s in shown]})]
    pieces = [text.encode("utf-8", "replace") for text in [*head, *data]]
    for name, content in files.items():
        packed = b64encode(gzip.compress(content, 6, mtime=0))
        pieces.append(f'\n<script type="text/plain" class="file" data-name="{escape(name)}">'.encode() + packed)
        pieces.append(b"</script>")
    pieces += [f"\n<script>{script}</script>".encode() for script in scripts]
    pieces.append(b"\n</body></html>\n")
    size = sum(map(len, pieces))
    if size > largest:
        smaller = "export it with a smaller --max-points" if map_only else "use --map-only, or -o run.zip"
        raise OutputError(f"the page would have {size / 1e6:,.0f} MB, browsers open {largest / 1e6:,.0f}: {smaller}")
    return pieces


def _carried(run: Path, facts: Mapping[str, Any], map_only: bool) -> tuple[list[Shown], dict[str, bytes]]:
    """The tensors in the order in which TensorBoard offers them, and each file once."""
    shown: list[Shown] = []
    files: dict[str, bytes] = {}

    def carry(name: str) -> str:
        if name not in files:
            if not manifest.is_inside(run, run / name):
                raise ValueError(f"{name} lies outside of it")
            files[name] = (run / name).read_bytes()
        return name

    told_of = {entry["name"]: entry for entry in facts["tensors"]}
    try:
        for entry in sorted(read_config(run).embeddings, key=lambda entry: str(entry.tensor_name)):
            if map_only and told_of[entry.tensor_name]["kind"] == "vectors":
                continue
            rows, dimension = entry.tensor_shape
            values = read_shown(run, told_of[entry.tensor_name])
            path = entry.tensor_path or VECTORS
            files[path] = np.ascontiguousarray(values, "<f4").tobytes()
            sprite = carry(entry.sprite.image_path) if entry.HasField("sprite") else None
            bookmarks = carry(entry.bookmarks_path) if entry.bookmarks_path else None
            metadata, cell = carry(entry.metadata_path), tuple(entry.sprite.single_image_dim)
            shown.append(Shown(entry.tensor_name, (rows, dimension), path, metadata, bookmarks, sprite, cell))
    except (OSError, ValueError, KeyError) as error:
        raise OutputError(f"{run} is not whole ({error}): chroma-projector verify names what is missing") from error
    if not shown:
        raise UsageError(f"{run} has no map: leave --map-only away, or export it with --projection auto")
    return shown, files


# ---------------------------------------------------------------- what the Projector can't show


def _title(facts: Mapping[str, Any]) -> str:
    if "comparison" in facts:
        return f"{facts['comparison']['a']} and {facts['comparison']['b']}"
    return str(facts["questions"][0]["text"])


def _told(run: Path, facts: Mapping[str, Any], map_only: bool) -> Iterator[str]:
    if "comparison" in facts:
        yield from _compared(facts, _cells(manifest.located(run, facts, METADATA)))
    else:
        yield from _asked(run, facts)
        yield f"<details><summary>How far to trust the picture</summary>{_trust(facts, map_only)}</details>"
    yield f'<details><summary class="quiet">Made with TensorBoard’s Projector</summary>{_licence()}</details>'


def _asked(run: Path, facts: Mapping[str, Any]) -> Iterator[str]:
    if "evaluation" in facts:
        yield _evaluated(facts["evaluation"])
    questions, row_of = facts["questions"], _rows_by_id(manifest.located(run, facts, METADATA))
    length = facts.get("asked_with", {}).get("text_length", _WHOLE_TEXT)
    focus = facts.get("focus", 0)
    for place, question in enumerate(questions[:TABLES]):
        number = f"q{place + 1} " if len(questions) > 1 else ""
        yield f"<details{' open' if place == focus else ''}><summary>★ {number}"
        yield f'<span class="question">{_text(question["text"])}</span></summary>'
        yield f"{_question(question, row_of, length)}</details>"
    if len(questions) > TABLES:
        yield f'<p class="quiet">… and {len(questions) - TABLES:,} more questions, not listed here.</p>'


def _question(question: Mapping[str, Any], row_of: Mapping[str, int], length: int) -> str:
    """Verdict and hits; texts and pages have a column where they were not taken out."""
    hits = question.get("returned", question["hits"])
    sources, pages, texts = (any(hit[key] not in none for hit in hits) for key, none in _COLUMNS)
    heads = ["rank", "distance", "answer", "source" if sources else "chunk", *["page"] * pages, *["text"] * texts]
    parts = [f"<p>{_text(question['verdict'])}</p>"]
    if question.get("lost"):
        parts.append(f"<p>{_text(question['lost'])}</p>")
    parts.append(f"<table{'' if texts else _SMALL}><thead><tr>")
    parts += [f"<th{_CLASSES.get(head, '')}>{head}</th>" for head in heads]
    parts.append("</tr></thead><tbody>")
    for hit in hits:
        row = row_of.get(text_cell(hit["id"], length))
        parts.append("<tr>" if row is None else f'<tr data-row="{row}" tabindex="0">')
        answer = '<td class="answer">■ holds it</td>' if hit["contains_answer"] else "<td></td>"
        parts.append(
            f'<td class="number">{_text(hit["rank"])}</td><td class="number">{hit["distance"]:.4f}</td>{answer}'
        )
        parts.append(f'<td class="place">{_text(hit["source"] or hit["id"])}</td>')
        if pages:
            parts.append(f'<td class="number">{_text("" if hit["page"] in (None, -1) else hit["page"])}</td>')
        if texts:
            parts.append(f'<td class="wide"><div>{_text(hit["text"])}</div></td>')
        parts.append("</tr>")
    parts.append("</tbody></table>")
    return "".join(parts)


def _evaluated(found: Mapping[str, Any]) -> str:
    """Of a question set: its figures at the application's k, how many questions have each verdict, what is odd."""
    rows = []
    for name in (*(f"{kind}@{found['top_k']}" for kind in ("hit", "recall", "precision", "ndcg")), "mrr", "map"):
        figure = found["metrics"].get(name)
        if figure is not None and figure["value"] is not None:
            sure = "" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"
            rows.append((name, f"{figure['value']:.3f}", sure))
    rows += [(kind.replace("_", " "), f"{count:,}", "") for kind, count in found["verdicts"].items() if count]
    lines = [
        f'<tr><td>{_text(name)}</td><td class="number">{value}</td><td>{sure}</td></tr>' for name, value, sure in rows
    ]
    findings = [f"<p>Finding: {_text(finding['text'])}</p>" for finding in found["findings"]]
    what = f"{found['questions']:,} questions of {_text(found['set'])}"
    return (
        f"<details><summary>{what}: figures, verdicts, findings</summary>"
        f"<table{_SMALL}>{''.join(lines)}</table>{''.join(findings)}</details>"
    )


def _compared(facts: Mapping[str, Any], cells: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Of two runs on one map: their figures, the questions whose first right chunk moved, how the maps were laid."""
    found, laid = facts["comparison"], facts["overlay"]
    yield f'<details open><summary>A is <span class="question">{_text(found["a"])}</span>, '
    yield f'B is <span class="question">{_text(found["b"])}</span>: {found["questions"]:,} questions of both, '
    yield f"{len(found['won']):,} won by B, {len(found['lost']):,} lost</summary>"
    for name, both in found.get("settings", {}).items():
        yield f"<p>{_text(name)}: A {_text(both['a'])}, B {_text(both['b'])}</p>"
    yield f"<table{_SMALL}><thead><tr><th>metric</th>"
    yield "".join(f'<th class="number">{head}</th>' for head in ("A", "B", "difference", "p"))
    yield "<th></th></tr></thead><tbody>"
    for name, one in found["metrics"].items():
        figures = (f"{one['a']:.3f}", f"{one['b']:.3f}", f"{one['difference']:+.3f}", f"{one['p']:.4f}")
        yield f"<tr><td>{_text(name)}</td>" + "".join(f'<td class="number">{figure}</td>' for figure in figures)
        yield f"<td>{'proven' if one['proven'] else 'not proven'}</td></tr>"
    yield "</tbody></table></details><details open><summary>Questions that moved</summary>"
    asked = [flag == "true" and run == "B" for flag, run in zip(cells["is_question"], cells["system"], strict=True)]
    row_of = {text: row for row, text in enumerate(cells["text"]) if asked[row]}
    yield f'<table{_SMALL}><thead><tr><th class="number">A</th><th class="number">B</th><th>question</th></tr>'
    yield "</thead><tbody>"
    for one in found["rank_moves"][:TABLES]:
        row = row_of.get(text_cell(one["question"], _WHOLE_TEXT))
        yield "<tr>" if row is None else f'<tr data-row="{row}" tabindex="0">'
        yield "".join(f'<td class="number">{_text(one[side] or "none")}</td>' for side in "ab")
        yield f'<td class="wide"><div>{_text(one["question"])}</div></td></tr>'
    yield "</tbody></table></details><details><summary>How far to trust the picture</summary>"
    lines = [
        f"B was laid over A by {laid['shared']:,} {laid['by']} that both show; {laid['apart']:.3f} of their spread is "
        "left, 0 is a perfect fit. That a chunk of A stands near one of B is the overlay's doing: only nearness within "
        "one of them was measured.",
        *(f"Warning: {warning}" for warning in facts["warnings"]),
    ]
    yield "".join(f"<p>{_text(line)}</p>" for line in lines) + "</details>"


def _trust(facts: Mapping[str, Any], map_only: bool) -> str:
    source, k = facts["source"], min(facts["top_k"], facts["source"]["rows_after_filter"])
    lines = [
        f"Collection {source['collection']}, {source['rows']:,} chunks; {facts['metric']}: {facts['distance']}. "
        f"{facts['points']:,} points are shown, {facts['left_out']:,} chunks are not; ranks are those of all.",
    ]
    for layout in facts["layouts"]:
        figure = layout["trustworthiness"]
        trust = "" if figure is None else f", trustworthiness {figure:.2f} (1 is perfect)"
        lines.append(f"{layout['name']}: keeps {told(layout['kept_top_k'])} of the top {k} near the question{trust}.")
    shares = [question["page_neighbours"]["ours"] for question in facts["questions"] if "page_neighbours" in question]
    if shares and not map_only:
        listed = told([round(share * k) for share in shares])
        lines.append(f"vectors: the list of nearest points begins with {listed} of the top {k}.")
    lines += [f"Warning: {warning}" for warning in facts["warnings"]]
    return "".join(f"<p>{_text(line)}</p>" for line in lines)


def _cells(metadata: Path) -> dict[str, list[str]]:
    """The columns of a metadata.tsv, by name."""
    with metadata.open(encoding="utf-8") as file:
        names, lines = read_as_the_page_does(file)
        return dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))


def _rows_by_id(metadata: Path) -> dict[str, int]:
    """The row of each id, as metadata.tsv spells it; the first of equals."""
    found: dict[str, int] = {}
    for row, chunk in enumerate(_cells(metadata)["id"]):
        found.setdefault(chunk, row)
    return found


# ---------------------------------------------------------------- what the page is made of


def _component() -> str:
    """All of the Projector, one script (its licence comments with it), from TensorBoard's wheel."""
    path = Path(str(distribution("tensorboard").locate_file(_COMPONENT)))
    try:
        return path.read_text("utf-8")
    except OSError as error:
        raise OutputError(f"TensorBoard's Projector can't be read ({error}): install tensorboard again") from error


def _own_script() -> str:
    return Path(__file__).with_name(_SCRIPT).read_text("utf-8")


def _notice() -> str:
    version = distribution("tensorboard").version
    return (
        f"<!-- Made by chroma-projector. Holds the Embedding Projector of TensorBoard {version},\n"
        "Copyright The TensorFlow Authors, Apache License 2.0; its own licence comments are in the script,\n"
        "the licence's text is at the end of the page. -->\n"
    )


def _licence() -> str:
    found = distribution("tensorboard")
    path = next((path for path in found.files or () if path.name == "LICENSE"), None)
    text = "Apache License 2.0: https://www.apache.org/licenses/LICENSE-2.0" if path is None else path.read_text()
    return f"<p>TensorBoard {escape(found.version)}, Copyright The TensorFlow Authors.</p><pre>{escape(text)}</pre>"


def _text(value: object) -> str:
    """Foreign text for HTML: markup stays text, and what would turn the line round ends with its element."""
    return escape(str(value)).replace("\0", "\ufffd")


def _json(name: str, value: object) -> str:
    """Data that no parser of HTML can take for the end of the script, or for a comment in it."""
    written = json.dumps(value, ensure_ascii=True).replace("<", "\\u003c")
    return f'\n<script type="application/json" id="{name}">{written}</script>'


def _inside_script(text: str) -> str:
    """A script that nothing in it ends; `<script` after an open `<!--` would hide the true end.

    The Projector has one, in a template. Line ends are made what a browser makes them before it hashes the script.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.replace("</script", "<\\/script").replace("<script", "<\\script")


def _hashes(scripts: Sequence[str]) -> str:
    return " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)

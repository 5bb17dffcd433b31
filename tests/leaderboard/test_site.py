"""The site: what a reader gets, and what a stranger's text cannot do to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from bench_leaderboard import words
from bench_leaderboard.site import build_site
from bench_leaderboard.text import documentation
from markupsafe import escape

from bench.errors import BenchError
from bench.method import for_bibtex
from bench.registry import discovery
from bench.scoring.ranking import Place, Rank
from bench.scoring.rows import Row, distinct_names
from bench.scoring.scorecard import Measure, Presentation, Scorecard, Section, keep_scorecard, read_scorecard
from bench.store.method_records import MethodRecord
from bench.store.records import DeviceRecord, Killed, RunRecord, TaskRecord
from bench.store.runs import Run
from bench.store.store import Store

HOSTILE = "</script><script>alert(1)</script><b>&\"'"
PutRun = Callable[..., None]
VENDORED = {
    # datatables.net 3.1.5, MIT
    "dataTables.min.js": "38017a5586acd9c6eb6bbfe8b6938e1a25bdc717c5acfcb07e0c9d663282c59d",
    # plotly.js-cartesian-dist-min 4.1.1, MIT
    "plotly-cartesian.min.js": "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a",
}


@pytest.fixture
def page(store: Path, tmp_path: Path) -> str:
    assert build_site(store, tmp_path / "site").runs == 6
    return (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def _ranks(page: str) -> list[tuple[str, str]]:
    rows = re.findall(
        r"<tr id[^>]*>\s*(?:<td[^>]*>(.*?)</td>\s*<td[^>]*>.*?</td>\s*)?<th scope=\"row\">.*?<bdi>(.*?)</bdi>", page, re.DOTALL
    )
    return [(rank, name) for rank, name in rows]


def test_rows_are_ranked_and_the_rest_is_shown(page: str) -> None:
    ranks = {name: rank for rank, name in _ranks(page)}
    assert (ranks["better"], ranks["good"], ranks[str(escape(HOSTILE))]) == ("1", "2", "3")
    assert ranks["slow"] == ranks["failed"] == ""  # in a table of their own
    assert ranks["retrain"] == "control"
    assert [name for _, name in _ranks(page)[-3:]] == ["retrain", "slow", "failed"]
    assert "<li>utility: test accuracy at least 95 % of retrained models" in page
    assert "0/16 trials: RuntimeError" in page


def test_headline_names_leader_and_ceiling(page: str) -> None:
    assert (
        "better leads: 55 % (±2 %) of the memory is left; slow (5 % (±2 %), near-constant, and more than retraining itself"
        " scores) would be above it, but is not ranked; by the challenge&#39;s score better is first with 0.090,"
        " where retraining itself gets 0.190."
    ) in page
    assert "provisional" not in page
    assert "N = 16 is a screening" in page


def test_pages_of_methods_name_the_paper(page: str, tmp_path: Path) -> None:
    shown = next(tmp_path.glob("site/method-good*.html")).read_text(encoding="utf-8")
    link = f'<a href="https://example.org/paper" rel="nofollow noreferrer"><cite><bdi>{escape(HOSTILE)}</bdi></cite></a>'
    assert f"{link}, <bdi>{escape(HOSTILE)}</bdi>, <bdi>ICML</bdi> 2025</p>" in shown
    assert f"Takes <bdi>{escape(HOSTILE)}</bdi>." in shown
    assert f"  title = {{{escape(for_bibtex(HOSTILE))}}},\n" in shown
    told = f">reconstruction</a> <bdi>{escape(HOSTILE)}</bdi>.</p>"
    assert re.search(f'#reconstruction" title="A part of what .*?"{re.escape(told)}', shown)
    assert re.search(r'#deterministic" title="All trials give .*?">deterministic</a> It draws nothing', shown)
    runs = [text for text in _pages(tmp_path).values() if "proven, as its author says" in text]
    assert runs
    assert all(f"<dd>{escape(HOSTILE)}</dd>" in text for text in runs)
    assert HOSTILE not in shown


def test_share_of_the_ceiling(page: str) -> None:
    assert f"{100 * 0.09 / 0.19:.0f} %" in page


def _pages(tmp_path: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "site").glob("*.html")}


def test_text_of_strangers_is_harmless(page: str, tmp_path: Path) -> None:
    for text in _pages(tmp_path).values():
        assert "<script>alert" not in text
        assert "<b>" not in text
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL):
        assert "<" not in json.dumps([trace.get("text") for trace in json.loads(block)["data"]])
    for path in [tmp_path / "site" / "runs.js", *(tmp_path / "site" / "runs").iterdir()]:
        assert "<" not in path.read_text(encoding="utf-8")


def test_everything_is_local(page: str, tmp_path: Path) -> None:
    for text in _pages(tmp_path).values():
        for reference in re.findall(r'(?:src|href)="([^"]+)"(?! rel="nofollow noreferrer")', text):  # but for links to papers
            target = reference.partition("#")[0]
            if not target or target == "data:,":
                continue
            assert not target.startswith(("http", "//", "/"))
            assert (tmp_path / "site" / target).is_file(), target
        assert "default-src 'none'" in text
        assert not re.search(r"<script(?![^>]*(src=|application/json))", text)


def test_a_run_shows_people_who_are_not_forgotten_and_how_numbers_came_about(page: str, tmp_path: Path) -> None:
    """Of strangers' splits and notes the text, and no more."""
    texts = [path.read_text() for path in (tmp_path / "site").glob("run-*.html")]
    shown = [text for text in texts if "(0.950)</td><td>0.600 (0.500)</td><td>0.700 (\N{EN DASH})</td>" in text]
    assert len(shown) == 5  # one of six runs has failed
    assert all("challenge: noted: &lt;/script&gt;" in text for text in shown)


def test_links_of_docstrings_are_made_safe() -> None:
    text = documentation("See `x<y`, javascript:alert(1), http://plain.example, https://a.example/b). and arXiv:2302.09880.")
    assert "<code>x&lt;y</code>" in text
    assert re.findall(r'href="([^"]+)"', text) == ["https://a.example/b", "https://arxiv.org/abs/2302.09880"]


def test_a_second_build_ranks_as_the_first(store: Path, put_run: PutRun, tmp_path: Path) -> None:
    """What is remembered of a run is enough to tell which gate it does not pass."""
    put_run(store, "uneven", 0.07, uneven=True)
    run = next(run for run in map(Run.read, Store(store).run_folders()) if run.record.method.name == "better")
    keep_scorecard(run, read_scorecard(run).with_section("flags", Section(version=1, problem="ValueError: no luck")))
    tables = []
    for _ in range(2):
        build_site(store, tmp_path / "site")
        tables.append(pd.read_csv(tmp_path / "site" / "board.csv", keep_default_na=False).set_index("method"))
        put_run(store, "another", 0.02)
    told = tables[0]["unranked"]
    assert told["better"].startswith("nobody can tell whether its models are what they seem to be")
    assert told["uneven"].startswith("uneven times")
    assert told["good"] == ""
    page = next((tmp_path / "site").glob("run-uneven-*.html")).read_text(encoding="utf-8")
    assert "Not ranked: uneven times: trials take" in page
    assert tables[1].loc[told.index, "unranked"].tolist() == told.tolist()


def test_divisions_have_a_page_each(store: Path, put_run: PutRun, tmp_path: Path) -> None:
    put_run(store, "good", 0.05, models=32)
    build_site(store, tmp_path / "site")
    pages = {name: text for name, text in _pages(tmp_path).items() if name.startswith("division-")}
    assert len(pages) == 2
    assert sum("The ceiling is provisional" in text for text in pages.values()) == 1  # the new division has no retrain row
    assert all(all(name in text for name in pages) for text in pages.values())


def test_data_files_say_what_pages_say(store: Path, tmp_path: Path) -> None:
    build_site(store, tmp_path / "site")
    (division,) = json.loads((tmp_path / "site" / "board.json").read_text())["divisions"]
    assert [run["rank"]["rank"] for run in division["runs"]].count(None) == 3
    best = next(run for run in division["runs"] if run["rank"]["rank"] == 1)
    assert best["scorecard"]["measures"]["final_score"]["value"] == 0.09
    table = pd.read_csv(tmp_path / "site" / "board.csv")
    assert table["final_score"].max() == 0.5
    assert len(table) == 6
    run = json.loads(next((tmp_path / "site" / "runs").glob("better-*.json")).read_text())
    assert run["details"]["epsilons"] == [0.1, None]
    script = next((tmp_path / "site" / "runs").glob("better-*.js")).read_text()
    assert json.loads(script.removeprefix("benchRun(").removesuffix(");\n")) == run


def test_formulas_of_strangers_stay_text(store: Path, put_run: PutRun, tmp_path: Path) -> None:
    put_run(store, "=1+1", 0.02)
    build_site(store, tmp_path / "site")
    assert "'=1+1" in (tmp_path / "site" / "board.csv").read_text()


def _contents(site: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in site.rglob("*") if path.is_file() and ".board" not in path.parts}


def test_a_second_build_reads_and_writes_what_is_new(
    store: Path, put_run: PutRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    build_site(store, site)
    whole = _contents(site)
    before = {path: path.stat().st_mtime_ns for path in whole if "static" not in path.parts}
    read: list[str] = []
    monkeypatch.setattr(Run, "check_outputs", lambda run: read.append(run.record.method.name))
    build_site(store, site)
    assert not read
    assert {path: path.stat().st_mtime_ns for path in before} == before
    put_run(store, "newest", 0.03)
    build_site(store, site)
    assert read == ["newest"]
    assert "newest" in (site / "index.html").read_text(encoding="utf-8")
    shutil.rmtree(next(folder for folder in (store / "runs").iterdir() if "newest" in (folder / "run.json").read_text()))
    build_site(store, site)
    assert _contents(site) == whole


def test_a_new_run_leaves_other_divisions_alone(store: Path, put_run: PutRun, tmp_path: Path) -> None:
    """The front page is that of the division with most runs; which one that is changes here."""
    site = tmp_path / "site"
    put_run(store, "other", 0.03, models=32)
    build_site(store, site)
    before = {path: path.stat().st_mtime_ns for path in site.glob("division-*.html")}
    assert len(before) == 2
    for number in range(6):
        put_run(store, f"other-{number}", 0.03, models=32)
        build_site(store, site)
    (changed,) = (path for path, time in before.items() if path.stat().st_mtime_ns != time)
    assert "other-5" in changed.read_text(encoding="utf-8")
    assert "other-5" in (site / "index.html").read_text(encoding="utf-8")


def test_a_changed_run_is_read_again(store: Path, tmp_path: Path) -> None:
    build_site(store, tmp_path / "site")
    damaged = next((store / "runs").glob("*/outputs-0000.npz"))
    damaged.write_bytes(b"")
    with pytest.raises(BenchError, match="damaged file"):
        build_site(store, tmp_path / "site")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 1}', b"\xff"])
def test_a_damaged_memory_costs_a_whole_build(store: Path, tmp_path: Path, content: bytes) -> None:
    build_site(store, tmp_path / "site")
    (tmp_path / "site" / ".board" / "memory.json").write_bytes(content)
    assert build_site(store, tmp_path / "site").runs == 6


def _misremember(memory: Path, version: str | None = None) -> None:
    """Have the memory say something else of every run than the store does, as if a build of `version` had left it."""
    lines = (memory / "runs.txt").read_text(encoding="utf-8").splitlines()
    (memory / "runs.txt").write_text("".join(f"{line.replace('somebody', 'nobody')}\n" for line in lines), encoding="utf-8")
    index = json.loads((memory / "memory.json").read_bytes())
    (memory / "memory.json").write_text(json.dumps({**index, "version": version or index["version"]}))


def test_the_memory_of_a_former_build_is_ignored(store: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    build_site(store, site)
    whole = _contents(site)
    _misremember(site / ".board", version="0" * 64)
    assert build_site(store, site).runs == 6
    assert _contents(site) == whole
    _misremember(site / ".board")
    build_site(store, site)
    assert b"nobody" in _contents(site)[site / "board.json"]  # what the same version left is believed


def test_a_memory_of_another_form_is_ignored(store: Path, tmp_path: Path) -> None:
    """Lines that a former build wrote, with records as they were then."""
    site = tmp_path / "site"
    build_site(store, site)
    whole = _contents(site)
    former = {"folder": str(store / "runs" / "x"), "stamp": [], "record": {"models": 16, "solo": []}, "card": None, "failure": ""}
    line = f'{json.dumps({**former, "provenance": "verified", "name": "x", "outputs": ""})}\t{{"run":"x"}}\n'
    (site / ".board" / "runs.txt").write_text(6 * line)
    assert build_site(store, site).runs == 6
    assert _contents(site) == whole


def test_names_with_other_ends_of_lines_are_remembered(
    store: Path, put_run: PutRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_run(store, "line\N{LINE SEPARATOR}paragraph\N{PARAGRAPH SEPARATOR}", 0.02)
    build_site(store, tmp_path / "site")
    monkeypatch.setattr(Run, "check_outputs", lambda run: pytest.fail(f"{run.folder} is read again"))
    assert build_site(store, tmp_path / "site").runs == 7


def test_paths_need_not_be_text(put_run: PutRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names of files are bytes; a stranger's store may have any."""
    odd = tmp_path / os.fsdecode(b"odd\xff")
    odd.mkdir()
    Store(odd / "store").prepare()
    put_run(odd / "store", "good", 0.08)
    (folder,) = (odd / "store" / "runs").iterdir()
    (folder / os.fsdecode(b"further\xff")).touch()
    assert build_site(odd / "store", odd / "site").runs == 1
    monkeypatch.setattr(Run, "check_outputs", lambda run: pytest.fail(f"{run.folder} is read again"))
    assert build_site(odd / "store", odd / "site").runs == 1


def test_empty_store(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="has no runs"):
        build_site(tmp_path, tmp_path / "site")
    assert not (tmp_path / "site").exists()


def test_damaged_outputs(store: Path, tmp_path: Path) -> None:
    damaged = next((store / "runs").glob("*/outputs-0000.npz"))
    damaged.write_bytes(b"")
    with pytest.raises(BenchError, match="damaged file"):
        build_site(store, tmp_path / "site")


def test_vendored_files_are_what_they_claim() -> None:
    import bench_leaderboard

    folder = Path(bench_leaderboard.__file__).parent / "static" / "vendor"
    assert {path.name for path in folder.glob("*.js")} == set(VENDORED)
    for name, sha256 in VENDORED.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == sha256
        assert list(folder.glob(f"{name.partition('.')[0].partition('-')[0]}*LICENSE*"))


def _relative(site: Path) -> dict[str, bytes]:
    files = (path for path in site.rglob("*") if path.is_file() and ".board" not in path.parts)
    return {path.relative_to(site).as_posix(): path.read_bytes() for path in files}


def test_a_second_build_is_what_a_first_one_would_be(store: Path, put_run: PutRun, tmp_path: Path) -> None:
    build_site(store, tmp_path / "grown")
    put_run(store, "other", 0.03, models=32)
    put_run(store, "good", 0.05, spec="good[x=1]")
    build_site(store, tmp_path / "grown")
    build_site(store, tmp_path / "fresh")
    assert _relative(tmp_path / "grown") == _relative(tmp_path / "fresh")
    larger = next(path.parent for path in (store / "runs").glob("*/run.json") if json.loads(path.read_bytes())["models"] == 32)
    shutil.rmtree(larger)
    build_site(store, tmp_path / "grown")
    build_site(store, tmp_path / "smaller")
    assert _relative(tmp_path / "grown") == _relative(tmp_path / "smaller")


def _place(name: str, left: float, folder: str, version: str = "1", seed: int = 0, rank: int = 1) -> Place:
    method = MethodRecord(
        name=name,
        spec=name,
        hyper_parameters={},
        source_hash="0" * 64,
        control=False,
        reference_models=(),
        version=version,
    )
    record = RunRecord(
        method=method,
        task=TaskRecord(name="age-synthetic", key="f" * 64),
        reference_id="a" * 16,
        models=64,
        budget="20%",
        seed=seed,
        device=DeviceRecord(kind="cpu"),
        retraining_seconds=5.0,
        allowance_seconds=1.0,
        chunks=(),
        timed=tuple(Killed(trial=trial, killed="", seconds=0.5, retraining=(5.0, 5.0)) for trial in range(3)),
    )
    measure = Measure(value=left, unit="of the original's", better="as retrained")
    kept = {f"{split}_accuracy": Measure(value=1.0, unit="share", better="higher", relative=1.0) for split in ("retain", "test")}
    sections = {"memory-left": {"memory_left": measure}, "utility": kept, "flags": {}, "timed-trials": {}, "challenge": {}}
    card = Scorecard(sections={name: Section(version=1, measures=measures) for name, measures in sections.items()})
    return Place(Row(Path(folder), record, card, ""), Rank(rank, rank, 2))


def test_names_in_a_table_are_told_apart() -> None:
    places = [
        _place("a", 0.1, "a-111111111111"),
        _place("b", 0.1, "b-222222222222"),
        _place("b", 0.1, "b-333333333333", seed=1),
        _place("c", 0.1, "c-444444444444"),
        _place("c", 0.1, "c-555555555555", version="2"),
        _place("d", 0.1, "d-666666666666"),
        _place("d", 0.1, "d-777777777777"),
    ]
    assert distinct_names([place.row for place in places]) == [
        "a",
        "b, seed 0",
        "b, seed 1",
        "c, seed 0, version 1",
        "c, seed 0, version 2",
        "d, seed 0, version 1, run 666666666666",
        "d, seed 0, version 1, run 777777777777",
    ]


def test_a_name_cannot_turn_the_sentence_around() -> None:
    places = [_place("a\u202e\u2066b", 0.1, "x"), _place("other", 0.2, "y", rank=2)]
    told = words.headline("T", places, None, 64)
    assert told.sentence == "On T, ab leads: 10 % of the memory is left."
    assert told.caveat == ""


def test_the_sentence_says_that_nobody_else_ran_the_leader() -> None:
    places = [_place("mine", 0.1, "imported/x"), _place("other", 0.2, "y", rank=2)]
    assert words.headline("T", places, None, 64, {Path("imported/x")}).caveat == "mine is self-reported: nobody else ran it."


def test_of_a_single_row_nobody_says_that_it_leads() -> None:
    told = words.headline("T", [_place("mine", 0.1, "x")], None, 64)
    assert told.sentence == "On T, only mine is ranked, with 10 % of the memory left, so nobody leads."
    assert words.headline("T", [], None, 64).sentence == "On T, no run is ranked yet."


def test_numbers_are_shown_without_the_metrics_that_made_them(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a page says of a number is in the scorecard."""
    build_site(store, tmp_path / "with")
    monkeypatch.setattr(discovery, "plugins", lambda group: pytest.fail("a metric is looked for"))
    build_site(store, tmp_path / "without")
    assert _relative(tmp_path / "with") == _relative(tmp_path / "without")
    page = next((tmp_path / "without").glob("run-better-*.html")).read_text(encoding="utf-8")
    assert "accuracy on the training photos that are kept" in page


def test_a_strangers_number_is_a_column_where_it_says_so(store: Path, tmp_path: Path) -> None:
    folder = next(path.parent for path in (store / "runs").glob("*/run.json") if '"better"' in path.read_text())
    run = Run.read(folder)
    about = Presentation(title="<b>odd", meaning=HOSTILE, family="other", table="results", decimals=1)
    silent = Presentation(title="silent", meaning="", family="other", table="", decimals=1)
    measures = {
        "odd": Measure(value=2.25, unit="nats", better="lower"),
        "silent": Measure(value=7.75, unit="nats", better="lower"),
    }
    section = Section(version=1, measures=measures, quantities={"odd": about, "silent": silent})
    keep_scorecard(run, read_scorecard(run).with_section("odd", section))
    build_site(store, tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert ">&lt;b&gt;odd</th>" in page
    assert ">2.2</td>" in page
    assert "silent" not in page
    assert "silent" in next((tmp_path / "site").glob("run-better-*.html")).read_text(encoding="utf-8")
    (division,) = json.loads((tmp_path / "site" / "board.json").read_text())["divisions"]
    assert {"key": "odd", "unit": "nats", "decimals": 1}.items() <= next(
        column for column in division["columns"] if column["key"] == "odd"
    ).items()
    assert pd.read_csv(tmp_path / "site" / "board.csv")["odd"].dropna().tolist() == [2.25]

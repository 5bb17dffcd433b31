"""The site: what a reader gets, and what a stranger's text cannot do to it."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from bench_leaderboard.site import build_site
from markupsafe import escape

from bench.errors import BenchError
from bench.outputs import OUTPUT_SPLITS, Outputs
from bench.scorecard import Measure, Scorecard, Section
from bench.store import Store, write_record

HOSTILE = "</script><script>alert(1)</script><b>&\"'"
VENDORED = {
    # datatables.net 3.1.5, MIT
    "dataTables.min.js": "38017a5586acd9c6eb6bbfe8b6938e1a25bdc717c5acfcb07e0c9d663282c59d",
    # plotly.js-cartesian-dist-min 4.1.1, MIT
    "plotly-cartesian.min.js": "79542150855a52c567260e3137095dbe2b744e6d702a5cabe67da246942fba7a",
}


def put_run(
    store: Path,
    name: str,
    final: float,
    *,
    control: bool = False,
    models: int = 16,
    failure: str = "",
    late: bool = False,
) -> None:
    """Write a run's record and scorecard as the engine would."""
    folder = store / "runs" / f"run-{hashlib.sha256(f'{name}{models}'.encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True)
    method = {"name": name, "spec": name, "summary": HOSTILE, "distribution": "somebody", "version": "1", "control": control}
    method |= {"hyper_parameters": {}, "source_hash": "0" * 64}
    record = {
        "method": {**method, "reference_models": list(range(16, 32)) if control else []},
        "task": {"name": "age-synthetic", "key": "f" * 64},
        "reference_id": "a" * 16,
        "models": models,
        "budget": "20%",
        "seed": 0,
        "device": {"kind": "cpu", "processor": "test"},
        "chunks": [{"trials": list(range(models)), "failure": failure}] if failure else [],
        "solo": [] if control else [{"trial": models + n, "seconds": 2.0 if late else 0.5} for n in range(3)],
        "retraining_seconds": 5.0,
        "allowance_seconds": 1.0,
    }
    if not failure and not control:
        record["chunks"] = [{"trials": list(range(models))}]
    write_record(folder / "run.json", record)
    if not failure:
        _finish(folder, record, final, control)


def _finish(folder: Path, record: dict, final: float, control: bool) -> None:
    from bench.store import write_bytes

    if not control:
        record["chunks"][0].update(
            file="outputs-0000.npz", sha256=write_bytes(folder / "outputs-0000.npz", _outputs(record["models"]))
        )
        write_record(folder / "run.json", record)
    names = ("retain_accuracy", "test_accuracy", "forget_accuracy", "p_value", "ulira_auc")
    measures = {name: Measure(0.9, "share", "higher", retrained=0.95, relative=0.9 / 0.95) for name in names}
    interval = (final - 0.004, final + 0.004)
    measures["final_score"] = measures["forgetting_score"] = Measure(final, "score", "higher", interval, retrained=0.18)
    if not control:
        measures |= {name: Measure(1.0, "seconds", "lower") for name in ("runtime", "runtime_share", "budget_share")}
    resamples = [final + 0.002 * np.sin(index + 100 * final) for index in range(200)]
    details = {"epsilons": [0.1, None], "resampled_final_score": resamples}
    section = Section(1, measures, {"near-constant": f"seen: {HOSTILE}"}, details)
    write_record(folder / "scorecard.json", Scorecard({"challenge": section}).record())


def _outputs(models: int) -> bytes:
    logits = dict.fromkeys(OUTPUT_SPLITS, np.zeros((models, 1, 4), dtype=np.float32))
    return Outputs(logits, np.ones(models)).to_npz()


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    Store(path).prepare()
    put_run(path, "good", 0.08)
    put_run(path, "better", 0.09)
    put_run(path, HOSTILE, 0.01)
    put_run(path, "slow", 0.5, late=True)
    put_run(path, "retrain", 0.19, control=True)
    put_run(path, "failed", 0.0, failure=f"RuntimeError: {HOSTILE}")
    return path


@pytest.fixture
def page(store: Path, tmp_path: Path) -> str:
    assert build_site(store, tmp_path / "site") == 6
    return (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def _ranks(page: str) -> list[tuple[str, str]]:
    rows = re.findall(r"<tr[^>]*>\s*<td data-order=[^>]*>(.*?)</td>\s*<th scope=\"row\"[^>]*>(.*?)</th>", page, re.DOTALL)
    return [(rank, name) for rank, name in rows]


def test_rows_are_ranked_and_the_rest_is_shown(page: str) -> None:
    ranks = {name: rank for rank, name in _ranks(page)}
    assert (ranks["better"], ranks["good"], ranks[str(escape(HOSTILE))]) == ("1", "2", "3")
    assert ranks["retrain"] == ranks["slow"] == ranks["failed"] == "-"
    assert {name for _, name in _ranks(page)[-2:]} == {"slow", "failed"}
    assert "0/16 trials: RuntimeError" in page


def test_headline_names_leader_and_ceiling(page: str) -> None:
    assert "better leads with a final score of 0.090; retraining itself scores 0.190 in forgetting." in page
    assert "provisional" not in page


def test_share_of_the_ceiling(page: str) -> None:
    assert f"{100 * 0.09 / 0.19:.0f} %" in page


def test_text_of_strangers_is_harmless(page: str) -> None:
    assert "<script>alert" not in page
    assert "<b>" not in page
    for block in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL):
        assert "<" not in json.dumps([trace["text"] for trace in json.loads(block)["data"]])


def test_everything_is_local(page: str, tmp_path: Path) -> None:
    for reference in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert not reference.startswith(("http", "//", "/"))
        assert (tmp_path / "site" / reference).is_file()
    assert "default-src 'none'" in page
    assert not re.search(r"<script(?![^>]*(src=|application/json))", page)


def test_divisions_have_a_table_each(store: Path, tmp_path: Path) -> None:
    put_run(store, "good", 0.05, models=32)
    build_site(store, tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert page.count('<table class="board">') == 2
    assert "provisional" in page  # the new division has no retrain row


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


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
def test_table_sorts_and_chart_draws_in_a_browser(page: str, tmp_path: Path) -> None:
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    address = (tmp_path / "site" / "index.html").as_uri()
    command = [
        "chromium",
        *flags,
        "--disable-component-update",
        "--disable-sync",
        profile,
        "--virtual-time-budget=5000",
        "--enable-logging=stderr",
    ]
    done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True)
    assert "dt-orderable" in done.stdout
    assert "main-svg" in done.stdout
    assert "CONSOLE" not in done.stderr

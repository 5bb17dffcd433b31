"""`bench score`, `compare`, `metrics` and `calibrate`, on runs that nobody trained."""

from __future__ import annotations

import io
import json
import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench.cli.main import cli, main
from bench.errors import BenchError
from bench.registry import discovery

Call = Callable[..., Result]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.delenv("BENCH_STORE", raising=False)

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(cli, [str(argument) for argument in arguments], obj=False)

    return run


def refused(result: Result) -> str:
    assert isinstance(result.exception, BenchError)
    return str(result.exception)


@pytest.fixture(scope="module")
def store(shared_drawn) -> Path:
    shared_drawn.add("near", shared_drawn.shifted(0.3))
    shared_drawn.add("far", shared_drawn.shifted(2.0))
    return shared_drawn.store.path


def test_score_computes_everything_once(call: Call, store: Path) -> None:
    done = call("score", "--store", store, "--json")
    assert done.exit_code == 0, done.output
    found = {row["method"]["name"]: row["scorecard"] for row in json.loads(done.stdout)}
    assert {"near", "far"} <= set(found)
    measure = found["far"]["measures"]["ulira_auc"]
    assert {"value", "unit", "better", "interval", "retrained", "gap", "gap_interval", "original", "self_test"} <= set(measure)
    before = {path: path.stat().st_mtime_ns for path in store.glob("runs/*/scorecard.json")}
    assert call("score", "--store", store).exit_code == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_score_prints_one_run(call: Call, store: Path) -> None:
    done = call("score", "far", "--store", store)
    assert "ulira_auc" in done.stdout
    assert "best where" not in done.stdout
    assert "final_score" in done.stdout


def test_score_one_metric_again(call: Call, store: Path) -> None:
    call("score", "--store", store)
    (path,) = store.glob("runs/near-*/scorecard.json")
    before = json.loads(path.read_text())
    assert call("score", "near", "--metric", "klom", "--again", "--store", store).exit_code == 0
    assert json.loads(path.read_text()) == before


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["score", "nobody"], "no run begins with 'nobody'"),
        (["score", "elsewhere/runs/near"], "elsewhere/runs/near is no run of .*; say with --store which store it is in"),
        (["verify", "/nowhere/near"], "/nowhere/near is no run of .*; say with --store which store it is in"),
        (["score", "--metric", "ulirra"], "did you mean ulira"),
        (["compare", "near"], "name two runs"),
        (["compare", "--models", "17"], "no division of .* fits; it has drawn, 16 models"),
    ],
)
def test_mistakes_are_one_line(call: Call, store: Path, arguments: list[str], reason: str) -> None:
    message = refused(call(*arguments, "--store", store))
    assert re.search(reason, message)
    assert "\n" not in message


def test_a_run_is_found_by_the_path_of_its_folder(call: Call, store: Path) -> None:
    """As `bench run` prints it; of a run of the same name in another store nothing is said."""
    (folder,) = store.glob("runs/near-*")
    named = call("score", folder.name, "--store", store, "--json").stdout
    for way in (folder, f"{folder.name}/"):
        assert json.loads(call("score", way, "--store", store, "--json").stdout) == json.loads(named)
    other = store.parent / "other"
    shutil.copytree(store, other)
    assert "is no run of" in refused(call("compare", other / "runs" / folder.name, "far", "--store", store))


def test_empty_store(call: Call, tmp_path: Path) -> None:
    assert "has no complete run" in refused(call("score", "--store", tmp_path))


def test_compare_tells_runs_apart(call: Call, store: Path) -> None:
    answer = json.loads(call("compare", "near", "far", "--store", store, "--json").stdout)
    for name in ("memory_left", "final_score"):
        assert answer[name]["distinguishable"]
        assert answer[name]["p_value"] < 0.05
        assert answer[name]["difference"] == pytest.approx(answer[name]["values"][0] - answer[name]["values"][1])
    assert call("compare", "near", "far", "--store", store).stdout.count("near-0123456789ab is better") == 2


def test_compare_says_what_it_cannot_tell(call: Call, shared_drawn, store: Path) -> None:
    shared_drawn.add("near-too", shared_drawn.shifted(0.3, draw=1))
    done = call("compare", "near-0", "near-too", "--store", store)
    assert "indistinguishable at 5 %" in done.stdout


def test_compare_refuses_another_division(call: Call, drawn) -> None:
    drawn.add("one", drawn.shifted(0.0))
    drawn.add("other", drawn.shifted(0.0), budget="30s")
    message = refused(call("compare", "one", "other", "--store", drawn.store.path))
    assert "not of one division: budget (20% and 30s) differ" in message


def test_compare_ranks_a_division(call: Call, store: Path) -> None:
    call("score", "--store", store)
    done = call("compare", "--task", "drawn", "--models", 16, "--store", store, "--json")
    (division,) = json.loads(done.stdout)
    ranks = {row["method"]["name"]: row["rank"] for row in division}
    assert ranks["near"]["best"] == 1
    assert ranks["far"]["best"] > ranks["near"]["worst"]
    assert "Holm" in call("compare", "--store", store).stdout


def test_metrics_are_listed_and_each_is_explained(call: Call) -> None:
    listed = call("metrics").stdout
    names = [plugin.name for plugin in discovery.plugins(discovery.METRICS)]
    assert sorted(names) == sorted(entry.name for entry in entry_points(group="bench.metrics"))
    for name in names:
        assert f"{name} " in listed
        shown = call("metrics", "show", name).stdout
        record = json.loads(call("metrics", "show", name, "--json").stdout)
        assert len(record["definition"]) > 100
        assert record["source"]
        assert record["pitfalls"]
        for quantity in record["quantities"]:
            assert f"{quantity['name']}: {quantity['meaning']}" in shown
            assert quantity["better"] in ("higher", "lower", "as retrained")
    assert call("metrics", "--json").exit_code == 0


def test_calibrate_shows_power_and_blind_spots(call: Call) -> None:
    done = call("calibrate", "--models", 16, "--examples", 30, "--repeats", 1, "--json")
    cases = json.loads(done.stdout)["cases"]
    assert cases["gaming"]["forgetting_score"]["mean"] == 1.0
    assert cases["gaming"]["[near-constant]"]["told"] == 1
    assert cases["gaming"]["[outlier-models]"]["told"] == 1
    assert cases["gaming"]["cross_fitted_epsilon"]["mean"] > 1
    assert cases["deterministic"]["forgetting_score"]["mean"] == 0.0
    assert cases["retrained"]["p_value"]["mean"] > 0.05
    assert cases["shift 2 sd"]["p_value"]["told"] == 1
    assert cases["half width"]["log_deviation_ratio"]["mean"] == pytest.approx(-0.69, abs=0.15)
    assert abs(cases["half width"]["gaussian_dp_mu"]["mean"] - cases["retrained"]["gaussian_dp_mu"]["mean"]) < 0.2
    assert "7 models are too few" in refused(call("calibrate", "--models", 7))


def _written(monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: str) -> tuple[bytes, bytes]:
    """What a command writes to standard output and error, of an encoding."""
    files = io.BytesIO(), io.BytesIO()
    with monkeypatch.context() as patch:
        out, err = (io.TextIOWrapper(file, encoding=encoding, errors="strict", write_through=True) for file in files)
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "argv", ["bench", *arguments])
        with pytest.raises(SystemExit):
            main()
    return files[0].getvalue(), files[1].getvalue()


@pytest.mark.parametrize(("encoding", "margin"), [("ascii", b"?"), ("cp1251", "±".encode("cp1251")), ("koi8_r", b"?")])
def test_what_a_terminal_cannot_show_is_replaced(
    call: Call, store: Path, monkeypatch: pytest.MonkeyPatch, encoding: str, margin: bytes
) -> None:
    call("score", "--store", store)
    out, _ = _written(monkeypatch, encoding, "compare", "--store", str(store))
    assert re.search(rb"\d " + re.escape(margin) + rb"\d", out), out


def test_so_is_what_a_mistake_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also of a name that is no text: what stands for its bytes can be encoded by nothing."""
    for encoding, name in (("latin-1", "naïve-メソッド"), ("utf-8", "odd-\udcff")):
        out, err = _written(monkeypatch, encoding, "plugins", "show", name)
        assert not out
        assert err.startswith(b"bench: unknown plugin "), err

"""Runs and references travel: exported, verified, put on somebody else's board."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCH = str(Path(sys.executable).parent / "bench")


@pytest.fixture
def sent(bench, copied, tmp_path: Path) -> Path:
    """A run as a file; the store no longer has it."""
    run = copied.rows["noise-injection"]["run"]
    bench("export", "run", "noise-injection", "--store", copied.path, "--out", tmp_path / "sent.zip")
    shutil.rmtree(copied.path / "runs" / run)
    return tmp_path / "sent.zip"


def _board(site: Path) -> dict[str, dict]:
    (division,) = json.loads((site / "board.json").read_text())["divisions"]
    return {run["method"]["name"]: run for run in division["runs"]}


def test_a_strangers_run_is_verified_and_marked(bench, copied, sent: Path, tmp_path: Path) -> None:
    told = bench("verify", sent, "--store", copied.path).stdout
    assert "FAIL" not in told
    assert "metric challenge" in told
    site = tmp_path / "site"
    bench("leaderboard", "build", "--store", copied.path, "--out", site, "--import", sent)
    rows = _board(site)
    assert rows["noise-injection"]["provenance"] == "self-reported"
    assert rows["noise-injection"]["run"] == copied.rows["noise-injection"]["run"]
    assert rows["finetune"]["provenance"] == "verified"
    page = (site / "index.html").read_text()
    assert page.count(">self-reported<") == 1
    bench("leaderboard", "build", "--store", copied.path, "--out", site, "--import", sent)  # remembered
    assert _board(site) == rows
    bench("leaderboard", "build", "--store", copied.path, "--out", site)
    assert "noise-injection" not in _board(site)


def test_what_the_keeper_ran_too_is_verified(bench, copied, tmp_path: Path) -> None:
    bench("export", "run", "scrub", "--store", copied.path, "--out", tmp_path / "scrub.zip")
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", "--import", tmp_path / "scrub.zip")
    assert _board(tmp_path / "site")["scrub"]["provenance"] == "verified"
    assert len(_board(tmp_path / "site")) == len(copied.rows)


Change = Callable[[Any, Path], None]  # what somebody does to the unpacked file: with a forger, in a folder


def _rewritten(file: Path, change: Change, forger, scratch: Path) -> None:
    with zipfile.ZipFile(file) as archive:
        archive.extractall(scratch)
    change(forger, scratch)
    with zipfile.ZipFile(file, "w") as archive:
        for path in scratch.iterdir():
            archive.write(path, path.name)


def _better_score(forger, folder: Path) -> None:
    card = forger.read(folder / "scorecard.json")
    card["sections"]["challenge"]["measures"]["final_score"]["value"] = 0.9
    forger.write(folder / "scorecard.json", card)


def _other_outputs(forger, folder: Path) -> None:
    next(folder.glob("outputs-*.npz")).write_bytes(b"PK")


def _record(**fields: object) -> Change:
    """Other fields in the run's record."""

    def change(forger, folder: Path) -> None:
        forger.write(folder / "run.json", {**forger.read(folder / "run.json"), **fields})

    return change


def _method(**fields: object) -> Change:
    """Other fields in what it says of the method."""

    def change(forger, folder: Path) -> None:
        record = forger.read(folder / "run.json")
        forger.write(folder / "run.json", {**record, "method": {**record["method"], **fields}})

    return change


def _epsilons(value: float) -> Change:
    def change(forger, folder: Path) -> None:
        card = forger.read(folder / "scorecard.json")
        card["sections"]["challenge"]["details"]["epsilons"][0] = value
        forger.write(folder / "scorecard.json", card)

    return change


def _name(name: str) -> Change:
    def change(forger, folder: Path) -> None:
        for file in ("run.json", "scorecard.json"):
            forger.write(folder / file, {**forger.read(folder / file), "run": name})

    return change


def _half_a_character(forger, folder: Path) -> None:
    """In the name: text that no encoding of Unicode can hold."""
    text = (folder / "run.json").read_text()
    (folder / "run.json").write_text(text.replace(forger.read(folder / "run.json")["run"], "\\ud800"))


def _version(file: str, version: object) -> Change:
    """As another bench would have written it."""

    def change(forger, folder: Path) -> None:
        forger.write(folder / file, forger.read(folder / file), version)

    return change


def _number(file: str, token: str) -> Change:
    """Another number than the first one of the file."""

    def change(forger, folder: Path) -> None:
        path = folder / file
        path.write_text(re.sub(r"-?\d+\.\d+(e-?\d+)?", token, path.read_text(), count=1))

    return change


def _without_flags(forger, folder: Path) -> None:
    card = forger.read(folder / "scorecard.json")
    del card["sections"]["flags"]
    forger.write(folder / "scorecard.json", card)


def _further_file(forger, folder: Path) -> None:
    (folder / "further.py").write_text("raise SystemExit")


DAMAGED = "sent.zip: run.json is damaged; ask for it again"
EARLIER = "sent.zip was written by an earlier bench (schema 1, this one reads 2); ask for it again"
NEWER = "sent.zip was written by a newer bench (schema 3, this one reads 2); upgrade unlearning-bench"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_better_score, "final_score do not follow from the outputs"),
        (_other_outputs, "checksum differs"),
        (_record(run="../../escaped"), "does not say which run it is"),
        (_record(reference_id="0" * 16), "was compared with reference 0000000000000000"),
        (_further_file, "it holds other files"),
        (_name("a" * 250), "does not say which run it is"),
        (_name("a" * 5000), DAMAGED),
        (_name("nul\x00"), DAMAGED),
        (_half_a_character, DAMAGED),
        (_without_flags, "metric flags: the scorecard lacks it"),
        (_record(allowance_seconds=1e9), "1000000000.0 s are allowed where it says 20%"),
        (_version("run.json", 1), EARLIER),
        (_version("run.json", 3), NEWER),
        (_version("scorecard.json", 1), "scorecard: there is none"),
        (_version("scorecard.json", 3), "was written by a newer bench"),
        (_version("run.json", -1), DAMAGED),
        (_version("run.json", "1"), DAMAGED),
        (_version("run.json", 1.9), DAMAGED),
        (_method(reference_models=list(range(8, 16))), DAMAGED),
        (_record(device={"kind": "CPU"}), DAMAGED),
        (_record(device={"kind": "-cpu"}), "has 0 retrained models, the run needs 8"),
        (_record(budget="020%"), DAMAGED),
        (_record(budget="\u0662\u0660%"), DAMAGED),
        (_epsilons(1.7e308), "scorecard.json (Expected `float` <= 1e+30"),
        (_epsilons(-1.7e308), "scorecard.json (Expected `float` >= -1e+30"),
        (_number("run.json", "NaN"), DAMAGED),
        (_number("run.json", "1e999"), DAMAGED),
        (_number("scorecard.json", "-Infinity"), "scorecard.json (JSON is malformed"),
        (_number("scorecard.json", "1e999"), "scorecard.json (Number out of range"),
    ],
)
def test_what_a_stranger_changed_is_found(bench, copied, forger, sent: Path, tmp_path: Path, change: Change, told: str) -> None:
    _rewritten(sent, change, forger, tmp_path / "scratch")
    done = bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", "--import", sent, code=2)
    assert told in done.stderr
    assert done.stderr.startswith(f"bench: {sent}")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_better_score, "final_score do not follow"),
        (_name("a" * 250), "which run it is"),
        (_name("nul\x00"), DAMAGED),
        (_version("run.json", 1), EARLIER),
    ],
)
def test_verify_tells_it_too(bench, copied, forger, sent: Path, tmp_path: Path, change: Change, told: str) -> None:
    _rewritten(sent, change, forger, tmp_path / "scratch")
    done = bench("verify", sent, "--store", copied.path, code=1)
    assert told in done.stdout
    assert done.stderr == ""


def _flattering_details(forger, folder: Path) -> None:
    card = forger.read(folder / "scorecard.json")
    details = card["sections"]["challenge"]["details"]
    details["epsilons"] = [0.0] * len(details["epsilons"])
    details["resampled_final_score"] = [0.0] * len(details["resampled_final_score"])
    forger.write(folder / "scorecard.json", card)


def _another_description(forger, folder: Path) -> None:
    record = forger.read(folder / "run.json")
    method = {**record["method"], "documentation": "SCRUB is broken, use mine."}
    forger.write(folder / "run.json", {**record, "created": "2099-01-01T00:00:00+00:00", "method": method})


def test_what_is_shown_was_computed_here(bench, copied, forger, sent: Path, tmp_path: Path) -> None:
    """Numbers per example, which nobody compares, are not taken from the file."""
    _rewritten(sent, _flattering_details, forger, tmp_path / "scratch")
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", "--import", sent)
    runs = map(json.loads, (path.read_text() for path in (tmp_path / "site" / "runs").glob("*.json")))
    shown = next(run for run in runs if "noise-injection" in run["run"])
    assert any(shown["details"]["epsilons"])
    assert len(set(shown["details"]["resampled_final_score"])) > 100


def test_a_stranger_cannot_speak_for_a_method_that_the_keeper_ran(bench, run, copied, forger, tmp_path: Path) -> None:
    run("--plugin", "scrub", "--seed", 5, "--store", copied.path)
    bench("export", "run", "scrub", "--store", copied.path, "--out", tmp_path / "other.zip", code=2)  # two runs: say which
    other = next(path.name for path in (copied.path / "runs").glob("scrub-*") if path.name != copied.rows["scrub"]["run"])
    bench("export", "run", other, "--store", copied.path, "--out", tmp_path / "other.zip")
    shutil.rmtree(copied.path / "runs" / other)
    _rewritten(tmp_path / "other.zip", _another_description, forger, tmp_path / "scratch")
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", "--import", tmp_path / "other.zip")
    pages = [path.read_text() for path in (tmp_path / "site").glob("method-scrub-*.html")]
    assert not any("SCRUB is broken" in page for page in pages)
    assert any("raise the divergence from the teacher" in page for page in pages)


def _opens_a_division(forger, folder: Path) -> None:
    """At another budget, far from what its trials take, and in its own words."""
    record = forger.read(folder / "run.json")
    task = {**record["task"], "name": "the real leaderboard", "remarks": ["all others cheat"]}
    forger.write(
        folder / "run.json",
        {**record, "budget": "9s", "allowance_seconds": 9.0, "task": task},
    )
    card = forger.read(folder / "scorecard.json")
    share = card["sections"]["runtime"]["measures"]["budget_share"]
    allowed = 9.0 / min([record["retraining_seconds"], *(each for timed in record["timed"] for each in timed["retraining"])])
    share["value"] *= 0.2 / allowed
    share["interval"] = share["interval"] and [end * 0.2 / allowed for end in share["interval"]]
    forger.write(folder / "scorecard.json", card)


def test_a_division_of_a_strangers_own_is_not_the_first_page(bench, copied, forger, sent: Path, tmp_path: Path) -> None:
    """Nor is it called as they like, and nothing there is said of the data in their words."""
    for name in ("finetune", "scrub"):  # nothing that the keeper has is ranked
        shutil.rmtree(copied.path / "runs" / copied.rows[name]["run"])
    _rewritten(sent, _opens_a_division, forger, tmp_path / "scratch")
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", "--import", sent)
    front, divisions = (tmp_path / "site" / "index.html").read_text(), json.loads((tmp_path / "site" / "board.json").read_text())
    titles = [division["title"] for division in divisions["divisions"]]
    assert titles == [f"age-tiny with N = 8, budget {budget}, on cpu" for budget in ("9 s", "20 % of retraining")]
    assert f"<caption>{titles[1]}." in front
    texts = [path.read_text() for path in (tmp_path / "site").glob("division-*.html")]
    assert not any("the real leaderboard" in text or "all others cheat" in text for text in texts)


def test_one_submission_counts_once(bench, copied, forger, sent: Path, tmp_path: Path) -> None:
    shutil.copy(sent, tmp_path / "again.zip")
    _rewritten(tmp_path / "again.zip", _name("another-name"), forger, tmp_path / "scratch")
    build = ("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site", "--import", sent, "--import")
    for other in (sent, tmp_path / "again.zip"):
        assert "has the same outputs as" in bench(*build, other, code=2).stderr


def test_control_rows_are_the_keepers(bench, copied, tmp_path: Path) -> None:
    bench("export", "run", "retrain", "--store", copied.path, "--out", tmp_path / "retrain.zip")
    shutil.rmtree(copied.path / "runs" / copied.rows["retrain"]["run"])
    done = bench("leaderboard", "build", "--store", copied.path, "--import", tmp_path / "retrain.zip", code=2)
    assert "is a control row" in done.stderr


def test_other_files_are_refused(bench, copied, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "small.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run.json", "0" * 10**7)
    for name, told in (("text", "is not a file that `bench export` wrote"), ("small", "it is compressed")):
        done = bench("leaderboard", "build", "--store", copied.path, "--import", tmp_path / f"{name}.zip", code=2)
        assert told in done.stderr


def test_a_reference_travels(bench, run, copied, tmp_path: Path) -> None:
    bench("export", "reference", "--task", "age-tiny", "--store", copied.path, "--out", tmp_path / "reference.zip")
    fresh = tmp_path / "fresh"
    bench("reference", "add", tmp_path / "reference.zip", "--store", fresh)
    assert "there is a reference" in bench("reference", "add", tmp_path / "reference.zip", "--store", fresh, code=2).stderr
    done = run("--plugin", "finetune", "--store", fresh, "--json")
    assert "retrained models" not in done.stderr  # nothing was trained again
    assert json.loads(done.stdout)[0]["reference_id"] == copied.rows["finetune"]["reference_id"]


def test_a_reference_of_the_version_before_is_refused(bench, copied, forger, tmp_path: Path) -> None:
    file = tmp_path / "reference.zip"
    bench("export", "reference", "--task", "age-tiny", "--store", copied.path, "--out", file)
    _rewritten(file, _version("reference.json", 1), forger, tmp_path / "scratch")
    told = bench("reference", "add", file, "--store", tmp_path / "fresh", code=2).stderr
    assert told == f"bench: {file} was written by an earlier bench (schema 1, this one reads 2); ask for it again\n"
    assert not list((tmp_path / "fresh" / "references").iterdir())


def test_serve_shows_the_site(bench, copied, tmp_path: Path) -> None:
    assert "there is no site" in bench("leaderboard", "serve", "--out", tmp_path / "none", code=2).stderr
    bench("leaderboard", "build", "--store", copied.path, "--out", tmp_path / "site")
    command = [BENCH, "leaderboard", "serve", "--out", str(tmp_path / "site"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            address = re.search(r"http://\S+", server.stdout.readline())[0]
            assert b"Machine-unlearning leaderboard" in urllib.request.urlopen(address).read()
        finally:
            server.terminate()

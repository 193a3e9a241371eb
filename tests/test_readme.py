"""What the README shows is true: every command runs, every file and every key is there.

A command that the README gains and that is not listed here fails the first test.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli import app
from pipeline.config import Config, check, merge, read_yaml
from tests.conftest import Trained
from tests.datasets.drawn import draw_own
from tests.repository import ROOT, Copy

README = (ROOT / "README.md").read_text(encoding="utf-8")
WORDS = ("make", "snakemake", "dvc", "ris")


def without_comment(line: str) -> str:
    return re.sub(r"\s+#.*", "", line).strip()


def commands(readme: str) -> list[str]:
    """What a reader would type: the lines of fenced blocks of shell, and code that starts so."""
    blocks = re.findall(r"^```(?:bash|sh|console)\n(.*?)^```", readme, re.DOTALL | re.MULTILINE)
    lines = [without_comment(line) for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", readme, flags=re.DOTALL | re.M))
    typed = [span for span in spans if span.split()[0] in WORDS and span not in WORDS]
    return list(dict.fromkeys([*filter(None, lines), *typed]))


pytestmark = pytest.mark.timeout(900)  # the first test waits for the whole workflow

Check = Callable[[Trained, list[str]], None]


def runs_the_workflow(trained: Trained, words: list[str]) -> None:
    """The fixture has typed it; here, that it came to its end."""
    count, total = re.findall(r"(\d+) of (\d+) steps \(100%\) done", trained.said)[-1]
    assert count == total and int(total) > 10
    page = (trained.root / "results" / "report.html").read_text()
    assert "response" in page and "segmentor" in page


def plans_cluster_jobs(trained: Trained, words: list[str]) -> None:
    """Without a cluster, only as far as the jobs that would be handed to it."""
    done = trained.clone.call(*words, "--dry-run", "--forceall")
    assert done.returncode == 0, done.stderr
    assert "rule train_localizer:" in done.stdout and "gres=gpu:1" in done.stdout


def has_nothing_to_do(trained: Trained, words: list[str]) -> None:
    done = trained.clone.call(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Data and pipelines are up to date" in done.stdout + done.stderr
    assert "Running stage" not in done.stdout + done.stderr


def prints_the_ladder(trained: Trained, words: list[str]) -> None:
    done = trained.clone.call(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    header, *rows = done.stdout.splitlines()
    assert header.split()[0] == "Path" and {"mIoU", "PointM"} <= set(header.split())
    shown = {row.split()[0] for row in rows if row}
    rungs = {f"weak/{rung}.json" for rung in ("response", "pseudo_label", "segmentor")}
    rungs.add("baselines/random_object.json")
    assert {name for name in rungs if not any(path.endswith(name) for path in shown)} == set()


def predicts(trained: Trained, words: list[str]) -> None:
    """With a picture in place of the word IMAGE."""
    picture = sorted((trained.root / "artifacts/miniature/raw/images").iterdir())[0]
    words = [str(picture) if word == "IMAGE" else word for word in words]
    done = trained.clone.call("pipeline.cli", *words[1:])
    assert done.returncode == 0, done.stderr
    found = json.loads((trained.root / "predictions" / "predictions.json").read_text())
    assert [record["expression"] for record in found] == words[3:]
    for record in found:
        assert (trained.root / "predictions" / record["mask"]).is_file()
        assert (trained.root / "predictions" / record["overlay"]).is_file()


def draws_a_picture(trained: Trained, words: list[str]) -> None:
    done = trained.clone.call("pipeline.cli", *words[1:])
    assert done.returncode == 0, done.stderr
    path = done.stdout.strip().rpartition(": ")[2]
    assert (trained.root / path).read_bytes().startswith(b"\x89PNG")


def says(text: str) -> Check:
    def check_words(trained: Trained, words: list[str]) -> None:
        done = trained.clone.call("pipeline.cli", *words[1:])
        assert done.returncode == 0, done.stderr
        assert text in done.stdout

    return check_words


def makes(recipe: str) -> Check:
    """A target that would run the tests, or all, again: that its recipe is what it says."""

    def check_recipe(trained: Trained, words: list[str]) -> None:
        makefile = (ROOT / "Makefile").read_text().replace("$(CORES)", "all")
        rule = re.search(rf"^{words[1]}:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert rule is not None, f"no target {words[1]}"
        assert recipe in rule[1]

    return check_recipe


def brings_back_what_was_pushed(trained: Trained, words: list[str]) -> None:
    """In another clone; `make touch` then tells Snakemake that nothing is left to do."""
    for command in (f"dvc remote add --local -f -d kept {trained.root}-remote", "dvc push --quiet"):
        done = trained.clone.call(*shlex.split(command))
        assert done.returncode == 0, done.stderr
    other = trained.root.with_name(f"{trained.root.name}-pulled")
    made = shutil.ignore_patterns("artifacts", "results", "cache", "tmp", ".snakemake")
    shutil.copytree(trained.root, other, ignore=made)
    clone = Copy(other)
    done = clone.call(*words)
    assert done.returncode == 0, done.stderr
    touched = clone.call("snakemake", "--cores", "all", "--touch", "--forceall")
    assert touched.returncode == 0, touched.stderr
    after = clone.call("snakemake", "--cores", "all")
    assert "Nothing to be done" in after.stdout + after.stderr
    for question in (("dvc", "status"), ("dvc", "repro", "--dry")):
        answer = clone.call(*question)
        assert "Data and pipelines are up to date" in answer.stdout + answer.stderr


def is_planned(trained: Trained, words: list[str]) -> None:
    done = trained.clone.call(*words, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "rule train_localizer:" in done.stdout


def with_own_data(check: Check) -> Check:
    """With a dataset of one's own where the template looks for it."""

    def check_there(trained: Trained, words: list[str]) -> None:
        draw_own(trained.root / "data" / "own", images=6)
        check(trained, words)

    return check_there


def asks_to_train_first(trained: Trained, words: list[str]) -> None:
    """CLIP RN50 cannot be fetched here; tests/test_own_data.py predicts with a small one."""
    picture = sorted((trained.root / "data/own/images").iterdir())[0]
    words = [str(picture) if word == "IMAGE" else word for word in words]
    done = trained.clone.call("pipeline.cli", *words[1:])
    assert done.returncode == 2
    assert "artifacts/own/runs/weak/segmentor.safetensors: run 'weak' has no trained" in done.stderr


OWN = "-c config.yaml -c experiments/own_data.yaml"
HANDLED: dict[str, Check] = {
    f"ris check {OWN}": with_own_data(says("own data       train: 5 pictures, 10 expressions")),
    "snakemake --cores all --configfile experiments/own_data.yaml": with_own_data(is_planned),
    f'ris predict IMAGE "the red cup" {OWN}': with_own_data(asks_to_train_first),
    "make run": makes("snakemake --cores all"),
    "make test": makes("pytest"),
    "make lint": makes("ruff check"),
    "make bench": makes("python -m benchmarks"),
    "make touch": makes("snakemake --cores all --touch"),
    "make dvc": makes("python -m pipeline.workflow dvc"),
    "make clean": makes("rm -rf artifacts results logs"),
    "snakemake --cores all": runs_the_workflow,
    "snakemake --cores all --profile slurm": plans_cluster_jobs,
    "snakemake --cores all --configfile experiments/miniature_tiny.yaml": is_planned,
    "snakemake --cores all --configfile experiments/refcocog_quick.yaml": is_planned,
    "ris download --list": says("refcocog: "),
    "dvc repro": has_nothing_to_do,
    "dvc metrics show": prints_the_ladder,
    "dvc pull": brings_back_what_was_pushed,
    'ris predict IMAGE "the red star on the left" "the big blue ring"': predicts,
    "ris demo": draws_a_picture,
    "ris check": says("all "),
    "ris --help": says("predict"),
}


def test_every_command_of_the_readme_is_run_here() -> None:
    unknown = [command for command in commands(README) if command not in HANDLED]
    assert not unknown, f"give them a check in HANDLED: {unknown}"


def test_commands_are_found() -> None:
    """Or the test above would pass for nothing."""
    assert {"make run", "snakemake --cores all", "dvc repro"} <= set(commands(README))
    text = "```bash\nris dance  # now\n\n```\n`make tea`, `make`, `dvc`, `ris check`\n"
    assert commands(text) == ["ris dance", "make tea", "ris check"]


@pytest.mark.parametrize("command", [c for c in commands(README) if c in HANDLED])
def test_a_command_of_the_readme_works(command: str, trained: Trained) -> None:
    HANDLED[command](trained, shlex.split(command))


def test_a_second_run_does_nothing(trained: Trained) -> None:
    done = trained.clone.call("snakemake", "--cores", "all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Nothing to be done" in done.stdout + done.stderr


def test_help_answers_within_a_second(trained: Trained) -> None:
    """In seconds of the processor: the machine may have other work."""
    program = (
        "import resource, subprocess, sys\n"
        "subprocess.run([sys.executable, '-m', 'pipeline.cli', '--help'], check=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "sys.exit(used.ru_utime + used.ru_stime > 1)"
    )
    (trained.root / "help_time.py").write_text(program)
    assert trained.clone.call("help_time").returncode == 0


def paths(readme: str) -> list[str]:
    """Names of files and folders: with a known ending, or a slash at the end."""
    text = re.sub(r"https?://\S+", "", readme)
    found = re.findall(
        r"[\w.-]+(?:/[\w.-]+)*(?:/(?![\w])|\.(?:md|py|yaml|png|cff|html|parquet|json)\b)|Snakefile",
        text,
    )
    return list(dict.fromkeys(found))


def test_files_and_folders_of_the_readme_exist(trained: Trained) -> None:
    found = paths(README)
    assert {"config.yaml", "docs/gallery.png", "results/report.html"} <= set(found)
    made = {path.name for path in (trained.root / "artifacts").rglob("*")}
    missing = [
        name
        for name in found
        if not (trained.root / name).exists()
        if not (ROOT / "pipeline" / name).exists()
        if name not in made
    ]
    assert not missing


def keys(readme: str) -> list[tuple[str, str]]:
    """Settings in code: a dotted key of the schema, and what is said to be its value."""
    spans = [span.partition(":") for span in re.findall(r"`([^`\n]+)`", readme)]
    return [
        (key, value.strip())
        for key, _, value in spans
        if re.fullmatch(r"[a-z_]+(\.[a-z_]+)*", key)
        if key.split(".")[0] in Config.model_fields
    ]


def test_keys_of_the_readme_exist_and_take_the_values_it_gives() -> None:
    found = keys(README)
    assert ("dataset.source", "folder") in found
    default = read_yaml(ROOT / "config.yaml")
    for key, value in found:
        section = default
        *above, last = key.split(".")
        for part in above:
            section = section[part]
        assert last in section, key
        if value:
            overlay: dict[str, object] = {last: value}
            for part in reversed(above):
                overlay = {part: overlay}
            check(merge(default, overlay))


def test_verbs_of_the_readme_exist() -> None:
    verbs = {command.name or command.callback.__name__ for command in app.registered_commands}
    used = {command.split()[1] for command in commands(README) if command.startswith("ris ")}
    assert used - {"--help"} <= verbs and "predict" in used


def test_the_gallery_picture_is_small() -> None:
    assert (ROOT / "docs" / "gallery.png").stat().st_size < 1_000_000
    assert Path(ROOT / "CITATION.cff").is_file() and Path(ROOT / "LICENSE").is_file()

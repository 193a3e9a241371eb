"""The source files of a step are those that its imports reach, no more and no fewer."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.workflow import code_of


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_are_followed_through_packages_and_functions(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pipeline/__init__.py": "",
            "pipeline/steps/__init__.py": "",
            "pipeline/steps/paint.py": "import numpy\nfrom pipeline.config import Config\n"
            "from pipeline import colours\ndef run():\n    from pipeline.brushes import Brush\n",
            "pipeline/config.py": "import pipeline.unused",
            "pipeline/colours.py": "from __future__ import annotations\n"
            "from typing import TYPE_CHECKING\n"
            "if TYPE_CHECKING:\n    from pipeline.unused import Unused\n"
            "else:\n    import pipeline.shades\n",
            "pipeline/brushes/__init__.py": "from .hair import Brush",
            "pipeline/brushes/hair.py": "from ..colours import red\nfrom . import glue",
            "pipeline/brushes/glue.py": "import pipeline.steps.paint",
            "pipeline/shades.py": "",
            "pipeline/unused.py": "",
        },
    )
    assert code_of("paint", root=tmp_path) == [
        "pipeline/__init__.py",
        "pipeline/brushes/__init__.py",
        "pipeline/brushes/glue.py",
        "pipeline/brushes/hair.py",
        "pipeline/colours.py",
        "pipeline/shades.py",
        "pipeline/steps/__init__.py",
        "pipeline/steps/paint.py",
    ]


def test_data_files_beside_an_imported_module_count(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "pipeline/__init__.py": "",
            "pipeline/steps/__init__.py": "",
            "pipeline/steps/paint.py": "from pipeline.page import render",
            "pipeline/page/__init__.py": "",
            "pipeline/page/render.py": "",
            "pipeline/page/page.html.j2": "",
            "pipeline/page/.page.html.j2.swp": "",
            "pipeline/page/templates/dark/style.css": "",
            "pipeline/page/__pycache__/render.cpython-311.pyc": "",
            "pipeline/page/fonts/__init__.py": "",
            "pipeline/page/fonts/serif.ttf": "",
            "pipeline/other/__init__.py": "",
            "pipeline/other/words.txt": "",
        },
    )
    assert code_of("paint", root=tmp_path) == [
        "pipeline/__init__.py",
        "pipeline/page/__init__.py",
        "pipeline/page/page.html.j2",
        "pipeline/page/render.py",
        "pipeline/page/templates/dark/style.css",
        "pipeline/steps/__init__.py",
        "pipeline/steps/paint.py",
    ]


def test_every_template_is_code_of_the_report(repository: Path) -> None:
    code = set(code_of("report", root=repository))
    report = repository / "pipeline" / "report"
    templates = {p.relative_to(repository).as_posix() for p in report.rglob("*.j2")}
    assert templates and templates <= code


def test_an_unknown_step_is_refused(repository: Path) -> None:
    with pytest.raises(FileNotFoundError, match="sculpt"):
        code_of("sculpt", root=repository)


def test_training_does_not_depend_on_the_report(repository: Path) -> None:
    code = code_of("train_localizer", root=repository)
    assert any(path.startswith("pipeline/localizers/") for path in code)
    assert any(path.startswith("pipeline/training/") for path in code)
    assert not any(path.startswith(("pipeline/report", "pipeline/segmentors/")) for path in code)


@pytest.mark.parametrize(
    ("step", "others"),
    [
        ("pretrain", ("localizers", "segmentors", "pseudo_labels", "evaluation", "inference.py")),
        ("train_localizer", ("segmentors", "evaluation")),
        ("train_segmentor", ("localizers", "pseudo_labels", "evaluation")),
    ],
)
def test_no_training_is_repeated_for_code_that_it_does_not_use(
    step: str, others: tuple[str, ...]
) -> None:
    code = code_of(step)
    assert f"pipeline/steps/{step}.py" in code
    assert not [path for path in code if path.startswith(tuple(f"pipeline/{o}" for o in others))]

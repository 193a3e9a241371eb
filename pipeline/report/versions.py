"""What the numbers were made with: interpreter, packages, platform."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from pipeline.report.tables import Cell, Row, Table

PACKAGES: tuple[str, ...] = (
    "torch",
    "torchvision",
    "lightning",
    "open-clip-torch",
    "numpy",
    "scipy",
    "pyarrow",
    "pycocotools",
    "pydensecrf2",
    "scikit-image",
    "pillow",
    "matplotlib",
    "pydantic",
    "snakemake",
    "dvc",
)


def versions() -> dict[str, str]:
    """Name -> version; of a package that is not there "not installed"."""
    found = {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor cores": str(os.cpu_count() or "unknown"),
    }
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def versions_table(found: dict[str, str]) -> Table:
    return Table(
        caption="Versions",
        labels=("what",),
        columns=("version",),
        rows=tuple(Row((name,), (Cell(text),)) for name, text in found.items()),
    )

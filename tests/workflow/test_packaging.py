"""What is installed: declared, pinned, and the same for pip and conda."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


@pytest.fixture(scope="module")
def pins(repository: Path) -> dict[str, Version]:
    lines = (repository / "envs" / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pairs}


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def requirements(project: dict, *extras: str) -> list[Requirement]:
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


def test_every_requirement_is_pinned_within_its_range(
    project: dict, pins: dict[str, Version]
) -> None:
    for requirement in requirements(project, "test", "lint", "llm"):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is not in envs/constraints.txt"
        assert requirement.specifier.contains(pins[name]), f"{name} {pins[name]}"


def test_the_malicious_releases_of_lightning_cannot_be_installed(project: dict) -> None:
    (lightning,) = (r for r in requirements(project) if r.name == "lightning")
    assert not any(lightning.specifier.contains(bad) for bad in ("2.6.2", "2.6.3"))


def test_conda_files_agree_with_the_pins(
    repository: Path, project: dict, pins: dict[str, Version]
) -> None:
    files = sorted((repository / "envs").glob("*.yaml"))
    assert files
    for file in files:
        dependencies = yaml.safe_load(file.read_text())["dependencies"]
        (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
        conda = {re.split("[=<>]", entry)[0] for entry in dependencies if isinstance(entry, str)}
        assert conda >= {"python", "pip", "cxx-compiler", "cmake", "ninja"}  # what pip builds with
        stated = {canonicalize_name(n): Version(v) for n, v in (line.split("==") for line in pip)}
        assert stated == {name: pins[name] for name in stated}
        workflow = {"snakemake", "snakemake-executor-plugin-slurm", "dvc"}
        wanted = {canonicalize_name(r.name) for r in requirements(project, "llm")} - workflow
        assert set(stated) == wanted


def test_what_the_code_imports_is_declared(repository: Path, project: dict) -> None:
    declared = {canonicalize_name(r.name) for r in requirements(project, "llm")}
    providers = packages_distributions()
    missing = set()
    for file in (repository / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module or ""]
            for top in {module.split(".")[0] for module in modules} - {"pipeline"}:
                if top in sys.stdlib_module_names:
                    continue
                if not {canonicalize_name(name) for name in providers.get(top, [top])} & declared:
                    missing.add(f"{file.name}: {top}")
    assert not missing


def test_no_host_or_path_in_the_pins(repository: Path) -> None:
    text = (repository / "envs" / "constraints.txt").read_text()
    assert not re.search(r"://|@|/|--", text)

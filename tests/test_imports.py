"""Who may import whom: the house rules of the rooms under ``pipeline/``, and quiet imports.

Every import statement counts, also one inside a function or for type checking only.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PIPELINE = ROOT / "pipeline"

# A room imports itself and the rooms of earlier lines. A room that is listed need not exist yet.
ORDER = (
    ("records", "safety"),
    ("config", "store"),
    ("layout", "runs"),
    ("losses", "metrics", "layers", "processes"),
    ("boxes",),
    ("encoders",),
    ("datasets", "miniature", "cues", "proposals"),
    ("localizers", "segmentors", "pseudo_labels", "point_prompting"),
    ("training", "evaluation"),
    ("inference",),
    ("report",),
    ("steps",),
    ("workflow",),
    ("cli",),
)
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}

# Methods take plain keyword arguments; only the outermost rooms know the configuration.
READS_CONFIG = {"config", "layout", "runs", "workflow", "steps", "cli"}

# A package that is heavy or hard to install is imported in the one file that wraps it.
# `encoders/sam` stands for all files that begin so.
ONE_FILE = {
    "open_clip": "encoders/openclip.py",
    "pydensecrf": "pseudo_labels/crf.py",
    "segment_anything": "encoders/sam",
    "llama_cpp": "cues/llama.py",
    "gguf": "miniature/small_llm_export.py",
    "transformers": None,
}
ONE_ROOM = {"lightning": "training", "pytorch_lightning": "training"}


@dataclass(frozen=True)
class Import:
    file: str  # relative to pipeline/
    line: int
    target: str  # dotted, as "pipeline.store.masks" or "torch.nn"
    for_types: bool

    @property
    def room(self) -> str:
        return room_of(self.file)

    def __str__(self) -> str:
        return f"pipeline/{self.file}:{self.line} imports {self.target}"


def room_of(file: str) -> str:
    return Path(file).parts[0].removesuffix(".py")


def module_of(file: str) -> str:
    parts = ["pipeline", *Path(file).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def files() -> tuple[str, ...]:
    return tuple(sorted(str(path.relative_to(PIPELINE)) for path in PIPELINE.rglob("*.py")))


@cache
def modules() -> frozenset[str]:
    return frozenset(module_of(file) for file in files())


def targets(node: ast.Import | ast.ImportFrom, module: str, package: bool) -> Iterator[str]:
    """What a statement imports; of ``from a import b`` it is ``a.b`` where that is a module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ""
    if node.level:
        above = module.split(".")[: None if package and node.level == 1 else package - node.level]
        base = ".".join([*above, *([node.module] if node.module else [])])
    for alias in node.names:
        yield f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules() else base


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


@cache
def imports() -> tuple[Import, ...]:
    found: list[Import] = []

    def visit(node: ast.AST, file: str, for_types: bool) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):
            package = file.endswith("__init__.py")
            for target in targets(node, module_of(file), package):
                found.append(Import(file, node.lineno, target, for_types))
        for child in ast.iter_child_nodes(node):
            visit(child, file, for_types or is_type_checking(node))

    for file in files():
        visit(ast.parse((PIPELINE / file).read_text(encoding="utf-8")), file, False)
    return tuple(found)


def own() -> Iterator[tuple[Import, str]]:
    """The imports of this package's modules, with the room they lead to."""
    for item in imports():
        parts = item.target.split(".")
        if parts[0] == "pipeline" and len(parts) > 1:
            yield item, parts[1]


def test_the_reader_of_imports_sees_all_forms() -> None:
    """Or every test below would pass for nothing."""
    source = "import torch.nn\nfrom . import masks\nfrom .masks import a\nfrom .. import cli"
    seen = [
        target
        for node in ast.parse(source).body
        for target in targets(node, "pipeline.store.maps", False)  # type: ignore[arg-type]
    ]
    assert seen == ["torch.nn", "pipeline.store.masks", "pipeline.store.masks", "pipeline.cli"]
    node = ast.parse("from .masks import a").body[0]
    assert list(targets(node, "pipeline.store", True)) == ["pipeline.store.masks"]  # type: ignore[arg-type]
    assert any(item.for_types for item in imports()) and len(imports()) > 50
    inside = [item for item in imports() if item.file == "safety/weights.py"]
    assert {"torch", "safetensors"} <= {item.target for item in inside}  # both within functions


def test_every_room_has_its_place() -> None:
    unknown = {room_of(file) for file in files()} - RANK.keys() - {"__init__"}
    assert not unknown, f"give {sorted(unknown)} a place in ORDER"


def test_imports_point_down_only() -> None:
    wrong = [
        str(item)
        for item, room in own()
        if item.room in RANK and room in RANK and room != item.room
        if RANK[room] >= RANK[item.room]
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_outer_rooms_read_the_configuration() -> None:
    wrong = [str(item) for item, room in own() if room == "config" if item.room not in READS_CONFIG]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ONE_FILE)
def test_a_heavy_package_is_wrapped_by_one_file(package: str) -> None:
    found = {item.file: str(item) for item in imports() if item.target.split(".")[0] == package}
    allowed = ONE_FILE[package]
    if allowed is None:
        assert len(found) <= 1, "\n".join(found.values())
    else:
        assert all(file.startswith(allowed) for file in found), "\n".join(found.values())


@pytest.mark.parametrize("package", ONE_ROOM)
def test_the_training_library_stays_in_its_room(package: str) -> None:
    wrong = [
        str(item)
        for item in imports()
        if item.target.split(".")[0] == package and item.room != ONE_ROOM[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_no_module_imports_itself_by_a_detour() -> None:
    edges: dict[str, set[str]] = {module: set() for module in modules()}
    for item in imports():
        if not item.for_types and item.target in edges:
            edges[module_of(item.file)].add(item.target)
    done: set[str] = set()

    def walk(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path[path.index(module) :], module])
        if module not in done:
            for target in sorted(edges[module]):
                walk(target, (*path, module))
            done.add(module)

    for module in sorted(edges):
        walk(module, ())


QUIET = """
import importlib, json, logging, os, random, signal, sys, threading
others, own = json.loads(sys.stdin.read())
for name in others:
    try:
        importlib.import_module(name)
    except ImportError:
        pass  # an optional package
import numpy, torch

def state():
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "files": sorted(os.listdir()),
        "random": hash(random.getstate()),
        "numpy": hash(numpy.random.get_state()[1].tobytes()),
        "torch": hash(torch.get_rng_state().numpy().tobytes()),
        "threads": [torch.get_num_threads(), threading.active_count()],
        "dtype": str(torch.get_default_dtype()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "signals": {int(s): str(signal.getsignal(s)) for s in signal.valid_signals()},
        "logging": [logging.root.level, len(logging.root.handlers)],
        "hooks": str([sys.excepthook, sys.stdout, sys.stderr]),
        "recursion": sys.getrecursionlimit(),
    }

before = state()
for name in own:
    importlib.import_module(name)
after = state()
print(json.dumps([key for key in before if before[key] != after[key]]))
"""


def test_importing_everything_does_nothing(tmp_path: Path) -> None:
    """Nothing is written, seeded, set or printed, and the command line is not looked at."""
    others = {item.target for item in imports() if not item.target.startswith("pipeline")}
    done = subprocess.run(
        [sys.executable, "-c", QUIET, "--help", "--no-such-option"],
        input=json.dumps([sorted(others), sorted(modules())]),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"},
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *printed, changed = done.stdout.splitlines()
    assert not printed
    assert json.loads(changed) == []


def test_rows_files_and_safety_do_without_torch() -> None:
    """So that a command line that only looks at files answers at once."""
    code = (
        "import sys, pipeline.records, pipeline.safety, pipeline.store, pipeline.datasets\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_who_only_uses_a_network_does_not_wait_for_the_training_library() -> None:
    code = (
        "import sys\nfrom pipeline.steps import predict, refine, respond, segment\n"
        "sys.exit('lightning' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0

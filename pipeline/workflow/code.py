"""The source files that decide what a step writes, found by reading its imports.

They are inputs of the step's rule, so that editing the report's code redraws the report and
retrains nothing. Imports inside functions count; those under ``if TYPE_CHECKING`` never run and do
not count. Files of other kinds beside an imported module (templates, styles) are read by it, so
they count as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

# These say which settings and files a step gets. A rule sees what they say through its params,
# inputs and outputs, so a new key for one step need not rerun every other.
DECLARED_ELSEWHERE = frozenset({"pipeline.config", "pipeline.runs", "pipeline.layout"})


def code_of(step: str, *, root: Path = Path(".")) -> list[str]:
    """The files, relative to ``root`` and sorted, that ``pipeline/steps/<step>.py`` imports.

    ``root`` is the folder that holds ``pipeline/``. The step's own file and the ``__init__`` files
    of every package on the way are among them, and so are the data files of those packages.
    FileNotFoundError if there is no such step.
    """
    first = f"pipeline.steps.{step}"
    if _file_of(first, root) is None:
        raise FileNotFoundError(f"there is no step {step!r}: {root / 'pipeline/steps'} lacks it")
    waiting, found = [first], dict[str, Path]()
    while waiting:
        module = waiting.pop()
        file = None if _is_declared(module) else _file_of(module, root)
        if module in found or file is None:
            continue
        found[module] = file
        waiting.extend(_parents(module))
        waiting.extend(_imports(file, module))
    folders = {path.parent for path in found.values()}
    files = {*found.values(), *(file for folder in folders for file in _data_of(folder))}
    return sorted(path.relative_to(root).as_posix() for path in files)


def _is_declared(module: str) -> bool:
    return any(module == of or module.startswith(f"{of}.") for of in DECLARED_ELSEWHERE)


def _data_of(package: Path) -> Iterator[Path]:
    """The files of a package that are no Python, also those in folders that are no packages."""
    for path in package.iterdir():
        if path.name.startswith((".", "__")) or path.suffix == ".py":
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not (path / "__init__.py").is_file():
            yield from _data_of(path)


def _file_of(module: str, root: Path) -> Path | None:
    """The file of a module of this project; None for a plain name and for other packages."""
    if module.split(".")[0] != "pipeline":
        return None
    base = root.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


def _parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[:size]) for size in range(1, len(parts))]


def _imports(file: Path, module: str) -> Iterator[str]:
    """Every name that ``file`` imports; of ``from a import b`` both ``a`` and ``a.b``."""
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    for node in _executed(ast.parse(file.read_text(encoding="utf-8"), filename=str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                anchor = package.split(".")[: len(package.split(".")) - node.level + 1]
                source = ".".join([*anchor, source]).rstrip(".")
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes below ``node``, without the bodies of ``if TYPE_CHECKING``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield other
                yield from _executed(other)
            continue
        yield child
        yield from _executed(child)

"""docs/benchmarks.md: the table with its command, its machine and what each claim means."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence

from benchmarks.machine import described
from benchmarks.rows import Row, markdown

COMMAND = "python -m benchmarks --write docs/benchmarks.md"

HEAD = """# Benchmarks

`make bench` prints this table; `{command}` writes this
page. Ours and the alternative are measured in the same run, on one thread, on a small miniature
drawn for the purpose, with networks of random weights of the architecture in `config.yaml`.

{machine}

{table}

`ratio` says how many times better ours is; in the rows on memory, how many times more four times
the data take. A row that misses what is wanted says so.

## What is compared
"""


def page(rows: Sequence[Row], names: Iterable[str]) -> str:
    """The page's text; what is compared is said by each benchmark's own docstring."""
    machine = "\n".join(f"- {name}: {value}" for name, value in described().items())
    parts = [HEAD.format(command=COMMAND, machine=machine, table=markdown(rows))]
    for name in names:
        module = importlib.import_module(f"benchmarks.{name}")
        parts.append(f"\n### `benchmarks/{name}.py`\n\n{(module.__doc__ or '').strip()}\n")
    return "".join(parts)

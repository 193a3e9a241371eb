"""``python -m benchmarks [NAME ...] [--tiny] [--write FILE]``: measure claims, print the table."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.rows import Row

NAMES = (
    "evaluation_sharing",
    "inference",
    "crf_kernel",
    "random_walk",
    "cues",
    "sam",
    "loading",
    "evaluation_memory",
    "scale",
)


def main(arguments: list[str] | None = None) -> None:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--tiny", action="store_true", help="only to see that everything works")
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page of the docs")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark {sorted(unknown)[0]!r}; there are {', '.join(NAMES)}")
    as_steps_run()
    rows = [row for name in options.names or NAMES for row in measured(name, tiny=options.tiny)]

    from benchmarks.page import page
    from benchmarks.rows import markdown

    print(markdown(rows))
    if options.write:
        options.write.write_text(page(rows, options.names or NAMES), encoding="utf-8")


def as_steps_run() -> None:
    """One thread, quiet bars and the allocator's settings of `ris`, before torch is imported."""
    from pipeline import cli

    os.environ["TQDM_DISABLE"] = "1"
    cli._set_threads(1)
    cli._keep_memory()


def measured(name: str, *, tiny: bool) -> list[Row]:
    """The rows of one benchmark; says on standard error how long it took."""
    start = time.monotonic()
    module = importlib.import_module(f"benchmarks.{name}")
    rows: list[Row] = module.rows(**(module.TINY if tiny else module.FULL))
    print(f"{name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return rows


if __name__ == "__main__":
    main()

"""``python -m benchmarks.cue_backends [--config FILE ...]``: the rules and the small LLM compared.

Prints tables in Markdown. The first is of the miniature's expressions of one split, whose right
decomposition the scene grammar knows; they are drawn again from the dataset's seed. The others are
of expressions in the manner of the published data sets (`real_style.yaml`), on which the small LLM,
which knows shapes alone, is out of its depth. It must have been trained (`ris pretrain-llm`).

- valid: an answer of which no phrase is dropped, and which is not the expression itself;
- covering: valid, and saying every content word of the right phrases;
- right: just the right phrases, in order;
- overlap: with the right phrases, or between the backends (`agreement.overlap`, 0 to 1);
- said: share of the expression's content words that its cues say;
- head: share whose first cue holds the noun of the target;
- ms: processor time an expression.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import yaml

from pipeline.config import Config, load
from pipeline.cues import Cues, build_decomposer
from pipeline.cues.agreement import covers, overlap, said_share
from pipeline.layout import Layout
from pipeline.miniature import example_of, split_of
from pipeline.steps.decompose import llm_settings
from pipeline.steps.miniature import miniature_settings

REAL_STYLE = Path(__file__).with_name("real_style.yaml")
BACKENDS = ("rules", "llm")
Figures = dict[str, float]


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cue_backends", description=__doc__)
    parser.add_argument("--config", type=Path, action="append", metavar="FILE")
    parser.add_argument("--split", default="testA", help="of the miniature")
    parser.add_argument("--images", type=int, default=100, help="of the split")
    options = parser.parse_args()
    config = load(options.config or [Path("config.yaml")])
    said = miniature_expressions(config, options.split, options.images)
    right = [cues for _, cues in said]
    print(f"Miniature, {options.split}: {len(said)} expressions\n")
    print(table([text for text, _ in said], config, lambda found: of_right(found, right)))
    for name, items in yaml.safe_load(REAL_STYLE.read_text(encoding="utf-8")).items():
        texts, nouns = ([str(item[place]) for item in items] for place in (0, 1))
        print(f"\nIn the manner of {name}: {len(texts)} expressions\n")
        print(table(texts, config, lambda found, nouns=nouns: {"head": head(found, nouns)}))


def miniature_expressions(
    config: Config, split: str, images: int
) -> list[tuple[str, tuple[str, ...]]]:
    """Sentences of the first images of a split, cleaned, with their right phrases."""
    settings = miniature_settings(config.miniature)
    every = range(settings.splits.total())
    chosen = [index for index in every if split_of(settings, index) == split][:images]
    return [
        (sentence.sent, sentence.cues)
        for index in chosen
        for referent in example_of(settings, index).referents
        for sentence in referent.sentences
    ]


def table(texts: Sequence[str], config: Config, more: Callable[[list[Cues]], Figures]) -> str:
    """Markdown with a row a backend."""
    found = {name: ask(texts, config, name) for name in BACKENDS}
    between = mean(
        [overlap(a.cues, b.cues) for a, b in zip(*(f for f, _ in found.values()), strict=True)]
    )
    lines = []
    for name, (cues, milliseconds) in found.items():
        figures = {
            "valid": mean([one.source == name and not one.dropped for one in cues]),
            **more(cues),
            "said": mean(
                [said_share(one.cues, text) for one, text in zip(cues, texts, strict=True)]
            ),
            "overlap of both": between,
            "cues": mean([one.made for one in cues]),
            "ms": milliseconds,
        }
        if not lines:
            lines = [["backend", *figures], ["---"] * (1 + len(figures))]
        lines.append([name, *(f"{value:.3g}" for value in figures.values())])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def ask(texts: Sequence[str], config: Config, backend: str) -> tuple[list[Cues], float]:
    """The cues, and milliseconds of processor time an expression."""
    section = config.cues
    decomposer = build_decomposer(
        backend=backend,
        count=section.count,
        max_length=section.max_length,
        fill=section.fill,
        llm=replace(llm_settings(config, Layout.of(config).small_llm), chat="plain"),
        cache=None,
        threads=1,
    )
    start = time.process_time()
    found = decomposer.decompose(texts)
    return found, 1000 * (time.process_time() - start) / len(texts)


def of_right(found: Sequence[Cues], right: Sequence[Sequence[str]]) -> Figures:
    """Held against the right phrases."""
    pairs = list(zip(found, right, strict=True))
    valid = [one.source != "expression" and not one.dropped for one in found]
    return {
        "covering": mean([v and covers(a.cues, b) for v, (a, b) in zip(valid, pairs, strict=True)]),
        "right": mean([a.cues[: a.made] == tuple(b) for a, b in pairs]),
        "overlap": mean([overlap(a.cues, b) for a, b in pairs]),
    }


def head(found: Sequence[Cues], nouns: Sequence[str]) -> float:
    """Share whose first cue holds the noun."""
    return mean([noun in one.cues[0].split() for one, noun in zip(found, nouns, strict=True)])


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()

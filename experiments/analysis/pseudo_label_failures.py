"""Where one chain of refiners makes worse pseudo-labels than another, counted and drawn.

    python experiments/analysis/pseudo_label_failures.py --config config.yaml OVERLAY.yaml
        [--run irnet-0] [--than crf-0] [--cases 8] [--output FILE.png]

Prints, by style of sentence and by size of the object, the mean IoU of both runs' pseudo-labels on
the headline split, and how often `--run` is worse, or better, by more than a tenth. The picture
shows the cases where it is worst beside the other: the image, the truth, IRNet's edges (if the run
has an IRNet), the response, and both masks with their IoU. Needs `ris evaluate` of both runs.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.config import Config, load, run_config
from pipeline.evaluation import convention
from pipeline.layout import Layout
from pipeline.pseudo_labels.irnet import EdgeDisplacementNetwork
from pipeline.report.cases import Case, read_cases
from pipeline.report.overlay import (
    PSEUDO_LABEL,
    TRUTH,
    Picture,
    captioned,
    fitted,
    fitted_map,
    fitted_mask,
    heated,
    tinted,
)
from pipeline.report.views import Sources, View, Views
from pipeline.runs import has_irnet, owner
from pipeline.steps.inputs import pictures_of
from pipeline.steps.irnet_network import build_irnet
from pipeline.store import atomic_path
from pipeline.training.weights import load_weights

RUNG = "pseudo_label"
MARGIN = 0.1  # a difference of IoU that counts
Pair = tuple[Case, float, float]  # an expression, the IoU of the one and of the other
SIDE, TEXT_SIZE = 192, 13  # pixels of a panel and of its letters


def pairs_of(config: Config, run: str, than: str) -> list[Pair]:
    """Every expression of the headline split with the IoU of both runs' pseudo-labels."""
    layout, split = Layout.of(config), config.dataset.headline
    mine, theirs = (
        {case.key: case for case in read_cases(layout.run_expressions(r), split=split, rung=RUNG)}
        for r in (run, than)
    )
    return [(mine[key], mine[key].iou[RUNG], theirs[key].iou[RUNG]) for key in sorted(mine)]


def table(pairs: list[Pair], run: str, than: str) -> Iterator[str]:
    """Lines by style, by size and of all."""
    groups: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for case, mine, theirs in pairs:
        for name in (f"style: {case.style}", f"size: {case.size}", "all"):
            groups[name].append((mine, theirs))
    width = max(map(len, groups))
    yield f"{'':{width}}  {'number':>6}  {run:>14}  {than:>14}  {'worse':>6}  {'better':>6}"
    for name in sorted(groups, key=lambda name: (name == "all", name)):
        mine, theirs = np.array(groups[name]).T
        yield (
            f"{name:{width}}  {len(mine):6}  {mine.mean():14.1%}  {theirs.mean():14.1%}  "
            f"{np.mean(mine < theirs - MARGIN):6.1%}  {np.mean(mine > theirs + MARGIN):6.1%}"
        )


def worst_of(pairs: list[Pair], count: int) -> list[Pair]:
    """Where the first is worst beside the other; of a referent, whose masks may agree, one."""
    found: dict[tuple[object, ...], Pair] = {}
    for pair in sorted(pairs, key=lambda pair: (pair[1] - pair[2], pair[0].key)):
        found.setdefault(pair[0].key[:4], pair)
    return list(found.values())[:count]


def views_of(config: Config, run: str) -> Views:
    """What the tables of a run say of an expression."""
    layout, settings = Layout.of(config), run_config(config, run)
    sources = Sources(
        expressions=layout.table("expressions"),
        images=layout.table("images"),
        truth=layout.table("truth"),
        responses=layout.responses(owner(config, run, "respond")),
        pseudo_labels=layout.all_pseudo_labels(owner(config, run, "refine")),
        predictions=None,
    )
    return Views(
        sources,
        load=pictures_of(config).load,
        text=config.dataset.text,
        convention=convention(settings.evaluation.convention),
        input_size=settings.encoder.image_size,
    )


def irnet_of(config: Config, run: str) -> EdgeDisplacementNetwork | None:
    """The run's trained edges and displacements."""
    settings = run_config(config, run)
    if not has_irnet(settings):
        return None
    network = build_irnet(settings)
    load_weights(network, Layout.of(config).irnet(owner(config, run, "train_irnet")))
    return network.eval()


def edges(network: EdgeDisplacementNetwork, picture: Picture) -> Picture:
    """The probability of an edge (h, w), at the picture's size, over it."""
    encoder = network.trunk.encoder
    pixels = torch.from_numpy(picture.copy()).float() / 255
    seen = (pixels - torch.tensor(encoder.mean)) / torch.tensor(encoder.std)
    edge, _ = network.infer(seen.permute(2, 0, 1)[None])
    stretched = torch.nn.functional.interpolate(edge[None], scale_factor=float(network.stride))
    return heated(picture, stretched[0, 0, : picture.shape[0], : picture.shape[1]].numpy())


def row(
    view: View, other: View, words: list[str], network: EdgeDisplacementNetwork | None
) -> Picture:
    """One case as panels side by side, with words below each."""
    picture = fitted(view.picture, SIDE)
    assert view.truth is not None and view.heat is not None
    assert view.pseudo_label is not None and other.pseudo_label is not None
    panels = [picture, tinted(picture, fitted_mask(view.truth, SIDE), TRUTH)]
    panels += [] if network is None else [fitted(edges(network, view.picture), SIDE)]
    panels.append(heated(picture, fitted_map(view.heat, SIDE)))
    for mask in (view.pseudo_label, other.pseudo_label):
        panels.append(tinted(picture, fitted_mask(mask, SIDE), PSEUDO_LABEL))
    names = [view.text, "truth", *([] if network is None else ["edges"]), "response", *words]
    told = [
        captioned(panel, name, width=SIDE + 4, text_size=TEXT_SIZE)
        for panel, name in zip(panels, names, strict=True)
    ]
    height = max(len(panel) for panel in told)
    return np.concatenate([padded(panel, height, panel.shape[1]) for panel in told], axis=1)


def padded(picture: Picture, height: int, width: int) -> Picture:
    """The picture in the upper left of white."""
    canvas = np.full((height, width, 3), 255, dtype=np.uint8)
    canvas[: picture.shape[0], : picture.shape[1]] = picture
    return canvas


def draw(config: Config, worst: list[Pair], run: str, than: str) -> Picture:
    """The cases one below the other."""
    network, rows = irnet_of(config, run), []
    with ExitStack() as stack:
        own, others = (stack.enter_context(views_of(config, name)) for name in (run, than))
        for case, mine, theirs in worst:
            words = [f"{run}: {mine:.2f}", f"{than}: {theirs:.2f}"]
            rows.append(row(own.view(case.key), others.view(case.key), words, network))
    width = max(found.shape[1] for found in rows)
    return np.concatenate([padded(found, found.shape[0], width) for found in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, nargs="+", default=[Path("config.yaml")])
    parser.add_argument("--run", default="irnet-0")
    parser.add_argument("--than", default="crf-0")
    parser.add_argument("--cases", type=int, default=8)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    config = load(options.config)
    run, than = options.run, options.than
    pairs = pairs_of(config, run, than)
    print("\n".join(table(pairs, run, than)))
    worst = worst_of(pairs, options.cases)
    output = options.output or Layout.of(config).figures.parent / f"{run}-worse-than-{than}.png"
    with atomic_path(output) as partial:
        Image.fromarray(draw(config, worst, run, than)).save(partial, format="PNG")
    print(f"the {len(worst)} worst cases: {output}")


if __name__ == "__main__":
    main()

"""The page: what it promises is on it, nothing is fetched, and a sentence cannot become markup."""

from __future__ import annotations

import base64
import html
import io
import re
from html.parser import HTMLParser

import numpy as np
import yaml
from PIL import Image

from pipeline.steps import report
from pipeline.store import read_json, read_table
from tests.report.conftest import Finished
from tests.report.fabricated import EVIL

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Outline(HTMLParser):
    """Every element and attribute; fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def close(self) -> None:
        super().close()
        assert self._open == []


def outline(page: str) -> Outline:
    parser = Outline()
    parser.feed(page)
    parser.close()
    return parser


def test_every_section_is_there(finished: Finished) -> None:
    for section in ("ladder", "groups", "gallery", "failures", "training", "costs", "origin"):
        assert f'<section id="{section}">' in finished.page
        assert f'href="#{section}"' in finished.page
    for words in ("Split testA:", "Split train:", "Random", "Best", "Worst", "± "):
        assert words in finished.page
    for baseline in ("random point", "centre point", "random object", "whole image"):
        assert f">{baseline}<" in finished.page
    assert finished.page.index("Split testA:") < finished.page.index("Split val:")


def test_the_page_is_whole_small_and_alone(finished: Finished) -> None:
    found = outline(finished.page)
    assert len(finished.page) < 6_000_000
    assert not {"script", "iframe", "object", "embed", "link", "form", "base"} & set(found.tags)
    for tag, name, value in found.attributes:
        assert not name.startswith("on")
        if name in ("src", "srcset"):
            assert value.startswith("data:image/"), (tag, name, value[:80])
        if name == "href":
            assert value.startswith("#")
    style = re.search(r"<style>(.*?)</style>", finished.page, re.DOTALL)
    assert style is not None and not re.search(r"url\(|@import", style.group(1))
    policy = [v for tag, name, v in found.attributes if tag == "meta" and name == "content"]
    assert any(value.startswith("default-src 'none'") for value in policy)


def test_a_sentence_cannot_become_markup(finished: Finished) -> None:
    assert "<script>" not in finished.page and "<b>red</b>" not in finished.page
    assert "{{ 7 * 7 }}" in finished.page, "the template must not run what a sentence says"
    assert EVIL in html.unescape(finished.page), "the sentence itself must be shown"
    descriptions = [v for _, name, v in outline(finished.page).attributes if name == "alt"]
    assert any(EVIL in description for description in descriptions)


def test_the_pictures_decode(finished: Finished) -> None:
    uris = re.findall(r'src="data:image/(png|jpeg);base64,([^"]+)"', finished.page)
    cards = finished.page.count('<article class="card">')
    assert cards == 3 * finished.config.report.gallery
    assert len(uris) == 4 + 4 * cards
    for kind, content in uris:
        image = Image.open(io.BytesIO(base64.b64decode(content)))
        image.load()
        assert image.format == kind.upper()


def test_dvc_gets_a_file_for_each_rung(finished: Finished) -> None:
    folder, metrics = finished.layout.ladder, read_json(finished.layout.metrics)["miniature"]
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.json")}
    assert read_json(files["weak/segmentor.json"]) == metrics["weak"]["testA"]["segmentor"]
    guesses = metrics["weak"]["testA"]["baselines"]
    assert {name for name in files if name.startswith("baselines/")} == {
        f"baselines/{guess}.json" for guess in guesses
    }
    rungs = {
        (run, rung) for run in metrics for rung in metrics[run]["testA"] if rung != "baselines"
    }
    assert len(files) == len(rungs) + len(guesses)


def test_numbers_equal_the_metrics_file(finished: Finished) -> None:
    """The first table says what metrics.json says, which is what each run measured."""
    metrics = read_json(finished.layout.metrics)["miniature"]
    row = re.search(r'<tr class="main">.*?weak.*?>segmentor<.*?</tr>', finished.page)
    assert row is not None
    shown = re.findall(r"<td>([\d.]+)", row.group(0).split(">segmentor<")[1])
    entry = metrics["weak"]["testA"]["segmentor"]
    assert [float(text) for text in shown] == [
        float(f"{value:.1f}") for value in exact(finished, "weak", "segmentor", "testA").values()
    ]
    for name, value in exact(finished, "weak", "segmentor", "testA").items():
        assert entry[name] == round(value, 2)
    tile = re.search(r"Segmentor mIoU<b>([\d.]+)</b>", finished.page)
    assert tile is not None and float(tile.group(1)) == round(entry["mIoU"], 1)


def exact(finished: Finished, run: str, rung: str, split: str) -> dict[str, float]:
    figures = read_json(finished.layout.run_metrics(run))["rungs"][rung][split]
    return {
        name: found["value"]
        for name, found in figures.items()
        if isinstance(found, dict) and "value" in found
    }


def test_metrics_have_the_shape_that_the_floor_reads(finished: Finished) -> None:
    metrics = read_json(finished.layout.metrics)
    assert list(metrics) == ["miniature"]
    assert set(metrics["miniature"]) == {"weak", "supervised", "again"}
    weak = metrics["miniature"]["weak"]
    assert set(weak) == {"val", "testA", "testB", "train"}
    assert set(weak["testA"]) == {"response", "pseudo_label", "segmentor", "baselines"}
    assert set(weak["train"]) == {"pseudo_label"}
    assert set(metrics["miniature"]["supervised"]["testA"]) == {"segmentor", "baselines"}
    assert isinstance(weak["testA"]["baselines"]["random_object"]["PointM"], float)


def test_the_mean_of_the_measured_expressions_is_the_metric(finished: Finished) -> None:
    """From the per-expression table, by another way than evaluation's."""
    table = read_table(finished.layout.run_expressions("weak"), kind="evaluated")
    rows = [r for r in table.to_pylist() if r["split"] == "testA" and r["rung"] == "segmentor"]
    mean = 100 * np.mean([row["iou"] for row in rows])
    metrics = read_json(finished.layout.metrics)["miniature"]["weak"]["testA"]["segmentor"]
    assert abs(metrics["mIoU"] - mean) < 0.006


def test_the_whole_configuration_is_shown(finished: Finished) -> None:
    shown = re.search(r"<pre>(.*?)</pre>", finished.page, re.DOTALL)
    assert shown is not None
    content = yaml.safe_load(html.unescape(shown.group(1)))
    assert content == finished.config.model_dump(mode="json")


def test_versions_and_costs_are_shown(finished: Finished) -> None:
    for name in ("python", "torch", "lightning", "open-clip-torch", "snakemake", "processor cores"):
        assert f">{name}</th>" in finished.page
    assert "train_localizer-weak" in finished.page and "refine-gone-0" not in finished.page


def test_curves_are_named_by_the_runs_that_share_them(finished: Finished) -> None:
    assert "localizer: weak" in finished.page and "segmentor: supervised" in finished.page
    assert "localizer: supervised" not in finished.page


def test_figures_are_pictures_of_a_bearable_size(finished: Finished) -> None:
    folder = finished.layout.figures
    assert {path.name for path in folder.iterdir()} == {
        "ladder.png",
        "curves.png",
        "gallery.png",
        "failures.png",
        "ablation.png",
    }
    for path in folder.iterdir():
        assert path.stat().st_size < 600_000
        with Image.open(path) as image:
            assert image.width > 600


def test_the_report_is_the_same_twice(finished: Finished) -> None:
    def files() -> dict[str, bytes]:
        folder = finished.layout.figures
        paths = [*folder.iterdir(), finished.layout.report, finished.layout.metrics]
        return {path.name: path.read_bytes() for path in paths}

    before = files()
    report.run(finished.config)
    assert files() == before

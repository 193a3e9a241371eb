"""What the papers report stands in the overlays of their methods, and in their headers."""

from __future__ import annotations

import re

import pytest

from tests.overlays import header, merged

# The columns of both papers' tables: dataset and split.
COLUMNS = [
    *(("refcoco_unc", split) for split in ("val", "testA", "testB")),
    *(("refcoco+_unc", split) for split in ("val", "testA", "testB")),
    ("refcocog_google", "val"),
    *(("refcocog_umd", split) for split in ("val", "test")),
    ("referit", "test"),  # which EHIN calls val
]
# Method, rung, the table that its overlays name, metric: a figure a column. TRIS's are those that
# EHIN reports; its IoU is mIoU in TRIS's own paper and oIoU for EHIN, which has a mIoU as well.
ROWS = """
tris  response  Table 2 mIoU   25.11 26.47 23.80 22.31 21.61 22.86 26.93 26.62 27.27 33.33
tris  response  Table 2 PointM 51.92 60.88 43.02 40.85 40.94 41.13 52.48 51.98 53.29 61.70
tris  segmentor Table 2 mIoU   31.17 32.43 29.56 30.90 30.42 30.80 36.00 36.19 36.23 44.57
tris  segmentor Table 2 PointM 54.72 65.64 43.40 53.72 61.30 45.24 58.01 58.84 58.70 67.00
ehin  response  Table 2 oIoU   25.10 25.95 25.11 25.53 23.77 25.18 27.43 27.04 27.50 36.14
ehin  response  Table 2 PointM 44.32 43.77 42.73 55.63 54.16 43.47 53.64 51.96 52.41 61.49
ehin  segmentor Table 2 oIoU   33.12 34.49 30.38 30.41 30.20 31.34 36.14 36.90 36.99 45.47
ehin  segmentor Table 2 PointM 55.31 64.06 43.70 58.05 67.19 45.84 59.65 59.19 59.42 69.32
pcnet response  Tables 1 and 6 mIoU   31.3 36.8 26.4 29.2 32.1 26.8 30.7 30.0 30.6
pcnet response  Tables 1 and 6 oIoU   30.3 34.9 27.1 28.2 31.1 26.3 30.5 30.3 30.9
pcnet response  Tables 1 and 6 PointM 60.0 69.3 52.5 58.7 65.5 45.3 58.6 57.9 57.4
pcnet segmentor Table 1 mIoU   52.2 58.4 42.1 47.9 56.5 36.2 47.3 46.8 46.9
pcnet segmentor Table 6 mIoU   48.6 57.3 40.3 43.3 52.4 33.1 45.4 44.4 44.6
pcnet segmentor Table 6 oIoU   47.8 57.0 38.0 45.9 55.6 34.7 49.8 45.9 48.4
"""
ROW = re.compile(r"(\w+) +(\w+) +(Tables? \d(?: and \d)?) +(\w+) +(.+)")
# Overlay -> method and dataset; one run of it is measured beside the figures.
OVERLAYS = {
    "tris_paper": ("tris", "refcocog_umd"),
    "tris_refcoco": ("tris", "refcoco_unc"),
    "tris_refcoco_plus": ("tris", "refcoco+_unc"),
    "tris_refcocog_google": ("tris", "refcocog_google"),
    "tris_referit": ("tris", "referit"),
    "ehin_paper": ("ehin", "refcoco_unc"),
    "ehin_refcoco_plus": ("ehin", "refcoco+_unc"),
    "ehin_refcocog": ("ehin", "refcocog_umd"),
    "ehin_refcocog_google": ("ehin", "refcocog_google"),
    "ehin_referit": ("ehin", "referit"),
    "pcnet_paper": ("pcnet", "refcocog_google"),
    "pcnet_refcoco": ("pcnet", "refcoco_unc"),
    "pcnet_refcoco_plus": ("pcnet", "refcoco+_unc"),
    "pcnet_refcocog": ("pcnet", "refcocog_umd"),
}
UNPUBLISHED = ("tris_grefcoco", "tris_refcoco_unseen")

Figures = dict[tuple[str, str, str], dict[str, float]]


def published(method: str, dataset: str) -> Figures:
    """(split, rung, table) -> metric -> percent, as the paper has it."""
    found: Figures = {}
    for line in ROWS.strip().splitlines():
        row = ROW.fullmatch(line)
        assert row is not None, line
        numbers = [float(number) for number in row[5].split()]
        assert len(numbers) == (9 if row[1] == "pcnet" else 10)
        for (name, split), number in zip(COLUMNS, numbers, strict=False):
            if (row[1], name) == (method, dataset):
                found.setdefault((split, row[2], row[3]), {})[row[4]] = number
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_figures_of_the_paper_stand_in_the_overlay(name: str) -> None:
    method, dataset = OVERLAYS[name]
    config = merged(f"experiments/{name}.yaml")
    assert config.dataset.name == dataset
    run = "ehin_rn50" if name == "ehin_paper" else name
    found: Figures = {}
    for one in config.report.published:
        table = re.search(r"Tables? \d(?: and \d)?", one.table)
        assert table is not None and list(one.figures) == [run]
        found[one.split, one.rung, table[0]] = one.figures[run]
    assert found == published(method, dataset)
    assert {split for split, *_ in found} == set(config.dataset.evaluate)
    assert {rung for _, rung, _ in found} <= set(config.evaluation.rungs)


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_header_tells_the_figures_that_the_paper_leads_with(name: str) -> None:
    """PointM of the response and the IoU of every rung, of every split."""
    method, dataset = OVERLAYS[name]
    decimals = 1 if method == "pcnet" else 2
    led = {"pcnet": ("mIoU", "PointM"), "ehin": ("oIoU", "PointM"), "tris": ("mIoU", "PointM")}
    text = " ".join(line.removeprefix("#").strip() for line in header_of(name).splitlines())
    told: dict[tuple[str, str, str], list[str]] = {}
    for (split, rung, table), figures in published(method, dataset).items():
        for metric in led[method]:
            if metric in figures:
                key = (rung, table, metric)
                told.setdefault(key, []).append(f"{figures[metric]:.{decimals}f}")
        assert split in text or dataset == "referit"
    for figures_of_splits in told.values():
        assert " / ".join(figures_of_splits) in text, figures_of_splits


def header_of(name: str) -> str:
    return header(f"experiments/{name}.yaml")


@pytest.mark.parametrize("name", [*OVERLAYS, *UNPUBLISHED])
def test_the_header_tells_gpu_hours_and_disk(name: str) -> None:
    text = header_of(name).replace("\n# ", " ")
    (cost,) = re.findall(r"Cost: .*", text)
    assert re.search(r"\d+ GPU hours on one GPU with \d+ GB, \d+ GB on disk", cost)
    assert "reckoned" in cost  # until somebody measures it


@pytest.mark.parametrize("name", UNPUBLISHED)
def test_nothing_is_said_to_be_published_where_nothing_is(name: str) -> None:
    assert merged(f"experiments/{name}.yaml").report.published == []

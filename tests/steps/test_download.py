"""``ris download``: from nothing to a dataset's folder, and what ``ris check`` says of it."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config
from pipeline.layout import Layout
from pipeline.safety import InputError
from pipeline.steps import check, download, tables
from pipeline.store import read_table
from tests.datasets.download.conftest import no_proxy
from tests.datasets.download.published import Published, file_name, zipped
from tests.datasets.download.server import Answer, Server, serving
from tests.report.fabricated import configuration
from tests.safety.evil import Evil

__all__ = ["no_proxy"]

COUNT = 20


@dataclass
class World:
    folder: Path
    server: Server
    published: Published

    def config(self, *, sources: dict[str, Any] | None = None, **changes: Any) -> Config:
        """Of a small dataset to be fetched; ``sources`` change the table."""
        table = self.published.table(self.server.url, self.folder / "table.yaml", **(sources or {}))
        artifacts = self.folder / "artifacts"
        clip = {"model": "RN50", "pretrained": str(artifacts / "weights/tiny.x.safetensors")}
        dataset = {
            "name": "toy",
            "source": "download",
            "folder": str(artifacts / "toy"),
            "split_by": "umd",
            "evaluate": ["val"],
            "headline": "val",
        }
        section = {
            "dataset": "toy",
            "table": str(table),
            "folder": str(self.folder / "downloads"),
            "connections": 4,
            "backoff_s": 0.01,
            "backoff_limit_s": 0.02,
            "read_timeout_s": 1,
            "keep_free_gb": 0,
        }
        return configuration(
            self.folder,
            dataset=dataset | changes.pop("dataset", {}),
            download=section | changes.pop("download", {}),
            encoder=clip,
            critic=clip,
            pseudo_labels={"splits": ["train"]},
            **changes,
        )

    def bring(self, config: Config, *sources: str, dataset_only: bool = False) -> None:
        download.run(config, sources=sources, listed=False, dataset_only=dataset_only)

    @property
    def asked(self) -> list[str]:
        return [request.path for request in self.server.requests]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    published = Published(COUNT)
    with serving(published.files) as server:
        yield World(tmp_path, server, published)


def needed(config: Config) -> set[int]:
    images = read_table(Layout.of(config).table("images"), kind="images")
    return set(images.column("image_id").to_pylist())


def test_everything_comes_and_the_tables_are_made_of_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    config = world.config()
    world.bring(config)
    said = capsys.readouterr().out
    assert "toy: toy. Licence: MIT (https://example.org)" in said and "clip: clip" in said
    folder = Path(config.dataset.folder)
    assert {path.name for path in folder.iterdir()} == {"refs(umd).p", "instances.json", "images"}
    tables.run(config)
    wanted = {n for n in range(COUNT) if n % 5 != 4}  # not those of the split test
    assert needed(config) == wanted
    assert {path.name for path in (folder / "images").iterdir()} == set(map(file_name, wanted))
    weights = Layout.of(config).weights("tiny.x.safetensors")
    assert weights.is_symlink() and weights.read_bytes() == world.server.files["/weights"]


def test_a_second_time_asks_for_nothing(world: World) -> None:
    config = world.config()
    world.bring(config)
    count = len(world.asked)
    for path in Path(config.dataset.folder).iterdir():  # as Snakemake does before a job
        path.unlink()
    Path(config.dataset.folder).rmdir()
    world.bring(config)
    assert len(world.asked) == count
    tables.run(config)


def test_only_the_pictures_of_a_sample_are_fetched(world: World) -> None:
    config = world.config(dataset={"sample": {"train": 3, "val": 2}})
    world.bring(config, dataset_only=True)
    assert sum(path.startswith("/train/") for path in world.asked) == 5
    assert "/weights" not in world.asked
    tables.run(config)
    assert len(needed(config)) == 5
    larger = world.config(dataset={"sample": {"train": 6, "val": 2}})
    world.bring(larger, dataset_only=True)
    assert sum(path.startswith("/train/") for path in world.asked) == 8


def test_the_whole_archive_of_pictures_serves_as_well(world: World) -> None:
    config = world.config(download={"images": "zip"})
    world.bring(config, dataset_only=True)
    assert sorted(world.asked) == ["/pictures.zip", "/toy.zip"]
    tables.run(config)
    assert len(needed(config)) == 16
    world.bring(world.config(), dataset_only=True)  # one by one: they are all there
    assert len(world.asked) == 2


def test_connections_are_many_and_bounded(world: World) -> None:
    world.server.always = Answer(silence_s=0.02)
    world.bring(world.config(download={"connections": 3}))
    assert 2 <= world.server.busiest <= 3


def test_a_source_by_name(world: World) -> None:
    config = world.config()
    world.bring(config, "clip")
    assert world.asked == ["/weights"]
    assert Layout.of(config).weights("tiny.x.safetensors").is_file()
    with pytest.raises(InputError, match="ris download: 'clop' is no source; known sources: clip"):
        world.bring(config, "clop")


def test_nothing_to_fetch_is_said(world: World, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name what you want"):
        world.bring(configuration(tmp_path))


def test_a_licence_without_a_yes_stops_before_anything_is_asked(world: World) -> None:
    terms = {"pictures": {"non_commercial": True}}
    with pytest.raises(InputError, match=r"download\.accept: \[pictures\]"):
        world.bring(world.config(sources=terms))
    assert world.asked == []
    world.bring(world.config(sources=terms, download={"accept": ["pictures"]}))


def test_a_full_disk_stops_before_anything_is_asked(world: World) -> None:
    with pytest.raises(InputError, match="make room"):
        world.bring(world.config(download={"keep_free_gb": 1e9}))
    assert world.asked == []


def test_a_picture_that_is_none_is_not_taken(world: World) -> None:
    name = file_name(0)
    world.server.files[f"/train/{name}"] = b"\xff\xd8\xff not a picture"
    config = world.config()
    with pytest.raises(InputError, match=f"{name}: could not be fetched.*damaged"):
        world.bring(config)
    pictures = world.folder / "downloads/pictures/pictures"
    assert len(list(pictures.glob("*.jpg"))) == 15  # the others came
    assert (pictures / f"{name}.bad").is_file()
    world.server.files[f"/train/{name}"] = world.published.files[f"/train/{name}"]
    world.bring(config)
    assert len(list(pictures.glob("*.jpg"))) == 16


def test_a_picture_of_another_size_is_not_taken(world: World) -> None:
    other = world.published.files["/train/" + file_name(1)]
    world.server.files["/train/" + file_name(1)] = other.replace(
        b"\x00\x20\x00\x20", b"\x00\x10\x00\x20"
    )
    with pytest.raises(InputError, match="16 high and 32 wide"):
        world.bring(world.config())


def test_when_nothing_comes_not_every_picture_is_tried(world: World) -> None:
    world.published = Published(200)
    world.server.files = {"/toy.zip": world.published.files["/toy.zip"]}
    with pytest.raises(InputError, match=r"status 404.*others failed"):
        world.bring(world.config(), dataset_only=True)
    assert len(world.asked) < 60


def test_a_flaky_server_is_got_the_better_of(world: World) -> None:
    for number in range(COUNT):
        path = f"/train/{file_name(number)}"
        world.server.next(path, Answer(status=503), Answer(cut=100))
    world.server.next("/toy.zip", Answer(cut=700), Answer(status=429), Answer(ranges=False))
    world.bring(world.config())
    tables.run(world.config())


@pytest.mark.parametrize("evil", ["../../evil", "/tmp/toy-evil", "toy/../../../evil"])
def test_an_archive_that_reaches_out_is_refused_whole(world: World, evil: str) -> None:
    world.published.files["/toy.zip"] = world.server.files["/toy.zip"] = zipped(
        {"toy/a": b"1", evil: b"2"}
    )
    before = {path for path in world.folder.rglob("*")}
    with pytest.raises(InputError, match=r"refused.*leads out"):
        world.bring(world.config(), dataset_only=True)
    added = {str(p.relative_to(world.folder)) for p in {*world.folder.rglob("*")} - before}
    known = {"table.yaml", "downloads", "downloads/.lock", "downloads/toy"}
    assert added == known | {"downloads/toy/toy.zip.bad"}
    assert not Path("/tmp/toy-evil").exists()


def test_a_pickle_that_would_run_does_not(world: World) -> None:
    touched = world.folder / "touched"
    entries = {"toy/refs(umd).p": pickle.dumps([Evil(touched)]), "toy/instances.json": b"{}"}
    world.published.files["/toy.zip"] = world.server.files["/toy.zip"] = zipped(entries)
    with pytest.raises(InputError):
        world.bring(world.config())
    assert not touched.exists()


def test_a_folder_of_ones_own_is_not_deleted(world: World) -> None:
    config = world.config()
    own = Path(config.dataset.folder) / "thesis.tex"
    own.parent.mkdir(parents=True)
    own.write_text("years of work")
    with pytest.raises(InputError, match=r"dataset\.folder: .* holds thesis\.tex"):
        world.bring(config)
    assert own.read_text() == "years of work"


def test_check_tells_what_is_there(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    config = world.config()

    def state(name: str) -> tuple[str, str]:
        check.run(config)
        table = capsys.readouterr().out.split("from; licence")[1].split("\n\n")[0]
        (line,) = (line for line in table.splitlines() if f"{name} " in line)
        return line.split()[0], line

    assert state("toy.zip")[0] == state("pictures")[0] == "missing"
    assert "0 of 20 pictures of some 2 kB" in state("pictures")[1]
    world.server.next("/weights", *[Answer(cut=5_000, ranges=False) for _ in range(20)])
    with pytest.raises(InputError):
        world.bring(config)
    word, line = state("tiny.x.safetensors")
    assert (
        word == "part" and " 5.0 kB " in line and " 20.0 kB " in line and world.server.url in line
    )
    world.server.answers.clear()
    world.bring(config)
    assert state("toy.zip")[0] == "there" and "MIT" in state("toy.zip")[1]
    assert "16 of 20 pictures" in state("pictures")[1]
    archive = world.folder / "downloads/toy/toy.zip"
    archive.write_bytes(b"PK cut")
    assert state("toy.zip")[0] == "damaged"
    archive.unlink()
    assert "unpacked" in state("toy/unpacked")[1]


def test_check_tells_how_large_a_file_of_unknown_size_can_be(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """As long as it has not been seen; then, how large it was."""
    config = world.config(download={"images": "zip"})
    check.run(config)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "pictures.zip " in line)
    assert line.split()[:5] == ["missing", "-", "<", "10.0", "MB"]
    world.bring(config, dataset_only=True)
    (world.folder / "downloads/pictures/pictures.zip").unlink()
    capsys.readouterr()
    check.run(config)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "pictures.zip;" in line)
    assert "<" not in line and "unpacked" in line


def test_progress_is_told_as_bytes_and_pictures_come(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.bring(world.config())
    told = capsys.readouterr().err
    assert "download: 100%" in told and "pictures: 100%" in told and "16/16" in told
    world.bring(world.config())
    assert "100%" not in capsys.readouterr().err  # nothing to come, no bar


def test_the_list_shows_every_source(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    download.run(configuration(tmp_path), sources=[], listed=True, dataset_only=False)
    said = capsys.readouterr().out
    assert "sam_vit_h: " in said and "freesolo: " in said and "no commercial use" in said

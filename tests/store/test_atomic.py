"""What is written appears whole or not at all."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.safety import InputError
from pipeline.store import (
    atomic_folder,
    atomic_path,
    read_json,
    write_json,
)


def contents(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(RuntimeError, match="disk"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("disk")
    assert read_json(path) == {"old": 1}
    assert contents(tmp_path) == ["a.json"]


def test_the_temporary_name_is_beside_and_keeps_the_suffix(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "weights.safetensors"
    with atomic_path(path) as temporary:
        assert temporary.parent == path.parent and temporary.suffix == ".safetensors"
        assert not path.exists()
        temporary.write_bytes(b"x")
    assert path.read_bytes() == b"x"


def test_a_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a"):
        pass


def test_content_is_flushed_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (calls.append("fsync"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (calls.append("replace"), replace(a, b)))
    write_json(tmp_path / "a.json", 1)
    assert calls == ["fsync", "replace", "fsync"]


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, "old")
    code = (
        "import os, signal, sys\n"
        "from pipeline.store import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert read_json(path) == "old"


def test_a_full_disk_is_told_whatever_the_library_makes_of_it(tmp_path: Path) -> None:
    """As torch does: its own error while the system's is handled. A real one: tests/faults."""
    for writing in (atomic_path, atomic_folder):
        path = tmp_path / writing.__name__
        with pytest.raises(InputError, match=rf"{path}: its disk is full"), writing(path):
            try:
                raise OSError(errno.ENOSPC, "No space left on device")
            except OSError:
                raise RuntimeError("unexpected pos 576 vs 534")  # noqa: B904
        with pytest.raises(OSError, match="Permission"), writing(path):
            raise OSError(errno.EACCES, "Permission denied")
    assert contents(tmp_path) == []


def test_a_folder_appears_whole_and_replaces_the_old(tmp_path: Path) -> None:
    path = tmp_path / "data"
    for name in ("first", "second"):
        with atomic_folder(path) as temporary:
            (temporary / "sub").mkdir()
            (temporary / "sub" / name).write_text(name)
            assert name == "first" or contents(path / "sub") == ["first"]
    assert contents(path / "sub") == ["second"]
    with pytest.raises(RuntimeError), atomic_folder(path) as temporary:
        (temporary / "third").write_text("x")
        raise RuntimeError
    assert contents(path) == ["sub"] and contents(tmp_path) == ["data"]

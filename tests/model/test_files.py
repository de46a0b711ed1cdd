"""Files: locks that name their holder, relations of paths, and what the system could not do said in one line."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_model.errors import RunError, UsageError
from pi_model.evaluation.journal import Journal, LineJournal
from pi_model.files import (
    append_line,
    cache_dir,
    claimed_file,
    new_file,
    new_folder,
    refuse_related,
    system_error,
    write_text,
    written,
)
from pi_model.locks import locked

HOLD = "import sys, time; from pathlib import Path; from pi_model.locks import locked\n"
HOLD += "with locked(Path(sys.argv[1]), 'x'): print('held', flush=True); time.sleep(60)"


def test_a_second_process_is_refused_and_told_of_the_first_until_that_is_killed(tmp_path):
    lock = tmp_path / "run" / ".lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    named = rf"it: in use by process {holder.pid} on \S+ since \d{{4}}-.* UTC; wait"
    with pytest.raises(RunError, match=named), locked(lock, "it"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    assert lock.exists()
    with locked(lock, "it"):
        assert str(os.getpid()) in lock.read_text()
    assert not lock.exists()


def test_of_many_who_want_a_lock_one_at_a_time_has_it(tmp_path):
    inside, most, refused = [], [], []

    def work():
        for _ in range(50):
            try:
                with locked(tmp_path / "lock", "it"):
                    inside.append(1)
                    most.append(len(inside))
                    inside.pop()
            except RunError:
                refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert len(most) + len(refused) == 200


def test_a_file_system_without_locks_is_used_without(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with locked(tmp_path / "lock", "it"), locked(tmp_path / "lock", "it"):
        pass


@pytest.mark.parametrize("make", [new_folder, new_file, claimed_file])
def test_two_processes_do_not_make_the_same_thing(make, tmp_path):
    out, named = tmp_path / "out", f"out: in use by process {os.getpid()} "
    with claimed_file(out), pytest.raises(RunError, match=named), make(out):
        pass


def test_what_a_killed_process_began_to_write_is_replaced(tmp_path):
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial/half").touch()
    (tmp_path / ".out.lock").touch()
    with new_folder(tmp_path / "out") as partial:
        (partial / "whole").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "whole"]


@given(
    chain=st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
    other=st.lists(st.sampled_from(["a", "b", "c"]), max_size=3),
    by=st.sampled_from(["{}", "{}/.", "{}/../{name}", "link/{inner}"]),
)
def test_an_output_related_to_its_source_is_refused_by_whatever_path(chain, other, by, tmp_path_factory):
    root = tmp_path_factory.mktemp("paths")
    (root / "link").symlink_to(root / "top")
    source, out = root.joinpath("top", *chain), root.joinpath("top", *other)
    source.mkdir(parents=True)
    spelled = root / by.format(out, name=out.name, inside="", inner="/".join(other))
    related = chain[: len(other)] == other[: len(chain)]
    if not related:
        refuse_related(spelled, model=source)
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(UsageError, match=r"out: .*(is|holds) .*the model that is read"):
        refuse_related(spelled, model=source)


RUST = RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)")
TORCH = RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 704 vs 598")


class OfRanks(BaseException):
    """As torch's checkpoints gather the errors of all ranks."""

    def __init__(self):
        self.failures = {1: (KeyError("x"), None), 3: (OSError(errno.EDQUOT, "Disk quota exceeded", "/a"), None)}


@pytest.mark.parametrize(
    ("error", "number"),
    [
        (OSError(errno.EROFS, "Read-only"), errno.EROFS),
        (RUST, errno.ENOSPC),
        (TORCH, errno.ENOSPC),
        (OSError("10000 requested and 0 written"), errno.ENOSPC),
        (OfRanks(), errno.EDQUOT),
        (ValueError("a fault of ours"), None),
    ],
)
def test_the_systems_reason_is_found_behind_the_errors_of_libraries(error, number, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=4096))
    found = system_error(error, tmp_path / "not" / "there")
    assert (found and found.errno) == number


def test_writing_into_a_cache_that_cannot_be_written_names_its_variable(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "file/cache"))
    with pytest.raises(RunError, match=r"Not a directory; .*; PI_MODEL_CACHE names another folder"):
        Journal(3, cache_dir() / "runs", "key")
    with pytest.raises(RunError, match="PI_MODEL_CACHE"), new_folder(cache_dir() / "tokens" / "x", shared=True):
        pass


def test_a_user_without_a_home_is_told_of_the_variable(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("HOME", "XDG_CACHE_HOME", "PI_MODEL_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(RunError, match="set PI_MODEL_CACHE"):
        cache_dir()


@pytest.mark.parametrize("write", [write_text, append_line])
def test_text_for_a_full_device_is_one_line_that_names_it(write):
    before = Path("/dev/full").stat()
    with pytest.raises(RunError, match=r"^/dev/full: not written: No space left on device; free space there"):
        write(Path("/dev/full"), "text")
    assert Path("/dev/full").stat().st_rdev == before.st_rdev


def test_text_written_to_a_link_goes_where_the_link_leads(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    write_text(tmp_path / "link", "text")
    assert (tmp_path / "file").read_text() == "text"
    assert (tmp_path / "link").is_symlink()


def test_a_fault_of_ours_while_writing_stays_what_it_is(tmp_path):
    with pytest.raises(KeyError), written(tmp_path):
        raise KeyError("x")


@given(parts=st.lists(st.lists(st.integers(0, 19), min_size=1, max_size=6, unique=True), max_size=6))
def test_a_journal_keeps_whatever_entries_were_written_in_any_order(parts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    expected = np.full(20, -1.0)
    for number, entries in enumerate(parts):
        results = np.array(entries, dtype=float) + number
        Journal(20, folder, "key").write(entries, results)
        expected[entries] = results
    np.testing.assert_array_equal(Journal(20, folder, "key").values, expected)


def test_a_journal_needs_no_hard_links(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "link")
    Journal(2, tmp_path, "key").write([1], np.array([2.0]))
    assert Journal(2, tmp_path, "key").done.tolist() == [False, True]


def test_a_journal_that_cannot_be_written_says_so_and_one_cut_short_is_refused(tmp_path):
    journal = Journal(2, tmp_path, "key")
    journal._path = Path("/dev/full")
    with pytest.raises(RunError, match="/dev/full: not written: No space left"):
        journal.write([0], np.array([1.0]))
    (path,) = tmp_path.glob("*.f64")
    path.write_bytes(b"12345678")
    with pytest.raises(RunError, match="holds 1 results instead of 2; remove the file"):
        Journal(2, tmp_path, "key")


@given(cut=st.integers(0, 60))
def test_a_journal_of_lines_loses_only_a_line_that_was_cut(cut, tmp_path_factory):
    folder = tmp_path_factory.mktemp("journal")
    for name in ("one", "two", "three"):
        LineJournal(folder, "key").write(name, {"text": name})
    (path,) = folder.glob("*.jsonl")
    content = path.read_bytes()[:cut]
    path.write_bytes(content)
    journal = LineJournal(folder, "key")
    assert len(journal.done) == content.count(b"\n")
    journal.write("four", 4)
    assert [*LineJournal(folder, "key").done] == [*["one", "two", "three"][: content.count(b"\n")], "four"]


def test_torch_names_no_reason_and_a_large_disk_is_not_called_full(tmp_path):
    found = system_error(TORCH, tmp_path)
    assert (found.errno, found.strerror) == (errno.EIO, "less was written than there was to write")

"""What is particular to folders: links, odd files, rights, temporary files."""

from __future__ import annotations

import errno
import logging
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from enhancer.errors import ErrorKind, ObjectGoneError, StorageError
from enhancer.storage import LocalStore
from enhancer.storage import local as local_module


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root) -> LocalStore:
    return LocalStore(root)


def refusal(call, *arguments) -> StorageError:
    with pytest.raises(StorageError) as caught:
        call(*arguments)
    return caught.value


@pytest.mark.parametrize("key", ["/etc/passwd", "a//b", "a/", "a\\b", "..\\up", "C:\\x", "a/../../etc/passwd"])
def test_keys_that_are_no_path_below_the_folder(store, key):
    for call in (store.get, store.head, store.delete):
        assert refusal(call, key).reason == "bad-key"
    error = refusal(store.put, key, b"x")
    assert (error.reason, error.kind) == ("bad-key", ErrorKind.PERMANENT)
    assert repr(key) in error.message


def test_names_longer_than_the_file_system_takes(store):
    key = "x" * 256 + ".png"
    assert refusal(store.put, key, b"x").reason == "bad-key"
    assert refusal(store.get, key).reason == "bad-key"


def test_a_file_where_a_folder_is_needed_and_the_other_way_round(store, root):
    store.put("a", b"x")
    assert refusal(store.put, "a/b", b"y").reason == "bad-key"
    store.put("c/d", b"x")
    assert refusal(store.put, "c", b"y").reason == "bad-key"
    assert sorted(path.name for path in root.rglob("*")) == ["a", "c", "d"]


def test_links_out_of_the_folder_are_refused(store, root, tmp_path, caplog):
    secret = tmp_path / "outside" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    (root / "file").symlink_to(secret)
    (root / "folder").symlink_to(secret.parent)
    (root / "relative").symlink_to("../outside/secret")
    (root / "kept").write_bytes(b"k")
    for key in ("file", "folder/secret", "relative"):
        for call in (store.get, store.head, store.open):
            assert refusal(call, key).reason == "bad-key"
    for call in (lambda: store.put("folder/new", b"x"), lambda: store.delete("folder/secret")):
        assert refusal(call).reason == "bad-key"
    with caplog.at_level(logging.WARNING):
        assert [info.key for info in store.list()] == ["kept"]
        assert [*store.list("folder/")] == []
    assert "links out of the folder" in caplog.text
    assert [path.name for path in secret.parent.iterdir()] == ["secret"]
    store.put("file", b"new")  # the link gives way; what it named stays
    assert (secret.read_text(), store.get("file").data) == ("secret", b"new")


def test_many_links_out_of_the_folder_are_one_warning(store, root, tmp_path, caplog):
    (tmp_path / "outside").mkdir()
    (root / "below").mkdir()
    for number in range(300):
        (root / ("below" if number % 2 else ".") / f"{number:03}").symlink_to(tmp_path / "outside")
    with caplog.at_level(logging.WARNING):
        assert [*store.list()] == []
    [said] = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"left out: 300 links out of the folder, such as {root}/000")


def test_links_within_the_folder(store, root):
    store.put("real/a", b"x")
    (root / "link").symlink_to("real/a")
    (root / "folder").symlink_to("real")
    (root / "dangling").symlink_to("nowhere")
    (root / "circle").symlink_to("circle")
    assert [info.key for info in store.list()] == ["link", "real/a"]
    assert store.get("link").data == store.get("folder/a").data == b"x"
    assert store.head("dangling") is None
    assert refusal(store.get, "circle").reason == "bad-key"


def test_a_root_that_is_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to("real")
    store = LocalStore(tmp_path / "root")
    store.put("a/b", b"x")
    assert store.url == str(tmp_path / "root")
    assert [info.key for info in store.list("a/")] == ["a/b"]
    assert (tmp_path / "real" / "a" / "b").read_bytes() == b"x"


def test_pipes_and_other_odd_files_do_not_block(store, root):
    os.mkfifo(root / "pipe")
    assert [*store.list()] == []
    assert store.head("pipe") is None
    with pytest.raises(ObjectGoneError, match="not a regular file"):
        store.get("pipe")


def test_names_that_are_not_utf8_are_left_out_with_a_warning(store, root, caplog):
    try:
        (root / os.fsdecode(b"\xff.png")).touch()
    except OSError as error:
        pytest.skip(f"this file system takes UTF-8 names only: {error}")
    store.put("a", b"x")
    with caplog.at_level(logging.WARNING):
        assert [info.key for info in store.list()] == ["a"]
    assert "not UTF-8" in caplog.text


def test_a_missing_folder_is_not_an_empty_one(tmp_path):
    store = LocalStore(tmp_path / "absent")
    for call in (store.get, store.head, lambda _: list(store.list())):
        error = refusal(call, "a")
        # Transient: a mount that is away for a minute must not cost a night.
        assert (error.reason, error.kind) == ("no-such-store", ErrorKind.TRANSIENT)
        assert str(tmp_path / "absent") in error.message
        assert not isinstance(error, ObjectGoneError)
    store.delete("a")
    assert store.put("x/y", b"z") == next(store.list())


def test_deletion_removes_folders_that_are_empty_then(store, root):
    store.put("run/1/item/a", b"x")
    store.put("run/2", b"x")
    store.delete("run/1/item/a")
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == ["run", "run/2"]
    store.delete("run/2")
    assert root.is_dir()
    assert [*root.iterdir()] == []


def test_writes_beside_deletions_in_the_same_folder(store):
    """Deleting prunes the very folders that the writer has just made; no write may fail for it."""
    stop = threading.Event()

    def prune() -> None:
        while not stop.is_set():
            store.put("a/b/other", b"y")
            store.delete("a/b/other")

    thread = threading.Thread(target=prune)
    thread.start()
    try:
        for _ in range(150):
            store.put("a/b/c", b"x")
            store.delete("a/b/c")
    finally:
        stop.set()
        thread.join()


def test_temporary_files_are_hidden_and_their_names_taken(store, root):
    name = ".enhancer-0123456789abcdef.part"
    (root / name).write_bytes(b"left by a crash")
    (root / ".enhancer-note").write_bytes(b"not ours")
    assert [info.key for info in store.list()] == [".enhancer-note"]
    assert refusal(store.put, name, b"x").reason == "bad-key"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(store, root, monkeypatch):
    store.put("a", b"old")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(local_module.os, "fsync", full)  # a full disk, which a test cannot have for real
    error = refusal(store.put, "a", b"new")
    assert (error.reason, error.kind) == ("no-space", ErrorKind.TRANSIENT)
    assert [path.name for path in root.iterdir()] == ["a"]
    assert (root / "a").read_bytes() == b"old"


def test_a_writer_that_is_killed_leaves_the_old_file(store, root):
    store.put("a", b"old")
    code = (
        "import os, signal, sys; from pathlib import Path; from enhancer.storage import local\n"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "local.LocalStore(Path(sys.argv[1])).put('a', b'new')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(root)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -9
    assert store.get("a").data == b"old"
    assert [info.key for info in store.list()] == ["a"]


def test_new_files_follow_the_umask(store, root):
    before = os.umask(0o027)
    try:
        store.put("a", b"x")
    finally:
        os.umask(before)
    assert (root / "a").stat().st_mode & 0o777 == 0o640


def test_a_file_that_changes_while_it_is_read(store, root, monkeypatch):
    """Bytes appended at each look: no reading is of one version, so none is handed out."""
    store.put("a", b"x")
    fstat = os.fstat

    def append_first(descriptor: int) -> os.stat_result:
        with (root / "a").open("ab") as file:
            file.write(b"y")
        return fstat(descriptor)

    monkeypatch.setattr(local_module.os, "fstat", append_first)
    error = refusal(store.get, "a")
    assert (error.reason, error.kind) == ("changing", ErrorKind.TRANSIENT)


AS_OTHER_USER = """
import os, sys
from pathlib import Path
from enhancer.errors import StorageError
from enhancer.storage import LocalStore

store = LocalStore(Path(sys.argv[1]))
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
for call in (
    lambda: store.get("a"),
    lambda: list(store.list("closed/")),
    lambda: store.get("closed/b"),
    lambda: store.put("new", b"x"),
):
    try:
        print("no error", call())
    except StorageError as error:
        print(error.kind, error.reason, error.message)
"""


def test_rights_that_are_missing():
    """As a user without rights: root's own have no bounds. pytest's folders are closed to others, so this makes one."""
    with tempfile.TemporaryDirectory(prefix="enhancer-tests-") as name:
        root = Path(name)
        (root / "a").write_bytes(b"x")
        (root / "a").chmod(0)
        (root / "closed").mkdir(mode=0)
        root.chmod(0o555)
        try:
            done = subprocess.run(
                [sys.executable, "-c", AS_OTHER_USER, name],
                cwd=Path(__file__).parents[2],
                capture_output=True,
                text=True,
                check=True,
            )
        finally:
            root.chmod(0o700)
            (root / "closed").chmod(0o700)
    said = done.stdout.splitlines()
    assert len(said) == 4
    for line in said:
        assert line.startswith("permanent access-denied ")
        assert "give the user of this process the right" in line


WRITER = """
import sys, time
from pathlib import Path
from enhancer.storage.local import LocalStore

def slowly():
    yield b"half"
    print("begun", flush=True)
    time.sleep(600)

LocalStore(Path(sys.argv[1]))._write("sub/a.png", slowly())
"""


def test_only_what_dead_writers_left_is_cleared(tmp_path):
    store = LocalStore(tmp_path)
    store.put("sub/kept.png", b"whole")
    (tmp_path / "sub" / ".enhancer-notes").write_bytes(b"someone's own")
    with subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"begun\n"
        assert store.clear_interrupted("sub") == store.clear_interrupted("", below=True) == 0, "its writer lives"
        writer.kill()
    assert len(list(tmp_path.rglob("*.part"))) == 1
    assert store.clear_interrupted("") == 0, "the folder itself has none"
    assert store.clear_interrupted("", below=True) == 1
    assert store.clear_interrupted("sub") == store.clear_interrupted("nowhere") == 0
    assert sorted(path.name for path in (tmp_path / "sub").iterdir()) == [".enhancer-notes", "kept.png"]

"""Locks: exclusive or shared, released when their process ends, and the same on Windows."""

import fcntl
import importlib.util
import os
import pickle
import signal
import struct
import sys
import types

import pytest

from smir.files import locks


def windows():
    """The module as on Windows, with a stand-in for `msvcrt`."""

    def locking(descriptor, kind, length):
        start = os.lseek(descriptor, 0, os.SEEK_CUR)
        flock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, flock)
        except BlockingIOError as error:
            raise PermissionError(13, "Permission denied") from error

    spec = importlib.util.spec_from_file_location("windows_locks", locks.__file__)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "platform", "win32")
        patch.setitem(sys.modules, "msvcrt", types.SimpleNamespace(locking=locking, LK_NBLCK=2))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["here", "windows"])
def lock(request, tmp_path):
    """Returns a function that makes locks on one file."""
    if request.param == "windows" and not hasattr(fcntl, "F_OFD_SETLK"):
        pytest.skip("needs locks of Linux to stand in for those of Windows")
    module = locks if request.param == "here" else windows()
    return lambda: module.FileLock(tmp_path / "lock")


def test_an_exclusive_lock_has_one_holder_and_names_it(lock):
    first, second = lock(), lock()
    assert first.acquire()
    assert first.acquire()
    first.sign()
    assert not second.acquire()
    assert not second.acquire(shared=True)
    assert second.holder().startswith(f"pid {os.getpid()} on ")
    first.release()
    assert second.acquire()


def test_a_shared_lock_has_many_holders_and_keeps_exclusive_ones_out(lock):
    first, second, third = lock(), lock(), lock()
    assert first.acquire(shared=True)
    assert second.acquire(shared=True)
    first.release()
    assert not third.acquire()
    second.release()
    assert third.acquire(wait=True)


def test_a_holder_may_remove_the_lock_file(lock):
    first, second = lock(), lock()
    assert first.acquire()
    first.release(remove=True)
    assert not first.path.exists()
    assert second.acquire()


def test_a_fork_or_a_pickled_copy_does_not_hold_the_lock(tmp_path):
    lock = locks.FileLock(tmp_path / "lock")
    assert lock.acquire()
    assert not pickle.loads(pickle.dumps(lock)).held
    child = os.fork()
    if child == 0:
        signal.pause()
    try:
        lock.release()
        assert locks.FileLock(tmp_path / "lock").acquire()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

"""Claims: one owner at a time, whoever asks, and no owner for ever."""

import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path
from typing import TypeVar

import pytest

from sonoscale import claims
from sonoscale.claims import ClaimLostError, claim, claimed, holder, holders
from sonoscale.errors import SonoscaleError

fork = multiprocessing.get_context("fork")
T = TypeVar("T")


def there(found: T | None) -> T:
    assert found is not None
    return found


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setenv("SONOSCALE_HEARTBEAT", "0.05")


def hold(folder, name, pipe):
    mine = claim(folder, name)
    pipe.send(mine is not None)
    time.sleep(60)


def in_process(folder, name):
    ours, theirs = fork.Pipe()
    process = fork.Process(target=hold, args=(folder, name, theirs))
    process.start()
    assert ours.poll(10)
    return process, ours.recv()


def elsewhere(folder, name):
    """Make the claim look as if its owner were on another machine, and say nothing any more."""
    found = there(holder(folder, name))
    file = folder / ".claims" / name / str(found.generation)
    about = json.loads(file.read_bytes()) | {"machine": "another", "host": "node7"}
    file.write_bytes(claims._content(about))
    return file


def test_only_one_has_it_and_it_is_free_afterwards(tmp_path):
    with claimed(tmp_path, "run", "trains"):
        assert claim(tmp_path, "run") is None
        taken = rf"run: another process \(process {os.getpid()} on .*\) trains it"
        with pytest.raises(SonoscaleError, match=taken), claimed(tmp_path, "run", "trains"):
            pass
        with claimed(tmp_path, "other", "trains"):
            assert set(holders(tmp_path)) == {"run", "other"}
    assert holders(tmp_path) == {}
    assert list(tmp_path.iterdir()) == []


def test_the_claim_of_a_killed_process_is_taken_over_at_once(tmp_path):
    process, has = in_process(tmp_path, "run")
    assert has
    assert claim(tmp_path, "run") is None
    os.kill(there(process.pid), signal.SIGKILL)
    os.waitid(os.P_PID, there(process.pid), os.WEXITED | os.WNOWAIT)  # dead, and not waited for: a zombie owns nothing
    assert not there(holder(tmp_path, "run")).alive
    mine = there(claim(tmp_path, "run"))
    assert (mine.generation, there(mine.took_over).pid) == (2, process.pid)
    process.join()
    mine.release()
    assert list(tmp_path.iterdir()) == []


def test_an_owner_elsewhere_is_gone_after_so_many_missed_signs_of_life(tmp_path, monkeypatch):
    theirs = there(claim(tmp_path, "run"))
    claims._heart.remove(theirs)
    file = elsewhere(tmp_path, "run")
    assert claim(tmp_path, "run") is None
    os.utime(file, times=(time.time() - 30, time.time() - 30))
    assert there(holder(tmp_path, "run")).age == pytest.approx(30, abs=5)
    mine = there(claim(tmp_path, "run"))
    assert there(mine.took_over).host == "node7"
    with pytest.raises(ClaimLostError, match="run: was taken over by another process"):
        theirs.check()  # it was only asleep, and must not write
    theirs.release()  # which takes nothing from the new owner
    assert claim(tmp_path, "run") is None
    mine.check()
    mine.release()


def test_signs_of_life_keep_a_claim_and_carry_what_was_noted(tmp_path):
    mine = there(claim(tmp_path, "run"))
    elsewhere(tmp_path, "run")
    mine.about["machine"] = "another"
    mine.note(stage="train", done=3, total=8)
    for _ in range(20):
        time.sleep(0.1)
        assert claim(tmp_path, "run") is None
    assert there(holder(tmp_path, "run")).note == {"stage": "train", "done": 3, "total": 8}
    assert there(holder(tmp_path, "run")).age < 1
    mine.release()


def test_one_thread_keeps_all_claims_and_ends_after_the_last(tmp_path):
    held = [there(claim(tmp_path, f"run{i}")) for i in range(20)]
    for i in range(20):
        elsewhere(tmp_path, f"run{i}")
    time.sleep(0.5)
    assert all(there(holder(tmp_path, f"run{i}")).host != "node7" for i in range(20))
    assert [thread.name for thread in threading.enumerate()].count("claims") == 1
    for mine in held:
        mine.release()
    deadline = time.monotonic() + 20
    while any(thread.name == "claims" for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    mine = there(claim(tmp_path, "again"))
    elsewhere(tmp_path, "again")
    time.sleep(0.5)
    assert there(holder(tmp_path, "again")).host != "node7"
    mine.release()


def test_a_sign_of_life_never_reaches_the_next_owner(tmp_path):
    mine = there(claim(tmp_path, "run"))
    mine.release()
    next_one = there(claim(tmp_path, "run"))
    content = next_one.file.read_bytes()
    mine.live()
    assert next_one.file.read_bytes() == content
    next_one.release()


def test_a_stop_file_is_seen(tmp_path):
    mine = there(claim(tmp_path, "run", stop_files=(tmp_path / "stop",)))
    assert not mine.stopping
    (tmp_path / "stop").touch()
    time.sleep(0.3)
    assert mine.stopping
    mine.release()


def race(folder, barrier, out, turns):
    wins = 0
    for turn in range(turns):
        barrier.wait()
        mine = claim(folder, f"run{turn}")
        if mine is not None:
            mine.check()
            wins += 1
        barrier.wait()  # nobody lets go before all have tried
        if mine is not None:
            mine.release()
    out.put(wins)


@pytest.mark.parametrize("dead", [False, True])
def test_of_many_that_ask_at_once_at_most_one_gets_it(tmp_path, dead):
    """Also where all find the claim of a dead owner."""
    turns, processes = 40, 4
    if dead:
        gone = {"machine": claims._machine(), "pid": 2**22 + 1, "started": "0", "host": "here"}
        for turn in range(turns):
            place = tmp_path / ".claims" / f"run{turn}"
            place.mkdir(parents=True)
            (place / "1").write_bytes(claims._content(gone))
    barrier, out = fork.Barrier(processes), fork.Queue()
    racers = [fork.Process(target=race, args=(tmp_path, barrier, out, turns)) for _ in range(processes)]
    for racer in racers:
        racer.start()
    won = sum(out.get(timeout=60) for _ in racers)
    for racer in racers:
        racer.join(10)
    assert won == turns
    assert not (tmp_path / ".claims").exists()


def test_a_claim_that_was_removed_is_lost(tmp_path):
    mine = there(claim(tmp_path, "run"))
    for file in Path(tmp_path, ".claims", "run").iterdir():
        file.unlink()
    with pytest.raises(ClaimLostError):
        mine.check()
    mine.release()


def test_a_wrong_heartbeat_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("SONOSCALE_HEARTBEAT", "often")
    with pytest.raises(SonoscaleError, match="SONOSCALE_HEARTBEAT = often: give a number of seconds"):
        claim(tmp_path, "run")

"""How a server begins and leaves: signals, doors, and which workers are replaced. The whole of it is in ``test_draining``."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from uvicorn.config import STARTUP_FAILURE

from deploy import chosen, draining, serve, shutdown
from deploy.protocol import KEEP_ALIVE, Protocol
from deploy.shutdown import DEATHS, WITHIN, Server, Supervisor, close_door, handled, settings
from tasks.bundle.manifest import examine
from tasks.errors import RefitError


@pytest.fixture(autouse=True)
def untouched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "_begun", False)


def server() -> Server:
    return shutdown.made(uvicorn.Config(lambda: None, lifespan="off", **settings(1)), 0.5)


def test_the_first_signal_begins_to_leave_and_a_second_ctrl_c_leaves_at_once() -> None:
    it = server()
    assert it.linger == 0.5
    it.handle_exit(signal.SIGINT, None)
    assert (it.should_exit, it.force_exit, draining.begun()) == (True, False, True)
    it.handle_exit(signal.SIGTERM, None)
    assert not it.force_exit
    it.handle_exit(signal.SIGINT, None)
    assert it.force_exit


def test_signals_are_handled_meanwhile_and_those_that_were_ignored_stay_so() -> None:
    heard: list[int] = []
    before = {sig: signal.getsignal(sig) for sig in shutdown.SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # as BentoML's supervisor leaves it
        with handled(lambda sig, frame: heard.append(sig)):
            for sig in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                os.kill(os.getpid(), sig)
        assert heard == [signal.SIGTERM, signal.SIGINT]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) is before[signal.SIGINT]
    finally:
        for sig, old in before.items():
            signal.signal(sig, old)


def test_a_server_takes_signals_in_the_main_thread_alone_and_does_not_send_them_again() -> None:
    before, it = signal.getsignal(signal.SIGTERM), server()
    within: list[Any] = []

    def elsewhere() -> None:
        with it.capture_signals():
            within.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    with it.capture_signals():
        within.append(signal.getsignal(signal.SIGTERM))
        os.kill(os.getpid(), signal.SIGTERM)
    assert within == [before, it.handle_exit]
    assert it.should_exit
    assert signal.getsignal(signal.SIGTERM) is before


def test_no_connection_begins_behind_a_closed_door_and_those_that_began_go_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        place = door.getsockname()
        with socket.create_connection(place, timeout=10) as early:
            close_door(door)
            with pytest.raises(TimeoutError):
                socket.create_connection(place, timeout=0.1)
            there, _ = door.accept()
            with there:
                early.sendall(b"still here")
                assert there.recv(100) == b"still here"
        door.settimeout(0.05)
        with pytest.raises(TimeoutError):
            door.accept()


def test_a_socket_that_has_no_door_is_left_alone() -> None:
    it = socket.socket()
    it.close()
    close_door(it)


class Hand(Supervisor):
    """A supervisor whose new workers are words."""

    def _start(self) -> Any:
        return "another"


def supervisor(door: Any = None) -> Hand:
    return Hand(uvicorn.Config(lambda: None, timeout_worker_healthcheck=5), door, 0.1, 1.0)


def worker(alive: bool, code: int | None = None, *, answers: bool = False, heard: bool = True, age: float = 0.0) -> Any:
    """A worker as the supervisor sees it; ``done`` is what it did to it."""
    it = SimpleNamespace(process=SimpleNamespace(is_alive=lambda: alive), exitcode=code, done=[], heard=heard)
    it.began = time.monotonic() - age
    it.ping = lambda seconds: it.done.append(f"asked for {seconds} s") or answers
    it.kill, it.join = (lambda: it.done.append("killed")), (lambda: it.done.append("waited for"))
    return it


def test_a_worker_that_answers_is_kept_and_was_heard_of() -> None:
    it = worker(alive=True, answers=True, heard=False)
    assert supervisor()._kept(it) is it
    assert it.heard
    assert it.done == ["asked for 5 s"]


def test_a_worker_that_is_starting_has_a_minute_and_not_longer(capsys: pytest.CaptureFixture[str]) -> None:
    young, old = (worker(alive=True, heard=False, age=age) for age in (shutdown.STARTS - 5, shutdown.STARTS + 1))
    assert supervisor()._kept(young) is young
    assert supervisor()._kept(old) == "another"
    assert old.done == ["asked for 5 s", "killed", "waited for"]
    assert capsys.readouterr().err == "a worker did not answer for 5 s and was killed; another is started\n"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-9, "was killed by SIGKILL"),
        (-200, "was killed by signal 200"),
        (1, "ended with code 1"),
        (0, "ended with code 0"),
    ],
)
def test_a_worker_that_is_gone_is_replaced_and_told(code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    it = worker(alive=False, code=code)
    assert supervisor()._kept(it) == "another"
    assert it.done == ["killed", "waited for"]
    assert capsys.readouterr().err == f"a worker {said}; another is started\n"


def test_no_worker_is_replaced_by_who_leaves() -> None:
    one, it = supervisor(), worker(alive=False, code=1)
    one.asked.set()
    assert one._kept(it) is it
    assert it.done == []


def test_a_worker_that_cannot_start_and_too_many_that_end_are_told_and_end_the_service() -> None:
    with pytest.raises(
        RefitError, match=f"a worker ended with code {STARTUP_FAILURE} before it was ready; what it said"
    ):
        supervisor()._kept(worker(alive=False, code=STARTUP_FAILURE))
    one = supervisor()
    for _ in range(DEATHS - 1):
        assert one._kept(worker(alive=False, code=1)) == "another"
    with pytest.raises(RefitError, match="5 workers ended within 60 s, the last one was killed by SIGSEGV"):
        one._kept(worker(alive=False, code=-11))
    slow = supervisor()
    slow.deaths.extend(time.monotonic() - WITHIN - 1 for _ in range(DEATHS))
    assert slow._kept(worker(alive=False, code=1)) == "another"


def test_workers_are_told_to_leave_before_the_door_closes_and_a_late_one_is_killed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    one, done = supervisor(socket.socket()), []
    one.says = shutdown.Says("iris", "h", 1, 2, 0.5)
    one.linger, one.grace = 0.0, -shutdown.LAST

    def hand(name: str, alive: bool) -> Any:
        process = SimpleNamespace(
            is_alive=lambda: alive, kill=lambda: done.append(f"{name} killed"),
            join=lambda seconds=None: done.append(f"{name} awaited {seconds}"),
        )  # fmt: skip
        return SimpleNamespace(
            process=process, terminate=lambda: done.append(f"{name} told, door {one.door.fileno() >= 0}")
        )

    one._leave([hand("quick", False), hand("late", True)])
    assert one.door.fileno() == -1
    assert done == [
        "quick told, door True", "late told, door True", "quick awaited 0.01", "late awaited 0.01", "late killed",
        "late awaited None",
    ]  # fmt: skip
    said = capfd.readouterr()
    assert said.out == "stopping: what was asked is answered, for at most 0.5 s\n"
    assert said.err == "a worker did not end in time and was killed\n"


def test_what_every_server_is_told() -> None:
    assert settings(20.4) == {
        "http": Protocol, "ws": "none", "log_level": "error", "access_log": False, "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE, "timeout_graceful_shutdown": 20,
    }  # fmt: skip
    assert settings(0.2)["timeout_graceful_shutdown"] == 1


def test_bentos_worker_gets_this_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("Config", "Server"):
        monkeypatch.setattr(uvicorn, name, getattr(uvicorn, name))
    monkeypatch.setenv("REFIT_LINGER", "7.5")
    shutdown.install(30)
    config = uvicorn.Config(lambda: None, log_level="debug", timeout_keep_alive=1)
    assert (config.log_level, config.timeout_keep_alive, config.timeout_graceful_shutdown) == ("error", KEEP_ALIVE, 30)
    assert uvicorn.Config(lambda: None, timeout_graceful_shutdown=9).timeout_graceful_shutdown == 9
    made = uvicorn.Server(config)
    assert isinstance(made, Server)
    assert made.linger == 7.5
    monkeypatch.delenv("REFIT_LINGER")
    assert uvicorn.Server(config).linger == shutdown.LINGER == 2.0  # type: ignore[attr-defined]


def test_an_address_that_cannot_be_had_is_told() -> None:
    with shutdown.listening("127.0.0.1", 0) as door:
        assert door.get_inheritable()
        port = door.getsockname()[1]
        with pytest.raises(
            RefitError,
            match=rf"cannot listen on 127\.0\.0\.1 port {port}: another program listens there, .*\. Name another with --port \(0 takes",
        ):
            shutdown.listening("127.0.0.1", port)
    for host, number, said in (
        ("no.such.host.invalid", 1, ""), ("127.0.0.1", 65_536, "a port is a number"), ("127.0.0.1", -1, "a port is a number")
    ):  # fmt: skip
        with pytest.raises(RefitError, match=f"cannot listen on {host} port {number}: {said}"):
            shutdown.listening(host, number)


def test_one_worker_serves_here_and_several_have_a_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def made(config: uvicorn.Config, linger: float) -> Any:
        it = SimpleNamespace(started=started, run=lambda sockets: asked.append((linger, len(sockets), config.port)))
        return it

    monkeypatch.setattr(shutdown, "made", made)
    started = True
    shutdown.run("x:y", "127.0.0.1", 0, 1, 3.0, 5.0)
    started = False
    with pytest.raises(SystemExit) as ended:
        shutdown.run("x:y", "127.0.0.1", 0, 1, 4.0, 5.0)
    assert ended.value.code == STARTUP_FAILURE
    assert asked == [(3.0, 1, 0), (4.0, 1, 0)]
    monkeypatch.setattr(Supervisor, "run", lambda it: asked.append((it.config.workers, it.linger, it.grace)))
    shutdown.run("x:y", "127.0.0.1", 0, 2, 3.0, 5.0)
    assert asked[-1] == (2, 3.0, 5.0)


def test_a_server_says_when_it_answers_and_when_it_leaves(capfd: pytest.CaptureFixture[str]) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    said: list[str] = []
    it = shutdown.made(uvicorn.Config(app, lifespan="off", **settings(1)), 0.0)
    with shutdown.listening("127.0.0.1", 0) as door:
        what = shutdown.Says("iris, version 3", "127.0.0.1", door.getsockname()[1], 1, 22.0)

        def ready() -> None:
            what.ready()
            with socket.create_connection(door.getsockname(), timeout=10) as there:
                there.sendall(b"\0")
            said.append("answered")
            it.handle_exit(signal.SIGTERM, None)

        it.ready, it.leaving = ready, what.leaving
        it.run(sockets=[door])
        port = door.getsockname()[1] if door.fileno() >= 0 else None
    assert said == ["answered"]
    first, last = capfd.readouterr().out.splitlines()
    assert first.startswith("serving iris, version 3: http://127.0.0.1:")
    assert first.endswith(" (Ctrl-C stops it)")
    assert last == "stopping: what was asked is answered, for at most 22 s"
    assert port is None, "the door is closed"


def test_a_closed_screen_keeps_no_service_from_leaving(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(stream: int, text: bytes) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(shutdown.os, "write", closed)
    says = shutdown.Says("iris", "::", 80, 2, 1.0)
    says.ready()
    says.leaving()
    assert (says._what, says._url) == ("iris, 2 workers", "http://[::1]:80")


def test_several_workers_are_told_of_once_the_first_of_them_answers(capfd: pytest.CaptureFixture[str]) -> None:
    one = supervisor()
    young, old = worker(alive=True, heard=False), worker(alive=True, answers=True)
    young.is_ready, old.is_ready = (lambda: pytest.fail("it is still starting")), (lambda: answers)
    answers = True
    one._tell([young, old])
    one.says = shutdown.Says("iris", "0.0.0.0", 80, 2, 1.0)
    answers = False
    one._tell([young, old])
    assert capfd.readouterr().out == ""
    answers = True
    for _ in range(2):
        one._tell([young, old])
    assert capfd.readouterr().out == "serving iris, 2 workers: http://127.0.0.1:80 (Ctrl-C stops it)\n"


# What is served -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "words", "wanted"),
    [
        ({}, "--sha256 ab", {"package": "data/package", "version": "unregistered", "host": "127.0.0.1", "port": 3000,
                             "workers": 1, "stale": "warn", "stale_after": None, "linger": 2.0, "grace": 20.0, "sha256": "ab"}),
        ({"REFIT_PACKAGE": "there", "REFIT_VERSION": "4", "REFIT_SHA256": "cd", "REFIT_STALE": "refuse"}, "",
         {"package": "there", "version": "4", "sha256": "cd", "stale": "refuse"}),
        ({"REFIT_PACKAGE": "there", "REFIT_VERSION": "4", "REFIT_SHA256": "cd"},
         "--package here --version 5 --sha256 ef --host 0.0.0.0 --port 80 --workers 3 --stale refuse --stale-after 6h --linger 1 "
         "--grace 4", {"package": "here", "version": "5", "sha256": "ef", "host": "0.0.0.0", "port": 80, "workers": 3,
                       "stale": "refuse", "stale_after": "6h", "linger": 1.0, "grace": 4.0}),
    ],
)  # fmt: skip
def test_options_go_before_the_environment_and_that_before_the_usual(
    env: dict[str, str], words: str, wanted: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PACKAGE", "VERSION", "SHA256", "STALE"):
        monkeypatch.delenv(f"REFIT_{name}", raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.argv", ["serve", *words.split()])
    asked: dict[str, Any] = {}

    def taken(package: str, version: str, host: str, port: int, workers: int, **more: Any) -> None:
        asked.update(package=package, version=version, host=host, port=port, workers=workers, **more)

    monkeypatch.setattr(serve, "serve", taken)
    serve.main()
    assert asked.items() >= wanted.items()


def test_nobody_serves_a_package_that_nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REFIT_SHA256", raising=False)
    monkeypatch.setattr("sys.argv", ["serve"])
    with pytest.raises(RefitError, match="--sha256: needed, to say which package data/package should be"):
        serve.main()


def test_workers_read_a_copy_of_the_package_or_where_there_is_no_room_the_package_itself(
    packages: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    package = packages["binary"]
    digest = examine(package).identity
    assert serve.pinned(package, digest, tmp_path / "copy") == tmp_path / "copy"
    assert examine(tmp_path / "copy").identity == digest
    (tmp_path / "taken").write_text("in the way")
    assert serve.pinned(package, digest, tmp_path / "taken" / "copy") == package
    assert "no copy could be kept for workers that start later" in capsys.readouterr().out
    for to in (tmp_path / "other", tmp_path / "taken" / "copy"):
        with pytest.raises(RefitError, match="its identity is"):
            serve.pinned(package, "0" * 64, to)


def test_which_package_a_service_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "inside"
    monkeypatch.setattr(chosen, "INSIDE", inside)
    monkeypatch.delenv("REFIT_PACKAGE", raising=False)
    monkeypatch.delenv("REFIT_SHA256", raising=False)
    with pytest.raises(
        RefitError, match="REFIT_SHA256: not set, so that nobody says which package data/package should be"
    ):
        chosen.package_to_load()
    monkeypatch.setenv("REFIT_SHA256", "ab")
    assert chosen.package_to_load() == (Path("data/package"), "ab")
    monkeypatch.setenv("REFIT_PACKAGE", "/elsewhere")
    assert chosen.package_to_load() == (Path("/elsewhere"), "ab")
    inside.mkdir()
    assert chosen.package_to_load() == (Path("/elsewhere"), "ab"), "a folder that is named goes before the one inside"
    monkeypatch.delenv("REFIT_PACKAGE")
    monkeypatch.setattr(chosen, "PACKAGE", "cd")
    with pytest.raises(RefitError, match="this Bento was built with package cd, and REFIT_SHA256 asks for ab"):
        chosen.package_to_load()
    for said in ("cd", ""):
        monkeypatch.setenv("REFIT_SHA256", said)
        assert chosen.package_to_load() == (inside, "cd")
    monkeypatch.setattr(chosen, "PACKAGE", None)
    with pytest.raises(RefitError, match="was built with package None"):
        chosen.package_to_load()


# One process, and several, from their beginning to their end -------------------------------------------------------


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now, self.slept = 100.0, []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(("forced", "waits"), [(False, 10), (True, 0)])
def test_a_server_tells_first_lingers_closes_the_door_and_finishes_then(
    monkeypatch: pytest.MonkeyPatch, forced: bool, waits: int
) -> None:
    it, clock, said = server(), Clock(), []
    monkeypatch.setattr(shutdown, "time", clock)

    async def sleep(seconds: float) -> None:
        assert draining.begun()
        clock.sleep(seconds)

    async def rest(self: uvicorn.Server, sockets: Any) -> None:
        said.append((sockets, list(clock.slept)))

    monkeypatch.setattr(shutdown, "asyncio", SimpleNamespace(sleep=sleep))
    monkeypatch.setattr(shutdown, "close_door", lambda door: said.append((door, list(clock.slept))))
    monkeypatch.setattr(uvicorn.Server, "shutdown", rest)
    busy, done = (SimpleNamespace(response_complete=c, keep_alive=True) for c in (False, True))
    it.server_state.connections = [
        SimpleNamespace(cycle=busy),
        SimpleNamespace(cycle=done),
        SimpleNamespace(cycle=None),
        object(),
    ]  # type: ignore[assignment]
    it.force_exit, it.linger = forced, 0.48
    asyncio.run(it.shutdown(["a", "b"]))  # type: ignore[list-item]
    assert (busy.keep_alive, done.keep_alive) == (False, True)
    lingered = [0.05] * waits
    assert said == [("a", lingered), ("b", lingered), (["a", "b"], [*lingered, 0.1])]
    asyncio.run(it.shutdown(None))
    assert said[-1][0] is None


def test_a_supervisor_starts_its_workers_looks_after_them_and_leaves_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []

    class Short(Supervisor):
        def _start(self) -> Any:
            said.append("start")
            return f"worker {said.count('start')}"

        def _kept(self, worker: Any) -> Any:
            said.append(worker)
            if len(said) > 7:
                raise RefitError("too many ended")
            if len(said) == 6:
                self.asked.set()
            return worker + "+"

        def _leave(self, workers: Any) -> None:
            said.append(("left", workers))

    def made() -> Short:
        it = Short(uvicorn.Config(lambda: None, workers=2), None, 0.1, 1.0)  # type: ignore[arg-type]
        waits = it.asked.wait
        monkeypatch.setattr(it.asked, "wait", lambda seconds: waits(0.0))
        return it

    made().run()
    start = ["start", "start", "worker 1", "worker 2", "worker 1+", "worker 2+"]
    assert said == [*start, ("left", ["worker 1++", "worker 2++"])]
    with pytest.raises(RefitError, match="too many ended"):
        made().run()
    assert said[-1][0] == "left", "those that are there leave in any case"


def test_a_signal_asks_a_supervisor_to_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[Any] = []

    class Told(Hand):
        def _kept(self, worker: Any) -> Any:
            signal.raise_signal(signal.SIGTERM)
            return worker

        def _leave(self, workers: Any) -> None:
            left.append((workers, signal.getsignal(signal.SIGTERM) is before))

    before = signal.getsignal(signal.SIGTERM)
    it = Told(uvicorn.Config(lambda: None, workers=3), None, 0.1, 1.0)  # type: ignore[arg-type]
    wait = it.asked.wait
    monkeypatch.setattr(it.asked, "wait", lambda seconds: wait(0.0))
    it.run()
    assert left == [(["another"] * 3, False)]
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_worker_makes_its_server_once_and_is_young_and_unheard_of(monkeypatch: pytest.MonkeyPatch) -> None:
    config = uvicorn.Config(lambda: None, lifespan="off", **settings(1))
    started: list[Any] = []
    monkeypatch.setattr(shutdown.WorkerProcess, "start", lambda self: started.append(self))
    with socket.create_server(("127.0.0.1", 0)) as door:
        it = Supervisor(config, door, 3.5, 1.0)._start()
        assert started == [it]
        assert (it.linger, it.heard, it.server is it.server, it.server.linger) == (3.5, False, True, 3.5)  # type: ignore[attr-defined]
        assert 0 <= time.monotonic() - it.began < 600

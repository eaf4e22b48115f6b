# SPDX-License-Identifier: Apache-2.0
"""Processes that the benchmark starts: as an unprivileged user, with a log, ended by their ids."""

import contextlib
import os
import pathlib
import pwd
import resource
import signal
import socket
import subprocess
import sys
import time

# The user of the suite; root is nobody to run a server as.
SYSTEM_USER = "jackdaw"
# Open files, of us and of each process that we start.
DESCRIPTORS = 65_536


class Refusal(Exception):
    """Said without a traceback."""


def run_as() -> str:
    return SYSTEM_USER if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name


def identity() -> dict:
    """The keyword arguments of subprocess for the user that everything runs as."""
    if os.getuid() != 0:
        return {}
    entry = pwd.getpwnam(SYSTEM_USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def environment(directory: pathlib.Path, **more: str) -> dict[str, str]:
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(directory), "LANG": "C.UTF-8", **more}


def raise_descriptors() -> int:
    """Sets the limit of open files for us and what we start, as root beyond the hard one; returns what came of it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if os.getuid() == 0 and hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        # Root of a container may not be allowed to.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, DESCRIPTORS))
            return DESCRIPTORS
    soft = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft


class Signals:
    """Makes the first Ctrl-C, SIGTERM or SIGHUP an exception, so that what was started is stopped, and ignores the rest.

    Held back meanwhile: between the start of a process and its being noted nobody would stop it.
    """

    ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self.received: int | None = None
        self.is_held = False
        self.is_due = False

    def watch(self) -> None:
        for number in self.ENDS:
            signal.signal(number, self.receive)

    def receive(self, number: int, _frame) -> None:
        if self.received is None:
            self.received = number
            self.is_due = True
            self.leave()

    def leave(self) -> None:
        if self.is_due and not self.is_held:
            self.is_due = False
            sys.exit(128 + self.received)

    @contextlib.contextmanager
    def held(self):
        before, self.is_held = self.is_held, True
        try:
            yield
        finally:
            self.is_held = before
            self.leave()


signals = Signals()


def end(process: subprocess.Popen, how: int = signal.SIGTERM, seconds: float = 30) -> None:
    """Ends a process, and what it has started and left behind: the session is its own, so nobody else's ends."""
    if process.poll() is None:
        process.send_signal(how)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def complete(command: list, text: str | None = None, seconds: float | None = None, **keywords) -> subprocess.CompletedProcess:
    """Runs a command to its end. Where we are to end before it, or it takes too long, it does not outlive us."""
    process = None
    try:
        with signals.held():
            process = subprocess.Popen([str(word) for word in command], start_new_session=True, **keywords)
        output, errors = process.communicate(text, timeout=seconds)
    except BaseException:
        if process:
            with signals.held():
                # To all of the session: a shell that is ended leaves what it waits for.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                end(process, seconds=10)
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


class Process:
    def __init__(self, name: str, command: list, directory: pathlib.Path, **variables: str):
        self.name = name
        self.log = directory / f"{name}.log"
        # The log is opened by the user that the process runs as, not by root in that user's directory.
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", 'exec "$@" >>"$0" 2>&1', self.log, *(str(word) for word in command)], cwd=directory,
            env=environment(directory, **variables), stdin=subprocess.DEVNULL, start_new_session=True, **identity(),
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def is_running(self) -> bool:
        return self.process.poll() is None

    def stop(self, how: int = signal.SIGTERM, seconds: float = 30) -> None:
        end(self.process, how, seconds)

    def tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").split("\n")[-15:])


@contextlib.contextmanager
def stopped(pids: list[int]):
    """The processes stand still meanwhile."""
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        with signals.held():
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)


def call(command: list, directory: pathlib.Path, text: str | None = None, **variables: str) -> str:
    """Runs a command to its end as the user of the benchmark."""
    result = complete(
        command, text, cwd=directory, env=environment(directory, **variables),
        stdin=subprocess.DEVNULL if text is None else subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", **identity(),
    )
    if result.returncode != 0:
        raise Refusal(f"{command[0]} ended with {result.returncode}: {result.stderr.strip()[-2000:]}")
    return result.stdout


def copy(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies an executable to where the user of the benchmark can run it, from where perhaps only root can read."""
    with open(source, "rb") as file:
        subprocess.run(["tee", target], stdin=file, stdout=subprocess.DEVNULL, check=True, **identity())
    subprocess.run(["chmod", "700", target], check=True, **identity())


def until(condition, what: str, seconds: float = 60, every: float = 0.02):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise Refusal(f"{what}: not within {seconds:.0f} s")
        time.sleep(every)
    return value


def answers_xmpp(address: str, port: int, domain: str) -> bool:
    """Whether a stream can be opened there."""
    try:
        with socket.create_connection((address, port), timeout=2) as connection:
            connection.sendall(
                f"<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
                f"xmlns:stream='http://etherx.jabber.org/streams' to='{domain}' version='1.0'>".encode()
            )
            connection.settimeout(2)
            received = b""
            while b"</stream:features>" not in received:
                data = connection.recv(4096)
                if not data:
                    return False
                received += data
            return True
    except OSError:
        return False


def is_taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def busy_seconds() -> float:
    """CPU time of the whole machine so far: all but idle and waiting (proc(5))."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def cpu_seconds(pids: list[int]) -> float:
    """User and system time so far of processes, their descendants, and those of them that have ended."""
    rows: dict[int, tuple[int, int]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        rows[int(stat.parent.name)] = int(fields[1]), sum(int(field) for field in fields[11:15])
    members = set(pids)
    while found := {pid for pid, (parent, _) in rows.items() if parent in members} - members:
        members |= found
    return sum(rows[pid][1] for pid in members if pid in rows) / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """A process and its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    members = [pid]
    for member in members:
        members += children.get(member, [])
    return members


def version_of_package(package: str) -> str:
    result = subprocess.run(
        ["dpkg-query", "-W", "-f=${Version}", package], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        encoding="utf-8", check=False,
    )
    return result.stdout.strip()

# SPDX-License-Identifier: Apache-2.0
"""The stage: a network, mounts and processes of its own, which end with the script whatever happens."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

import names
from processes import Refusal

# For the short names of hosts in the zones; every server has one address of each family.
ADDRESSES = {"jackdaw": 2, "prosody": 3, "ejabberd": 4, "jabberd2": 5, "other": 6}
# Stubs take one of these, each for a domain that behaves badly.
STUBS = range(20, 60)


def address(server: str) -> str:
    return f"127.0.0.{ADDRESSES[server]}"


def address6(server: str) -> str:
    return f"fd00:fe::{ADDRESSES[server]}"


def published(server: str) -> list[str]:
    """What DNS says: we are found by both families, the second Jackdaw by IPv6 only, the others by IPv4."""
    both = [address(server), address6(server)]
    return {"jackdaw": both, "other": both[1:]}.get(server, both[:1])


def reap_as_first_process(program) -> None:
    """The first process of a namespace adopts what daemons leave behind; somebody else does the work meanwhile."""
    if os.getpid() != 1:
        raise Refusal("this is started by scripts/interop-federation")
    worker = os.fork()
    if worker == 0:
        program()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: os.kill(worker, number))
    while True:
        with contextlib.suppress(InterruptedError):
            pid, status = os.wait()
            if pid == worker:
                os._exit(os.waitstatus_to_exitcode(status) & 255)


def run(*command: str) -> None:
    result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    if result.returncode != 0:
        raise Refusal(f"{' '.join(command)}: {result.stdout.decode(errors='replace').strip()}")


def build(directory: pathlib.Path) -> None:
    """Loopback with an address for everybody, ports below 1024 for everybody, and our DNS server for all."""
    run("ip", "link", "set", "lo", "up")
    for server in ADDRESSES:
        run("ip", "-6", "address", "add", f"{address6(server)}/128", "dev", "lo", "nodad")
    pathlib.Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0\n", encoding="ascii")
    bind(directory, "/etc/resolv.conf", f"nameserver {names.ADDRESS}\n")
    # Where it says more than files and dns, a name may be asked for elsewhere.
    bind(directory, "/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")


def lead_nowhere(address: str) -> None:
    """An address of which every packet is dropped, and nobody is told."""
    run("ip", "-6", "address", "add", f"{address}/128", "dev", "lo", "nodad")
    drop("nowhere", "ip6", address)


def drop(table: str, family: str, address: str, ports: str = "0-65535") -> None:
    """Everything to and from an address and those ports, until the table is taken away."""
    run("nft", "add", "table", "inet", table)
    run("nft", "add", "chain", "inet", table, "out", "{ type filter hook output priority 0 ; }")
    run("nft", "add", "rule", "inet", table, "out", family, "daddr", address, "tcp", "dport", ports, "drop")
    run("nft", "add", "rule", "inet", table, "out", family, "saddr", address, "tcp", "sport", ports, "drop")


def pass_again(table: str) -> None:
    run("nft", "delete", "table", "inet", table)


def bind(directory: pathlib.Path, path: str, text: str) -> None:
    ours = directory / pathlib.Path(path).name
    ours.write_text(text, encoding="ascii")
    ours.chmod(0o644)
    run("mount", "--bind", str(ours), os.path.realpath(path))


def make_directory() -> pathlib.Path:
    """Short, for sockets, and not below a private home."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="jackdaw-federation-", dir="/tmp"))
    directory.chmod(0o755)
    return directory

# SPDX-License-Identifier: Apache-2.0
"""The DNS of the stage: unbound with zones of its own, one of them signed, so that every name is found as in the world.

Names end in `example.`: libunbound, which some of the servers resolve with, knows that `test.` does not exist (RFC 6761).
The zones are served as a resolver's, which validates: the signed one is an island of trust with an anchor in a file.
"""

import pathlib
import re

from processes import Process, Refusal, call, complete, is_taken, signals, until

ADDRESS = "127.0.0.53"
SIGNED = "signed.example"
CONFIGURATION = """\
server:
  directory: "{directory}"
  chroot: ""
  username: ""
  pidfile: "{directory}/unbound.pid"
  use-syslog: no
  log-queries: yes
  logfile: "{directory}/queries.txt"
  interface: {address}
  do-ip6: no
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  module-config: "validator iterator"
  trust-anchor-file: "{directory}/anchor"
  trust-anchor-signaling: no
  num-threads: 1
  outgoing-range: 64
  minimal-responses: no
remote-control:
  control-enable: no
{zones}"""
ZONE = """\
auth-zone:
  name: "{name}"
  zonefile: "{file}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
"""
HEAD = """\
$ORIGIN {origin}
$TTL 60
@ IN SOA ns.example. nobody.example. 1 3600 600 86400 5
@ IN NS ns.example.
"""


class Zones:
    """Records by zone: `example`, and below it the signed one."""

    def __init__(self):
        self.lines: list[str] = []
        # Hosts of the signed zone whose address is another one than what was signed.
        self.tampered: list[tuple[str, str]] = []

    def host(self, name: str, *addresses: str) -> None:
        for address in addresses:
            self.lines.append(f"{name}. IN {'AAAA' if ':' in address else 'A'} {address}")

    def service(self, domain: str, host: str, starttls: int | None = 5269, direct: int | None = None) -> None:
        """SRV records (RFC 6120, 3.2.1, and XEP-0368) for the ports that are given."""
        for service, port in (("_xmpp-server", starttls), ("_xmpps-server", direct)):
            if port:
                self.lines.append(f"{service}._tcp.{domain}. IN SRV 0 5 {port} {host}.")

    def certificate(self, host: str, port: int, digest: str) -> None:
        """A TLSA record: the end entity's key, by its SHA-256 (RFC 7671, 5.1)."""
        self.lines.append(f"_{port}._tcp.{host}. IN TLSA 3 1 1 {digest}")

    def text(self, zone: str) -> str:
        kept = [line for line in self.lines if self.is_signed(line) == (zone == SIGNED)]
        origin = "" if zone == "." else zone
        head = HEAD.format(origin=f"{origin}.")
        return head + "\n".join(kept + fillers(kept, zone)) + "\n"

    @staticmethod
    def is_signed(line: str) -> bool:
        return line.split()[0].endswith(f".{SIGNED}.")


def fillers(lines: list[str], zone: str) -> list[str]:
    """A record for each name that has none, but names below it.

    unbound 1.17 proves with the wrong NSEC that something is not there, where the name above it is such an empty one.
    """
    owners = {line.split()[0] for line in lines}
    above = set()
    for owner in owners:
        labels = owner.split(".")
        above |= {".".join(labels[n:]) for n in range(1, len(labels) - zone.count(".") - 2)}
    return [f'{name} IN TXT "nothing"' for name in sorted(above - owners)] if zone == SIGNED else []


class NameServer:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory / "dns"
        self.anchor = self.directory / "anchor"
        self.process: Process | None = None

    def start(self, zones: Zones) -> None:
        call(["mkdir", "-m", "700", self.directory], self.directory.parent)
        root = HEAD.format(origin=".") + "example. IN NS ns.example.\n"
        example = zones.text("example") + f"ns.example. IN A {ADDRESS}\n{SIGNED}. IN NS ns.example.\n"
        files = {".": "root", "example": "example", SIGNED: "signed.signed"}
        self.write("root", root)
        self.write("example", example)
        self.write("signed", zones.text(SIGNED))
        self.sign()
        self.tamper(zones)
        blocks = "".join(ZONE.format(name=name, file=self.directory / file) for name, file in files.items())
        self.write("unbound.conf", CONFIGURATION.format(directory=self.directory, address=ADDRESS, zones=blocks))
        call(["/usr/sbin/unbound-checkconf", self.directory / "unbound.conf"], self.directory)
        with signals.held():
            self.process = Process("unbound", ["/usr/sbin/unbound", "-d", "-c", self.directory / "unbound.conf"], self.directory)
        self.wait_until_it_answers()

    def sign(self) -> None:
        """With one key for all (a CSK): its DNSKEY record is the anchor."""
        key = call(["ldns-keygen", "-k", "-a", "ECDSAP256SHA256", SIGNED], self.directory).strip()
        call(["ldns-signzone", "-o", SIGNED, "-f", "signed.signed", "signed", key], self.directory)
        call(["cp", f"{key}.key", self.anchor], self.directory)

    def tamper(self, zones: Zones) -> None:
        """So that what is signed does not fit, and is bogus."""
        signed = (self.directory / "signed.signed").read_text(encoding="utf-8")
        for host, address in zones.tampered:
            pattern = rf"(?m)^({re.escape(host)}\s.*\sA\s+){re.escape(address)}$"
            signed, count = re.subn(pattern, r"\g<1>127.0.0.254", signed)
            if count != 1:
                raise Refusal(f"{host} is not in the signed zone")
        self.write("signed.signed", signed)

    def write(self, name: str, text: str) -> None:
        call(["tee", self.directory / name], self.directory, text)

    def wait_until_it_answers(self) -> None:
        until(lambda: not self.process.is_running() or is_taken(ADDRESS, 53), "unbound listens", seconds=10)
        if not self.process.is_running() or "NOERROR" not in self.ask("ns.example", "A"):
            raise Refusal(f"unbound does not answer:\n{self.process.tail()}")
        if " ad" not in self.ask(SIGNED, "SOA").partition(";; QUESTION")[0]:
            raise Refusal(f"unbound does not find {SIGNED} secure")

    def ask(self, name: str, kind: str) -> str:
        """What `drill` prints, with the header's flags: `ad` where it is validated."""
        result = complete(
            ["drill", "-D", f"@{ADDRESS}", name, kind], seconds=5, cwd="/", stdin=-3, stdout=-1, stderr=-2, encoding="utf-8",
        )
        return result.stdout

    def stop(self) -> None:
        if self.process:
            with signals.held():
                self.process.stop()

# SPDX-License-Identifier: Apache-2.0
"""A witness on the wire: what each connection to a server's port was, whatever the logs say of it.

The stage's loopback is listened to; of each connection the first bytes of both sides are kept, which is where a stream
header, the ClientHello with the name that is asked for and ALPN, and the ServerHello with the version of TLS are.
"""

import dataclasses
import re
import socket
import struct
import threading

KEPT_BYTES = 16384
PORTS = (5269, 5270)
VERSIONS = {0x0303: "TLSv1.2", 0x0304: "TLSv1.3", 0x0302: "TLSv1.1", 0x0301: "TLSv1"}
HEADER = re.compile(rb"<stream:stream[^>]*>")
ATTRIBUTE = re.compile(rb"\b(to|from)=[\"']([^\"']*)[\"']")


@dataclasses.dataclass(frozen=True)
class Seen:
    """A connection: where to, what its opener said in clear and in its ClientHello, and what the acceptor chose."""

    address: str
    port: int
    is_direct: bool
    to: str | None
    sender: str | None
    server_name: str | None
    alpn: tuple[str, ...]
    tls: str | None

    def is_of(self, opener: str, acceptor: str) -> bool:
        """By the stream header in clear, or for direct TLS by the name that is asked for."""
        if self.is_direct:
            return self.server_name == acceptor
        return (self.sender in (opener, None)) and self.to == acceptor


class Wire:
    def __init__(self):
        # By the two ends; a side's bytes by their place in the stream.
        self.halves: dict[tuple, dict[int, bytes]] = {}
        self.starts: dict[tuple, int] = {}
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
        self.socket.bind(("lo", 0))
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self) -> None:
        while True:
            try:
                frame, origin = self.socket.recvfrom(70000)
            except OSError:
                return
            # Each frame comes twice on the loopback: as it goes out, and as it comes in.
            if origin[2] != socket.PACKET_OUTGOING:
                self.take(frame[14:], origin[1])

    def close(self) -> None:
        self.socket.close()

    def take(self, packet: bytes, protocol: int) -> None:
        if protocol == 0x0800 and len(packet) >= 40 and packet[9] == 6:
            header = (packet[0] & 15) * 4
            source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
            segment = packet[header:struct.unpack("!H", packet[2:4])[0]]
        elif protocol == 0x86DD and len(packet) >= 60 and packet[6] == 6:
            source, target = (socket.inet_ntop(socket.AF_INET6, packet[n:n + 16]) for n in (8, 24))
            segment = packet[40:]
        else:
            return
        self.take_segment(source, target, segment)

    def take_segment(self, source: str, target: str, segment: bytes) -> None:
        source_port, target_port, sequence = struct.unpack("!HHI", segment[:8])
        if source_port not in PORTS and target_port not in PORTS:
            return
        key = (source, source_port, target, target_port)
        payload = segment[(segment[12] >> 4) * 4:]
        with self.lock:
            if segment[13] & 2:
                self.starts[key], self.halves[key] = sequence + 1, {}
            elif payload and key in self.starts:
                place = (sequence - self.starts[key]) & 0xFFFFFFFF
                if place < KEPT_BYTES:
                    self.halves[key].setdefault(place, payload)

    def seen(self) -> list[Seen]:
        with self.lock:
            streams = {key: joined(parts) for key, parts in self.halves.items()}
        found = []
        for key, said in streams.items():
            if key[3] in PORTS and said:
                answer = streams.get((key[2], key[3], key[0], key[1]), b"")
                found.append(judge(key[2], key[3], said, answer))
        return found


def joined(parts: dict[int, bytes]) -> bytes:
    result = b""
    for place in sorted(parts):
        if place > len(result):
            break
        result += parts[place][len(result) - place:]
    return result


def judge(address: str, port: int, said: bytes, answer: bytes) -> Seen:
    is_direct = said[:1] == b"\x16"
    header = None if is_direct else HEADER.search(said)
    names = dict(ATTRIBUTE.findall(header.group())) if header else {}
    hello = client_hello(said)
    name, alpn = hello or (None, ())
    to, sender = (value.decode(errors="replace") if value is not None else None for value in (names.get(b"to"), names.get(b"from")))
    return Seen(address, port, is_direct, to, sender, name, alpn, server_version(answer))


def handshake(stream: bytes, kind: int) -> bytes | None:
    """The body of the first handshake message of a kind: ClientHello is 1, ServerHello 2."""
    for match in re.finditer(rb"\x16\x03[\x00-\x04]", stream):
        at = match.start()
        length = struct.unpack("!H", stream[at + 3:at + 5].ljust(2, b"\0"))[0]
        record = stream[at + 5:at + 5 + length]
        if len(record) == length > 4 and record[0] == kind:
            return record[4:]
    return None


def extensions(data: bytes) -> dict[int, bytes]:
    found, at = {}, 2
    while at + 4 <= len(data):
        kind, length = struct.unpack("!HH", data[at:at + 4])
        found[kind] = data[at + 4:at + 4 + length]
        at += 4 + length
    return found


def client_hello(stream: bytes) -> tuple[str | None, tuple[str, ...]] | None:
    """The server's name that is asked for, and the protocols of ALPN."""
    body = handshake(stream, 1)
    if body is None:
        return None
    try:
        at = 34
        at += 1 + body[at]
        at += 2 + struct.unpack("!H", body[at:at + 2])[0]
        at += 1 + body[at]
        known = extensions(body[at:])
    except (IndexError, struct.error):
        return None
    name = known[0][5:].decode(errors="replace") if 0 in known else None
    protocols, at, data = [], 2, known.get(16, b"")
    while at < len(data):
        protocols.append(data[at + 1:at + 1 + data[at]].decode(errors="replace"))
        at += 1 + data[at]
    return name, tuple(protocols)


def server_version(stream: bytes) -> str | None:
    body = handshake(stream, 2)
    if body is None:
        return None
    try:
        legacy = struct.unpack("!H", body[:2])[0]
        at = 34
        at += 1 + body[at] + 3
        chosen = extensions(body[at:]).get(43)
    except (IndexError, struct.error):
        return None
    version = struct.unpack("!H", chosen)[0] if chosen else legacy
    return VERSIONS.get(version, hex(version))

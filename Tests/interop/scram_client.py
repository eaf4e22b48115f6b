# SPDX-License-Identifier: Apache-2.0
"""A small XMPP client on pyOpenSSL that logs in by SCRAM with channel binding (RFC 5802, 5929, 9266)."""

import base64
import dataclasses
import hashlib
import hmac
import os
import socket
import xml.etree.ElementTree as ElementTree

from cryptography import x509
from OpenSSL import SSL

STREAMS = "{http://etherx.jabber.org/streams}"
TLS = "{urn:ietf:params:xml:ns:xmpp-tls}"
SASL = "{urn:ietf:params:xml:ns:xmpp-sasl}"
BINDINGS = "{urn:xmpp:sasl-cb:0}"
TIMEOUT = 20
HASHES = {"SCRAM-SHA-1": "sha1", "SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


def encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


class Stream:
    """An XML stream over a socket, read element by element."""

    def __init__(self, port: int, version: int | None = None):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self.connection: SSL.Connection | None = None
        self.version = version
        self.parser: ElementTree.XMLPullParser | None = None
        self.depth = 0

    def close(self) -> None:
        self.socket.close()

    def send(self, text: str) -> None:
        (self.connection or self.socket).sendall(text.encode())

    def receive(self) -> bytes:
        return self.connection.recv(65536) if self.connection else self.socket.recv(65536)

    def open(self) -> ElementTree.Element:
        """Opens a stream and returns its features."""
        self.parser = ElementTree.XMLPullParser(["start", "end"])
        self.depth = 0
        self.send(
            "<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        features = self.read()
        assert features.tag == STREAMS + "features", features.tag
        return features

    def read(self) -> ElementTree.Element:
        """The next child of the stream."""
        while True:
            for event, element in self.parser.read_events():
                self.depth += 1 if event == "start" else -1
                if event == "end" and self.depth == 1:
                    return element
            data = self.receive()
            if not data:
                raise ConnectionError("the server closed the connection")
            self.parser.feed(data)

    def start_tls(self, alpn: bool = False) -> None:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD)
        context.set_verify(SSL.VERIFY_NONE, lambda *_: True)
        if self.version is not None:
            context.set_min_proto_version(self.version)
            context.set_max_proto_version(self.version)
        if alpn:
            context.set_alpn_protos([b"xmpp-client"])
        # pyOpenSSL wants a socket that blocks.
        self.socket.settimeout(None)
        self.connection = SSL.Connection(context, self.socket)
        self.connection.set_tlsext_host_name(b"localhost")
        self.connection.set_connect_state()
        self.connection.do_handshake()

    def exporter(self) -> bytes:
        """RFC 9266."""
        return self.connection.export_keying_material(b"EXPORTER-Channel-Binding", 32, b"")

    def server_end_point(self) -> bytes:
        """RFC 5929, section 4.1: the hash of the certificate's signature, SHA-256 in place of MD5 and SHA-1."""
        certificate = self.connection.get_peer_certificate(as_cryptography=True)
        assert isinstance(certificate, x509.Certificate)
        name = certificate.signature_hash_algorithm.name
        name = "sha256" if name in ("md5", "sha1") else name
        from cryptography.hazmat.primitives.serialization import Encoding

        return hashlib.new(name, certificate.public_bytes(Encoding.DER)).digest()


def connected(ports: dict[str, int], direct: bool, version: int | None) -> tuple[Stream, ElementTree.Element]:
    """A stream inside TLS, with its features."""
    stream = Stream(ports["direct" if direct else "starttls"], version)
    if direct:
        stream.start_tls(alpn=True)
    else:
        features = stream.open()
        assert features.find(TLS + "starttls") is not None
        assert features.find(SASL + "mechanisms") is None, "mechanisms before TLS"
        stream.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        assert stream.read().tag == TLS + "proceed"
        stream.start_tls()
    return stream, stream.open()


@dataclasses.dataclass
class Outcome:
    """`success`, or the condition of the failure; the salt and iterations that the server showed, if it did."""

    condition: str
    salt: bytes | None = None
    iterations: int | None = None


def condition(failure: ElementTree.Element) -> str:
    assert failure.tag == SASL + "failure", failure.tag
    return failure[0].tag.removeprefix(SASL)


def authenticate(
    stream: Stream, mechanism: str, user: str, password: str, header: str = "n,,", binding: bytes = b""
) -> Outcome:
    """Runs SCRAM with this GS2 header and channel binding data, whether they make sense or not."""
    name = HASHES[mechanism.removesuffix("-PLUS")]
    nonce = encode(os.urandom(18)).replace(",", "")
    first_bare = f"n={user},r={nonce}"
    stream.send(
        f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='{mechanism}'>"
        f"{encode((header + first_bare).encode())}</auth>"
    )
    answer = stream.read()
    if answer.tag != SASL + "challenge":
        return Outcome(condition(answer))
    server_first = base64.b64decode(answer.text).decode()
    fields = dict(part.split("=", 1) for part in server_first.split(","))
    assert fields["r"].startswith(nonce) and fields["r"] != nonce
    salt, iterations = base64.b64decode(fields["s"]), int(fields["i"])

    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", name)
    without_proof = f"c={encode(header.encode() + binding)},r={fields['r']}"
    message = f"{first_bare},{server_first},{without_proof}".encode()
    signature = hmac.digest(hashlib.new(name, client_key).digest(), message, name)
    proof = bytes(a ^ b for a, b in zip(client_key, signature))
    final = f"{without_proof},p={encode(proof)}".encode()
    stream.send(f"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{encode(final)}</response>")
    answer = stream.read()
    if answer.tag != SASL + "success":
        return Outcome(condition(answer), salt, iterations)
    expected = hmac.digest(hmac.digest(salted, b"Server Key", name), message, name)
    assert base64.b64decode(answer.text).decode() == f"v={encode(expected)}", "the server did not prove itself"
    return Outcome("success", salt, iterations)

# SPDX-License-Identifier: Apache-2.0
"""Everybody on the stage: names, certificates and servers, started together and ended together."""

import asyncio
import os
import pathlib
import shutil
import subprocess

import accounts
import stage
from authority import Authority, Pair
from cells import AUTHENTICATIONS, domains
from names import NameServer, Zones
from ours import FederatedJackdaw
from peers import PEERS
from processes import Refusal, identity, run_as, signals


class Troupe:
    def __init__(self, binaries: pathlib.Path):
        self.binaries = binaries
        self.directory = stage.make_directory()
        if os.getuid() == 0:
            shutil.chown(self.directory, run_as(), identity()["group"])
        self.authority = Authority(self.directory)
        self.names = NameServer(self.directory)
        self.zones = Zones()
        self.servers: dict[str, object] = {}
        # Of the stub's domains, by label.
        self.stub_pairs: dict[str, Pair] = {}

    # Before the names are served

    def prepare(self) -> None:
        stage.build(self.directory)
        self.authority.make()

    def certificates(self, server: str) -> dict[str, Pair]:
        """By domain: of the trusted authority, or self-signed."""
        issued = {
            "certificate": self.authority.issue(server, domains(server, "certificate")),
            "dialback": self.authority.self_signed(f"{server}-dialback", domains(server, "dialback")),
            "dane": self.authority.self_signed(f"{server}-dane", domains(server, "dane")),
        }
        return {name: issued[kind] for kind in AUTHENTICATIONS for name in domains(server, kind)}

    def announce(self, server: str, certificates: dict[str, Pair]) -> None:
        """The names of a server: for each domain one way in, so that it is the one that is taken."""
        plain, signed = f"host.{server}.example", f"host.{server}.signed.example"
        for host in (plain, signed):
            self.zones.host(host, *stage.published(server))
        for domain, pair in certificates.items():
            is_direct = "-direct-" in domain
            host = signed if domain.endswith(".signed.example") else plain
            self.zones.service(domain, host, None if is_direct else 5269, 5270 if is_direct else None)
            if host == signed:
                self.dane = pair
        for port in (5269, 5270):
            self.zones.certificate(signed, port, key_digest(self.dane))

    def engage(self, server: str, **options) -> None:
        certificates = self.certificates(server)
        self.announce(server, certificates)
        trust = self.authority.trusted, self.names.anchor
        if server in PEERS:
            self.servers[server] = PEERS[server](self.directory, certificates, *trust)
        else:
            self.servers[server] = FederatedJackdaw(server, self.binaries, certificates, *trust, **options)

    # Then

    async def start(self, server: str) -> None:
        """With accounts for the conversations. One that cannot be started is the end of the script."""
        its = self.servers[server]
        try:
            if server in PEERS:
                await asyncio.to_thread(its.set_up)
                await asyncio.to_thread(its.start)
            else:
                await asyncio.to_thread(its.begin)
        except (Refusal, OSError, subprocess.SubprocessError) as error:
            raise Refusal(f"{server} cannot be started: {error}") from error
        await accounts.register_all(its)

    def end(self, keep: bool) -> None:
        with signals.held():
            for server in self.servers.values():
                server.stop()
            self.names.stop()
        directories = [self.directory] + [its.directory for name, its in self.servers.items() if name not in PEERS]
        for directory in directories:
            if keep:
                print(f"kept: {directory}")
            else:
                shutil.rmtree(directory, ignore_errors=True)


def key_digest(pair: Pair) -> str:
    """SHA-256 of the public key, as TLSA has it."""
    public = subprocess.run(
        ["openssl", "x509", "-in", pair.certificate, "-noout", "-pubkey"], stdout=subprocess.PIPE, check=True
    ).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public, stdout=subprocess.PIPE, check=True).stdout
    digest = subprocess.run(["openssl", "dgst", "-sha256", "-r"], input=der, stdout=subprocess.PIPE, check=True).stdout
    return digest.decode().split()[0]

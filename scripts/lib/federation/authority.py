# SPDX-License-Identifier: Apache-2.0
"""Certificates, good ones and bad ones, made with openssl: two authorities, of which the servers trust one."""

import dataclasses
import pathlib

from processes import call

CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-sha256"]
BOTH_USAGES = "serverAuth,clientAuth"


@dataclasses.dataclass(frozen=True)
class Pair:
    """PEM files: the certificate with its chain, its key, and both in one."""

    certificate: pathlib.Path
    key: pathlib.Path
    both: pathlib.Path


class Authority:
    def __init__(self, directory: pathlib.Path):
        self.directory = directory / "certificates"
        # What the servers trust, and all they trust.
        self.trusted = self.directory / "trusted.pem"
        # Nobody trusts it.
        self.unknown = self.directory / "unknown.pem"

    def make(self) -> None:
        call(["mkdir", "-m", "700", self.directory], self.directory.parent)
        for authority in (self.trusted, self.unknown):
            call([
                "openssl", "req", "-x509", *CURVE, "-days", "30", "-subj", f"/CN={authority.stem} authority",
                "-addext", "keyUsage=critical,keyCertSign", "-keyout", authority.with_suffix(".key"), "-out", authority,
            ], self.directory)

    def issue(self, name: str, domains: list[str], usage: str = BOTH_USAGES, authority: pathlib.Path | None = None) -> Pair:
        """A certificate of the trusted authority, if no other is named."""
        return self.make_pair(name, domains, usage, authority or self.trusted)

    def self_signed(self, name: str, domains: list[str]) -> Pair:
        return self.make_pair(name, domains, BOTH_USAGES, None)

    def make_pair(self, name: str, domains: list[str], usage: str, authority: pathlib.Path | None) -> Pair:
        pair = self.pair(name)
        signed = ["-CA", authority, "-CAkey", authority.with_suffix(".key")] if authority else []
        call([
            "openssl", "req", "-x509", *signed, *CURVE, "-days", "30", "-subj", f"/CN={domains[0]}",
            *self.extensions(domains, usage), "-keyout", pair.key, "-out", pair.certificate,
        ], self.directory)
        return self.finish(pair)

    def expired(self, name: str, domains: list[str]) -> Pair:
        """It ended yesterday."""
        pair = self.pair(name)
        request = self.directory / f"{name}.csr"
        call([
            "openssl", "req", "-new", *CURVE, "-subj", f"/CN={domains[0]}", *self.extensions(domains, BOTH_USAGES),
            "-keyout", pair.key, "-out", request,
        ], self.directory)
        call([
            "openssl", "x509", "-req", "-in", request, "-CA", self.trusted, "-CAkey", self.trusted.with_suffix(".key"),
            "-days", "-1", "-copy_extensions", "copyall", "-out", pair.certificate,
        ], self.directory)
        return self.finish(pair)

    def pair(self, name: str) -> Pair:
        paths = [self.directory / f"{name}.{suffix}" for suffix in ("pem", "key", "both.pem")]
        return Pair(*paths)

    @staticmethod
    def extensions(domains: list[str], usage: str) -> list[str]:
        names = ",".join(f"DNS:{domain}" for domain in domains)
        return [
            "-addext", f"subjectAltName={names}", "-addext", "basicConstraints=critical,CA:FALSE",
            "-addext", "keyUsage=critical,digitalSignature", "-addext", f"extendedKeyUsage={usage}",
        ]

    def finish(self, pair: Pair) -> Pair:
        call(["tee", pair.both], self.directory, call(["cat", pair.certificate, pair.key], self.directory))
        call(["chmod", "600", pair.both, pair.key], self.directory)
        return pair

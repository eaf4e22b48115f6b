# SPDX-License-Identifier: Apache-2.0
"""The database of a benchmark: a cluster of its own, on its own loopback address, durable as PostgreSQL is shipped."""

import pathlib
import secrets
import signal

from processes import Process, Refusal, call, is_taken, signals, until, version_of_package

ADDRESS, PORT = "127.0.1.9", 20432


class PostgreSQL:
    name = "postgresql"

    def __init__(self, directory: pathlib.Path):
        self.directory = directory / "postgresql"
        self.data = self.directory / "data"
        # The same for all roles; the cluster lives for one benchmark.
        self.password = secrets.token_hex(16)
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        if not programs:
            raise Refusal("PostgreSQL is not installed; see scripts/install-packages")
        self.programs = programs[-1]
        self.process: Process | None = None
        self.roles: set[str] = set()

    @property
    def version(self) -> str:
        return version_of_package(f"postgresql-{self.programs.parent.name}")

    def start(self) -> None:
        if is_taken(ADDRESS, PORT):
            raise Refusal(f"{ADDRESS}:{PORT} is in use; another benchmark?")
        call(["mkdir", "-p", "-m", "700", self.directory], pathlib.Path("/"))
        if not call(["find", self.directory, "-name", "PG_VERSION"], pathlib.Path("/")):
            call([self.programs / "initdb", "--pgdata", self.data, "--username=postgres", "--encoding=UTF8",
                  "--locale=C.UTF-8", "--auth=trust", "--no-instructions"], self.directory)
            hba = f"local all all trust\nhost all all {ADDRESS}/8 scram-sha-256\n"
            call(["tee", self.data / "pg_hba.conf"], self.directory, hba)
        with signals.held():
            self.process = Process(self.name, [
                self.programs / "postgres", "-D", self.data, "-c", f"listen_addresses={ADDRESS}", "-c", f"port={PORT}",
                "-c", f"unix_socket_directories={self.directory}", "-c", "unix_socket_permissions=0700",
                # Everything else, durability above all, is as shipped, but the cache is larger than 128 MB.
                "-c", "shared_buffers=256MB",
            ], self.directory)
        until(self.is_ready, "PostgreSQL starts")

    def is_ready(self) -> bool:
        if self.process and not self.process.is_running():
            raise Refusal(f"PostgreSQL ended:\n{self.process.tail()}")
        try:
            return self.sql("select 1") == "1"
        except Refusal:
            return False

    def stop(self) -> None:
        if self.process:
            with signals.held():
                # Fast: sessions are ended, and the data is made durable.
                self.process.stop(signal.SIGINT)

    def sql(self, text: str, database: str = "postgres", user: str = "postgres") -> str:
        return call(self.psql(database, user), self.directory, text).strip()

    def psql(self, database: str, user: str = "postgres") -> list:
        """The command, which reads SQL from its input."""
        return ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", self.directory, "-p", PORT, "-U", user,
                "-d", database]

    def make_database(self, name: str, schema: str | None = None, roles: tuple[str, ...] = ()) -> None:
        """A database and its owner, with the same name, and further roles, which databases may share."""
        for role in (name, *roles):
            if role not in self.roles:
                self.sql(f"create role \"{role}\" login password '{self.password}'")
                self.roles.add(role)
        self.sql(f'create database "{name}" owner "{name}"')
        if schema:
            self.sql(schema, name, name)

# SPDX-License-Identifier: Apache-2.0
"""A test with suites of its own, and people who use them."""

import asyncio
import contextlib
import json
import pathlib
import unittest

from running import RunningSuite
from slixmpp_client import Client, Refused
from suite import until

# Set by main.py before any test runs.
binaries: pathlib.Path


class Story(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        # The test case turns on the loop's debug mode, which is slow and talks.
        asyncio.get_running_loop().set_debug(False)
        self.suite = self.new_suite()

    def new_suite(self, restored_from: RunningSuite | None = None) -> RunningSuite:
        suite = RunningSuite(binaries, restored_from)
        # Backwards: first the logs of a failure, then the end, in which the clients' connections end too.
        self.addAsyncCleanup(asyncio.to_thread, suite.remove)
        self.addCleanup(self.show_logs_of_failure, suite)
        return suite

    def show_logs_of_failure(self, suite: RunningSuite) -> None:
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            suite.show_logs()

    async def call(self, script: str, *arguments: str, suite: RunningSuite | None = None, check: bool = True):
        """A script of the operator, while the clients live on."""
        return await asyncio.to_thread((suite or self.suite).call, script, *arguments, check=check)

    async def start(self, suite: RunningSuite | None = None) -> str:
        return await asyncio.to_thread((suite or self.suite).start)

    async def status(self) -> dict[str, dict]:
        return await asyncio.to_thread(self.suite.status)

    async def pids(self) -> dict[str, int]:
        return await asyncio.to_thread(self.suite.pids)

    async def add_users(self, *names: str, domain: str = "localhost") -> None:
        for name in names:
            await asyncio.to_thread(self.suite.add_user, name, domain=domain)

    async def client(self, user: str, suite: RunningSuite | None = None, **options) -> Client:
        client = Client(user, suite=suite or self.suite, **options)
        self.addCleanup(client.abort)
        return await client.log_in()

    async def persistent_client(self, user: str) -> Client:
        """One that tries again as long as it is refused."""
        for _ in range(60):
            with contextlib.suppress(Refused):
                return await self.client(user)
            await asyncio.sleep(0.5)
        return await self.client(user)

    async def leave_message(self, sender: Client, receiver: str, body: str) -> None:
        """A message to somebody who is away, taken by the server."""
        sender.send_message(mto=receiver, mbody=body, mtype="chat")
        await sender.ping()

    async def until_returned(self, name: str, pid: int) -> None:
        """Until a process that was killed has a successor."""
        await asyncio.to_thread(until, lambda: self.has_returned(name, pid), f"the return of {name}", 60)

    def has_returned(self, victim: str, pid: int) -> bool:
        """Another process is there, and all are ready again: they have found what they had lost with it."""
        status = self.suite.status()
        if status[victim]["pid"] == pid or not all(row["connected"] for row in status.values()):
            return False
        answer = self.suite.call("jackdawctl", "status", "--json", check=False)
        if answer.returncode != 0:
            return False
        return {row["instance"] for row in json.loads(answer.stdout)} | {"postgresql"} == status.keys()

# SPDX-License-Identifier: Apache-2.0
"""Two routers: biboumi, a gateway to IRC, is bound at one of them; a C2S on another host links with TLS.

A network namespace stands for the other host.
"""

import asyncio
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import unittest

import running
from slixmpp.exceptions import IqError
from slixmpp_client import SECONDS, Client

from suite import IS_ROOT, ROOT

USER = "jackdaw"
GATEWAY = "irc.localhost"
PASSWORD = "the secret of the gateway"
ROUTER_NAME = "router.example.org"
# RFC 5737: nobody has them.
HERE, THERE = "198.51.100.1", "198.51.100.2"

GATEWAY_CONFIGURATION = """\
hostname={name}
password={password}
xmpp_server_ip=127.0.0.1
port={port}
db_name={directory}/biboumi.sqlite
log_level=1
"""

OTHER_HOST = """\
domains:
  - name: localhost
paths:
  run: {suite.runtime}
  certificates: {suite.state}/certificates
secrets:
  c2s: {suite.state}/secrets/router-c2s
  fake_salt: {suite.state}/secrets/fake-salt
router:
  remote:
    - address: {here}:{tls}
      certificate: {suite.state}/certificates/router.pem
      name: {name}
c2s:
  listeners:
    - address: 127.0.0.1:5222
      tls: starttls
http:
  c2s_port: 15200
supervisor:
  router: 0
"""


def as_user(*command: str) -> list[str]:
    return ["runuser", "-u", USER, "--", *command] if IS_ROOT else list(command)


def give(path: pathlib.Path) -> None:
    """To the user of the suite."""
    path.chmod(0o600)
    if IS_ROOT:
        shutil.chown(path, USER, USER)


class RoutersTests(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.suite = running.suite
        cls.configuration = (cls.suite.state / "jackdaw.yml").read_text(encoding="ascii")
        cls.tls = cls.suite.ports["router"] + 5
        secret = cls.suite.state / "secrets" / "irc"
        secret.write_text(PASSWORD + "\n", encoding="ascii")
        give(secret)
        pair = [cls.suite.state / "certificates" / name for name in ("router.pem", "router.key")]
        subprocess.run(
            [ROOT / "scripts" / "lib" / "make-certificate", *pair, ROUTER_NAME], check=True, stdout=subprocess.DEVNULL
        )
        for path in pair:
            give(path)
        lines = f"  tls_listen: 0.0.0.0:{cls.tls}\n  tls_certificate: {pair[0]}\n  tls_key: {pair[1]}\n"
        text = re.sub(r"(?m)^router:\n", "router:\n" + lines, cls.configuration)
        text += f"components:\n  - names: [{GATEWAY}]\n    secret_file: {secret}\n"
        (cls.suite.state / "jackdaw.yml").write_text(text, encoding="ascii")
        # The second one listens for other hosts; all read the components again.
        cls.suite.call("supervisor", "scale", "router", "2")

    @classmethod
    def tearDownClass(cls):
        (cls.suite.state / "jackdaw.yml").write_text(cls.configuration, encoding="ascii")
        cls.suite.call("supervisor", "scale", "router", "1")

    async def asyncSetUp(self):
        asyncio.get_running_loop().set_debug(False)
        directory = tempfile.TemporaryDirectory(prefix="jackdaw-routers-", dir="/tmp")
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.directory.chmod(0o755)
        self.clients: list[Client] = []

    async def asyncTearDown(self):
        for client in self.clients:
            client.abort()

    async def client(self, *arguments, **options) -> Client:
        client = Client(*arguments, **options)
        self.clients.append(client)
        return await client.log_in()

    def start(self, *command: str) -> subprocess.Popen:
        """A process that is ended with the test; what it says is shown if it does not do its part."""
        with open(self.directory / f"{len(list(self.directory.glob('*.log')))}.log", "ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        return process

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-2_000:] for path in self.directory.glob("*.log"))

    # biboumi

    async def gateway_says(self, client: Client) -> set[str]:
        """The namespaces of its features, once it is bound."""
        for _ in range(100):
            try:
                information = await client.plugin["xep_0030"].get_info(GATEWAY, timeout=SECONDS)
                return set(information["disco_info"]["features"])
            except IqError:
                await asyncio.sleep(0.1)
        raise AssertionError(f"{GATEWAY} does not answer:\n{self.logs()}")

    async def test_a_gateway_at_one_of_two_routers_is_there_for_everybody(self):
        if shutil.which("biboumi") is None:
            self.skipTest("biboumi is not installed; scripts/install-packages --test installs it")
        file = self.directory / "biboumi.cfg"
        file.write_text(
            GATEWAY_CONFIGURATION.format(
                name=GATEWAY, password=PASSWORD, port=self.suite.ports["router"], directory=self.directory
            ),
            encoding="ascii",
        )
        self.start("biboumi", str(file))
        alice = await self.client("alice", resource="irc")
        self.assertIn("http://jabber.org/protocol/commands", await self.gateway_says(alice))
        bound = self.suite.ask("component", "list")
        self.assertEqual([row["router"] for row in bound if row["name"] == GATEWAY], ["router-1"])

        pids = self.suite.pids()
        os.kill(pids["router-2"], signal.SIGKILL)
        self.assertIn("http://jabber.org/protocol/commands", await self.gateway_says(alice))
        commands = await alice.plugin["xep_0030"].get_items(GATEWAY, node="http://jabber.org/protocol/commands")
        self.assertIn("ping", {node for _, node, _ in commands["disco_items"]["items"]})
        self.assertFalse(alice.is_cut_off)
        after = await asyncio.to_thread(self.suite.pids)
        self.assertEqual({name: after[name] for name in ("c2s-1", "sm-1")}, {n: pids[n] for n in ("c2s-1", "sm-1")})

    # Another host

    def make_other_host(self) -> list[str]:
        """What a command is to begin with, to run there."""
        if not IS_ROOT:
            self.skipTest("only root may make the network namespace that stands for another host")
        name = f"jackdaw-{os.getpid()}"
        near, far = f"jd{os.getpid()}a"[:15], f"jd{os.getpid()}b"[:15]
        made = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.PIPE, check=False)
        if made.returncode != 0:
            self.skipTest(f"no network namespace can be made here: {made.stderr.decode().strip()}")
        self.addCleanup(subprocess.run, ["ip", "netns", "delete", name], check=False)
        for command in (
            f"link add {near} type veth peer name {far} netns {name}",
            f"address add {HERE}/30 dev {near}",
            f"link set {near} up",
            f"-n {name} address add {THERE}/30 dev {far}",
            f"-n {name} link set {far} up",
            f"-n {name} link set lo up",
        ):
            made = subprocess.run(["ip", *command.split()], stderr=subprocess.PIPE, check=False)
            if made.returncode != 0:
                self.skipTest(f"the namespace cannot be linked: ip {command}: {made.stderr.decode().strip()}")
        return ["ip", "netns", "exec", name]

    async def test_a_c2s_of_another_host_links_with_tls_and_its_clients_chat(self):
        there = self.make_other_host()
        file = self.directory / "jackdaw.yml"
        # That of router-2: each listens a port higher.
        file.write_text(
            OTHER_HOST.format(suite=self.suite, here=HERE, tls=self.tls + 1, name=ROUTER_NAME), encoding="ascii"
        )
        c2s = str(self.suite.state / "bin" / "jackdaw-c2s")
        self.start(*there, *as_user(c2s, "--config", str(file), "--instance", "c2s-9"))
        alice = await self.client("alice", resource="here")
        program = pathlib.Path(__file__).with_name("other_host_client.py")
        guest = await asyncio.create_subprocess_exec(
            *there, sys.executable, "-B", str(program), "bob", running.PASSWORD, "5222",
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            try:
                words = await asyncio.wait_for(guest.stdout.readline(), 2 * SECONDS)
            except TimeoutError:
                words = b""
            self.assertEqual(words, b"ready\n", self.logs())
            self.assertEqual(running.suite.instances()["bob@localhost/there"], "c2s-9")
            alice.send_message(mto="bob@localhost/there", mbody="from here", mtype="chat")
            await alice.until(lambda: alice.bodies, "answer from the other host")
            self.assertEqual(alice.bodies, ["you said: from here"])
        finally:
            guest.terminate()
            await guest.wait()

# SPDX-License-Identifier: Apache-2.0
"""Profanity, a client for the terminal, in a real terminal (tmux), chats with slixmpp: two clients of different make."""

import asyncio
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

import running
from suite import until
from test_slixmpp import Client

ACCOUNT = """\
[{user}@localhost]
enabled=true
jid={user}@localhost
server=127.0.0.1
port={port}
password={password}
resource=profanity
tls.policy=trust
presence.last=online
presence.login=online
"""
SETTINGS = """\
[ui]
splash=false
[logging]
chlog=false
[connection]
reconnect=0
"""


class Terminal:
    """Profanity in a tmux server of its own."""

    def __init__(self, user: str):
        # tmux's socket too has a path of 107 bytes at most.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="jackdaw-prof-", dir="/tmp"))
        for name, text in (
            ("config/profanity/profrc", SETTINGS),
            ("data/profanity/accounts", ACCOUNT.format(
                user=user, port=running.suite.ports["starttls"], password=running.PASSWORD
            )),
        ):
            path = self.home / name
            path.parent.mkdir(parents=True)
            path.write_text(text, encoding="utf-8")
        environment = os.environ | {
            "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"), "LANG": "C.UTF-8", "TERM": "screen-256color",
        }
        self.tmux = ["tmux", "-S", str(self.home / "tmux"), "-f", "/dev/null"]
        command = f"profanity --account {user}@localhost"
        subprocess.run(
            self.tmux + ["-u", "new-session", "-d", "-x", "160", "-y", "50", command], check=True, env=environment
        )

    def type(self, line: str) -> None:
        subprocess.run(self.tmux + ["send-keys", "-l", line], check=True)
        subprocess.run(self.tmux + ["send-keys", "Enter"], check=True)

    def screen(self) -> str:
        return subprocess.run(
            self.tmux + ["capture-pane", "-p"], check=False, stdout=subprocess.PIPE, encoding="utf-8"
        ).stdout

    def see(self, text: str) -> None:
        try:
            until(lambda: text in self.screen(), f"{text!r} on the screen")
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen()}") from None

    def close(self) -> None:
        subprocess.run(self.tmux + ["kill-server"], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.home, ignore_errors=True)


class ProfanityTests(unittest.IsolatedAsyncioTestCase):
    async def test_profanity_and_slixmpp_meet_chat_and_find_their_messages_on_return(self):
        asyncio.get_running_loop().set_debug(False)
        for user in ("carol", "dave"):
            await asyncio.to_thread(running.suite.add_user, user)
        dave = await Client("dave").log_in()
        self.addCleanup(dave.abort)
        carol = Terminal("carol")
        self.addCleanup(lambda: carol.close())
        await asyncio.to_thread(carol.see, "carol@localhost/profanity logged in successfully")

        carol.type("/sub request dave@localhost")
        await dave.until(lambda: ("carol@localhost", "subscribe") in dave.presences, "request")
        dave.send_presence_subscription("carol@localhost", ptype="subscribed")
        dave.send_presence_subscription("carol@localhost", ptype="subscribe")
        await asyncio.to_thread(carol.see, "authorization request from dave@localhost")
        carol.type("/sub allow dave@localhost")
        await dave.until(lambda: ("carol@localhost", "available") in dave.presences, "presence")

        carol.type("/msg dave@localhost Good morning, Dave")
        await dave.until(lambda: dave.bodies == ["Good morning, Dave"], "message")
        dave.send_message(mto="carol@localhost", mbody="Good morning, grüße 😀", mtype="chat")
        await asyncio.to_thread(carol.see, "Good morning, grüße")

        carol.type("/quit")
        await dave.until(lambda: ("carol@localhost", "unavailable") in dave.presences, "farewell")
        dave.send_message(mto="carol@localhost", mbody="while you were away", mtype="chat")
        await dave.plugin["xep_0199"].ping("localhost")
        carol.close()
        carol = Terminal("carol")
        await asyncio.to_thread(carol.see, "dave@localhost")
        await asyncio.to_thread(carol.type, "/msg dave@localhost")
        await asyncio.to_thread(carol.see, "while you were away")

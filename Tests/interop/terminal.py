# SPDX-License-Identifier: Apache-2.0
"""A real terminal (tmux), to type into and to read from, and Profanity in it."""

import contextlib
import os
import pathlib
import shutil
import subprocess
import tempfile

import running
from suite import until

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
    """A command in a tmux server of its own, with a home of its own."""

    def __init__(self, command: list[str], environment: dict[str, str] | None = None):
        # tmux's socket too has a path of 107 bytes at most.
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="jackdaw-term-", dir="/tmp"))
        self.prepare()
        own = {
            "HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config"),
            "XDG_DATA_HOME": str(self.home / "data"), "LANG": "C.UTF-8", "TERM": "screen-256color",
        }
        self.tmux = ["tmux", "-S", str(self.home / "tmux"), "-f", "/dev/null"]
        subprocess.run(
            # The screen stays when the command ends.
            self.tmux + ["-u", "new-session", "-d", "-x", "160", "-y", "50", *command, ";", "set", "remain-on-exit", "on"],
            check=True, env=os.environ | (environment or {}) | own,
        )

    def prepare(self) -> None:
        """Puts what the command wants to find into its home."""

    def type(self, line: str) -> None:
        subprocess.run(self.tmux + ["send-keys", "-l", line], check=True)
        subprocess.run(self.tmux + ["send-keys", "Enter"], check=True)

    def screen(self) -> str:
        return subprocess.run(
            self.tmux + ["capture-pane", "-p"], check=False, stdout=subprocess.PIPE, encoding="utf-8"
        ).stdout

    def see(self, text: str, seconds: float = 30) -> None:
        try:
            until(lambda: text in self.screen(), f"{text!r} on the screen", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}:\n{self.screen()}") from None

    def ask(self, command: str, answer: str) -> None:
        """A command that shows something as it is now: typed again until it shows what is waited for."""
        for _ in range(20):
            self.type(command)
            with contextlib.suppress(AssertionError):
                return self.see(answer, 1)
        self.see(answer)

    def close(self) -> None:
        subprocess.run(self.tmux + ["kill-server"], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.home, ignore_errors=True)


class Profanity(Terminal):
    """Profanity, which logs in with an account of its configuration, or has none yet."""

    def __init__(self, user: str | None = None):
        self.user = user
        super().__init__(["profanity"] + (["--account", f"{user}@localhost"] if user else []))

    def prepare(self) -> None:
        self.write("config/profanity/profrc", SETTINGS)
        if self.user:
            port = running.suite.ports["starttls"]
            self.write("data/profanity/accounts", ACCOUNT.format(user=self.user, port=port, password=running.PASSWORD))

    def write(self, name: str, text: str) -> None:
        path = self.home / name
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")

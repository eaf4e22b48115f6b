# SPDX-License-Identifier: Apache-2.0
"""The loads, as arguments of jackdaw-load; what each needs, and what is read off its report."""

import dataclasses

from servers import DOMAIN, DOMAIN_SHA1


@dataclasses.dataclass(frozen=True)
class Load:
    name: str
    title: str
    arguments: tuple[str, ...]
    # Accounts that must be there.
    accounts: int
    domain: str = DOMAIN
    mechanism: str = "SCRAM-SHA-256"
    # Clients that have each other in their rosters, and how many each has.
    contacts: tuple[int, int] = (0, 0)
    counts_stored: bool = False

    @property
    def descriptors(self) -> int:
        """Open files of the generator or a server: the clients, and what else a process opens."""
        return self.accounts + 256


def chat(name: str, title: str, *arguments: str, pairs: int = 100) -> Load:
    arguments = ("chat", "--pairs", str(pairs), "--body-bytes", "100", "--warm-up", "3", *arguments)
    return Load(name, title, arguments, accounts=2 * pairs)


def flat(sessions: int) -> Load:
    title = f"chat, {sessions:,} sessions, open loop, 5,000 messages/s"
    return chat(f"flat-{sessions}", title, "--rate", "5000", "--seconds", "15", pairs=sessions // 2)


def login(name: str, mechanism: str, domain: str) -> Load:
    title = f"login: STARTTLS, {mechanism}, roster, presence; 32 at a time"
    return Load(name, title, ("login", "--clients", "1000", "--warm-up"), 1000, domain, mechanism)


def idle(clients: int) -> Load:
    title = f"{clients:,} idle sessions"
    return Load(f"idle-{clients}", title, ("idle", "--clients", str(clients), "--seconds", "10"), clients)


LOADS = {
    load.name: load
    for load in (
        chat("chat", "chat, 100 pairs, 100-byte bodies, window 10", "--window", "10", "--seconds", "10"),
        chat(
            "chat-counted", "the same with XEP-0198: each message is acknowledged when it is safe",
            "--window", "10", "--seconds", "10", "--stream-management",
        ),
        chat("rate-1000", "chat, open loop, 1,000 messages/s", "--rate", "1000", "--seconds", "15"),
        chat("rate-5000", "chat, open loop, 5,000 messages/s", "--rate", "5000", "--seconds", "15"),
        flat(100),
        flat(10000),
        login("login-sha1", "SCRAM-SHA-1", DOMAIN_SHA1),
        login("login-sha256", "SCRAM-SHA-256", DOMAIN),
        idle(2000),
        idle(10000),
        Load(
            "presence", "presence, 100 clients with 50 contacts each",
            ("presence", "--clients", "100", "--contacts", "50", "--warm-up", "3", "--seconds", "10"), 100,
            contacts=(100, 50),
        ),
        Load(
            "offline", "offline, 100 users, 100 messages each",
            ("offline", "--senders", "10", "--receivers", "100", "--messages", "100"), 110, counts_stored=True,
        ),
        Load(
            "offline-counted", "the same with XEP-0198: stored and acknowledged",
            ("offline", "--senders", "10", "--receivers", "100", "--messages", "100", "--stream-management"), 110,
            counts_stored=True,
        ),
    )
}
# What is not run unless it is asked for.
OPTIONAL = {"chat-counted", "offline-counted", "flat-100", "flat-10000", "idle-10000"}
QUICK = chat("chat", "chat, 100 pairs, 100-byte bodies, window 10", "--window", "10", "--seconds", "8")

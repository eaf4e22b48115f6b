# SPDX-License-Identifier: Apache-2.0
"""What is made of a cell: from what the clients saw, both logs and the wire, and from the list of what a peer cannot."""

import dataclasses
import pathlib

from cells import FUNCTIONS, OURS, Cell, Stream
from processes import Refusal
from stage import published
from wire import Seen

EXPECTED_TLS = "TLSv1.3"


@dataclasses.dataclass
class Judgement:
    cell: Cell
    # By function: empty, or what went wrong.
    functions: dict[str, str]
    # What the logs and the wire say otherwise than they should.
    faults: list[str]

    @property
    def works(self) -> bool:
        return not self.faults and not any(self.functions.values())

    @property
    def reason(self) -> str:
        wrong = [f"{name}: {text}" for name, text in self.functions.items() if text and text != "not tried"]
        return "; ".join(wrong + self.faults)

    def result(self) -> dict:
        return {"type": "cell", "cell": self.cell.name, "works": self.works, "functions": self.functions, "faults": self.faults}


def faults_of(cell: Cell, logs: dict[str, list[Stream]], seen: list[Seen]) -> list[str]:
    """What is not as the cell wants it, in the logs of both servers and on the wire."""
    faults = []
    for server, streams in logs.items():
        own = [stream for stream in streams if (stream.opener, stream.acceptor) == (cell.opener, cell.acceptor)]
        if not own:
            faults.append(f"the log of {server} has no stream {cell.opener} -> {cell.acceptor}")
            continue
        for problem in {problem_of(cell, stream, server) for stream in own}:
            if problem:
                faults.append(f"the log of {server}: {problem}")
    links = [link for link in seen if link.address in published(cell.far) and is_of(link, cell)]
    if not links:
        faults.append(f"the wire has seen no {cell.transport} link {cell.opener} -> {cell.acceptor}")
    for link in links:
        if link.tls != EXPECTED_TLS:
            faults.append(f"on the wire: {link.tls} instead of {EXPECTED_TLS}")
        if link.is_direct and link.alpn and "xmpp-server" not in link.alpn:
            faults.append(f"on the wire: ALPN {link.alpn}")
    return faults


def is_of(link: Seen, cell: Cell) -> bool:
    """Direct TLS has no header in clear; the name that is asked for is the acceptor's, which is the cell's own."""
    if link.is_direct != (cell.transport == "direct"):
        return False
    if link.is_direct:
        return link.server_name == cell.acceptor
    return link.to == cell.acceptor and link.sender in (cell.opener, None)


def problem_of(cell: Cell, stream: Stream, server: str) -> str:
    wanted = "certificate" if cell.authentication == "certificate" else "dialback"
    if stream.authentication != wanted:
        return f"authenticated by {stream.authentication}, not {wanted}"
    if stream.transport not in (None, cell.transport):
        return f"by {stream.transport}, not {cell.transport}"
    if stream.tls not in (None, EXPECTED_TLS):
        return f"TLS is {stream.tls}"
    if cell.authentication == "dane" and server == cell.near and stream.acceptor_authentication not in (None, "dane"):
        return f"the acceptor was authenticated by {stream.acceptor_authentication}, not by DANE"
    return ""


# What a peer cannot do

def read_list(path: pathlib.Path) -> dict[str, str]:
    """The committed list: lines `- cell: evidence`, where a cell may end with ` *`."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("- `"):
            name, separator, evidence = line[3:].partition("`: ")
            if not separator or not evidence:
                raise Refusal(f"{path.name}: not a cell and its evidence: {line}")
            found[name] = evidence
    return found


def unexpected(judgements: list[Judgement], cannot: dict[str, str]) -> list[str]:
    """Cells that are not as the list says, either way."""
    found = []
    for judgement in judgements:
        listed = judgement.cell.name in cannot
        if judgement.works and listed:
            found.append(f"{judgement.cell.name}: works, though the list says: {cannot[judgement.cell.name]}")
        elif not judgement.works and not listed:
            found.append(f"{judgement.cell.name}: {judgement.reason}")
    return found


def table(judgements: list[Judgement], cannot: dict[str, str]) -> str:
    head = ["peer", "authentication", "transport", "direction", *FUNCTIONS, "logs and wire"]
    rows = [head]
    for judgement in judgements:
        cell = judgement.cell
        who = cell.peer if OURS in (cell.near, cell.far) else f"{cell.near} -> {cell.far}"
        if not judgement.works and cell.name in cannot:
            marks = ["cannot"] * (len(FUNCTIONS) + 1)
        else:
            marks = ["FAILS" if judgement.functions.get(name) else "ok" for name in FUNCTIONS]
            marks.append("FAILS" if judgement.faults else "agree")
        rows.append([who, cell.authentication, cell.transport, cell.direction, *marks])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    return "\n".join("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip() for row in rows)

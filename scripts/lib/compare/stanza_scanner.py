# SPDX-License-Identifier: Apache-2.0
"""Finds the stanzas in the bytes of an XML stream, whatever pieces they come in.

What servers send is well-formed, without comments and CDATA; a parser of the standard library may keep a stanza back
until more bytes come (expat's deferral), and cannot be reset in the middle as STARTTLS wants it.
"""

import re
import xml.etree.ElementTree as ElementTree

# A tag with quoted values, in which there may be ">".
TAG = re.compile(rb"<(?:[^<>'\"]|'[^']*'|\"[^\"]*\")*>")
CLIENT = "{jabber:client}"


class StanzaScanner:
    def __init__(self):
        self.buffer = b""
        # What is looked at next, and where the stanza that has begun did so.
        self.position = self.start = 0
        self.depth = 0
        # The root's end tag has come.
        self.is_closed = False
        # The root's start tag.
        self.header = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The stanzas that are complete now, each with its tags."""
        self.buffer += data
        found = []
        while match := TAG.search(self.buffer, self.position):
            self.position = match.end()
            stanza = self.take(match)
            if stanza is not None:
                found.append(stanza)
        kept = self.start if self.depth > 1 else self.position
        self.buffer, self.position, self.start = self.buffer[kept:], self.position - kept, 0
        return found

    def take(self, match: re.Match) -> bytes | None:
        tag = match.group()
        if tag.startswith((b"<?", b"<!")):
            return None
        if tag.startswith(b"</"):
            self.depth -= 1
            self.is_closed = self.is_closed or self.depth == 0
            return self.buffer[self.start:match.end()] if self.depth == 1 else None
        if self.depth == 1:
            self.start = match.start()
        if tag.endswith(b"/>"):
            return tag if self.depth == 1 else None
        if self.depth == 0:
            self.header = tag
        self.depth += 1
        return None


def parse(stanza: bytes, header: bytes) -> ElementTree.Element:
    """The element, with the prefixes that its stream's root declares."""
    name = re.match(rb"<([^\s/>]+)", header).group(1)
    return ElementTree.fromstring(header + stanza + b"</" + name + b">")[0]


def local_name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def condition(element: ElementTree.Element) -> str:
    """Of a stanza's or a stream's error: the name of the first child of <error/>, or of the stream error itself."""
    error = element if local_name(element) == "error" else element.find("{*}error")
    return local_name(error[0]) if error is not None and len(error) else "no condition"

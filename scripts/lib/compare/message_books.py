# SPDX-License-Identifier: Apache-2.0
"""What became of each message of a comparison, from the records of the clients alone."""

import dataclasses


@dataclasses.dataclass
class Message:
    receiver: str
    sent_at: float
    # Said by the server: <a/> of XEP-0198, or where there is none the answer to a later ping of the same stream.
    is_accepted: bool = False
    # Answered with an error.
    is_refused: bool = False
    # The receiver's sessions, in order, that it came to: once, at best in the one that was open when it was sent.
    sessions: list[int] = dataclasses.field(default_factory=list)
    received_at: float | None = None
    # The receiver's session when it was sent; none: away.
    expected_session: int | None = None


@dataclasses.dataclass(frozen=True)
class Tally:
    """`live`: came to the session that was open when it was sent. `late`: to a later one only, so it had been stored."""

    sent: int = 0
    accepted: int = 0
    refused: int = 0
    live: int = 0
    late: int = 0
    # Accepted, not answered with an error, and never received.
    lost: int = 0
    # Likewise, but nobody said that they had been accepted.
    vanished: int = 0
    doubled: int = 0

    @property
    def wrong(self) -> int:
        """Of messages for people who were there: what did not come to the session that they had."""
        return self.late + self.lost + self.vanished


class MessageBooks:
    def __init__(self):
        self.messages: dict[str, Message] = {}

    def send(self, identifier: str, receiver: str, at: float, session: int | None) -> None:
        self.messages[identifier] = Message(receiver, at, expected_session=session)

    def accept(self, identifier: str) -> None:
        if message := self.messages.get(identifier):
            message.is_accepted = True

    def refuse(self, identifier: str) -> None:
        if message := self.messages.get(identifier):
            message.is_refused = True

    def receive(self, identifier: str, receiver: str, session: int, at: float) -> None:
        message = self.messages.get(identifier)
        if message and message.receiver == receiver:
            message.sessions.append(session)
            message.received_at = message.received_at or at

    def select(self, since: float = 0, before: float = float("inf")) -> list[Message]:
        return [message for message in self.messages.values() if since <= message.sent_at < before]

    def outstanding(self, since: float = 0) -> int:
        """What has neither come nor been refused."""
        return sum(not message.sessions and not message.is_refused for message in self.select(since))

    def tally(self, since: float = 0, before: float = float("inf")) -> Tally:
        """Of the messages of a time."""
        messages = self.select(since, before)
        gone = [message for message in messages if not message.sessions and not message.is_refused]
        came = [message for message in messages if message.sessions]
        live = sum(message.expected_session in (None, message.sessions[0]) for message in came)
        return Tally(
            sent=len(messages), accepted=sum(message.is_accepted for message in messages),
            refused=sum(message.is_refused for message in messages), live=live, late=len(came) - live,
            lost=sum(message.is_accepted for message in gone), vanished=sum(not message.is_accepted for message in gone),
            doubled=sum(len(message.sessions) > len(set(message.sessions)) for message in came),
        )

    def receivers_of_wrong(self, since: float = 0) -> set[str]:
        return {
            message.receiver for message in self.select(since) if not message.is_refused
            and (not message.sessions or message.expected_session not in (None, message.sessions[0]))
        }

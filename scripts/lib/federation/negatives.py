# SPDX-License-Identifier: Apache-2.0
"""What must be refused, and in which words: a stub plays peers that lie, are badly configured, or are not welcome.

Outgoing: our user writes to somebody at the stub and gets an error that names the cause. Incoming: the stub connects,
and gets a stream error. Each within a second of what is refused.
"""

import asyncio
import contextlib
import re
import time

import stage
from cells import SECOND, domain
from stub import Behaviour, StubStream, client_context, offers
from stub_stage import LABELS, WITHIN, Case, StubStage, ending, stanza
from xmpp_client import Ended

def refused_out(label: str, pattern: str, name: str, errors_at_peer: str = "") -> Case:
    """Our user is told why; where the peer is to be told too, in which words."""
    async def case(on: StubStage) -> tuple[bool, float | None, str]:
        said, seconds = await on.write_to(label)
        is_met = said is not None and seconds <= WITHIN and re.search(pattern, said, re.IGNORECASE) is not None
        is_met = is_met and not (label in on.servers and on.servers[label].stanzas)
        if errors_at_peer:
            await asyncio.sleep(0.1)
            heard = on.servers[label].errors
            is_met = is_met and any(re.search(errors_at_peer, error) for error in heard)
            said = f"{said}; the peer heard {heard}"
        return is_met, seconds, said or "nothing"
    return f"out: {name}", case


def accepted_out(label: str, name: str) -> Case:
    async def case(on: StubStage) -> tuple[bool, float | None, str]:
        started = time.monotonic()
        on.client.send_message(on.bob(label), f"to-{label}", f"to {label}")
        server = on.servers[label]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while not server.stanzas:
                    await asyncio.sleep(0.01)
        seconds = time.monotonic() - started
        return bool(server.stanzas) and seconds <= WITHIN, seconds, f"it got {len(server.stanzas)} after {server.methods}"
    return f"out: {name}", case


def refused_in(label: str, pattern: str, name: str) -> Case:
    """A stub with that certificate tries everything: EXTERNAL although it is not offered, and then dialback."""
    async def case(on: StubStage) -> tuple[bool, float | None, str]:
        started = time.monotonic()
        try:
            stream = await on.opener(label)
        except Ended as ended:
            # At the stream header already.
            said = str(ended)
        else:
            if offers(stream.features):
                return False, None, "EXTERNAL is offered"
            started = time.monotonic()
            stream.say_result("0" * 64)
            said = await ending(stream)
            stream.abort()
        seconds = time.monotonic() - started
        return bool(re.search(pattern, said, re.IGNORECASE)) and seconds <= WITHIN, seconds, said
    return f"in: {name}", case


# The cases

async def plain_stream(on: StubStage) -> tuple[bool, float | None, str]:
    stream = await on.opener("good", secured=False)
    await stream.begin()
    started = time.monotonic()
    stream.say_result("0" * 64)
    said = await ending(stream)
    stream.abort()
    seconds = time.monotonic() - started
    return "policy-violation" in said and seconds <= WITHIN, seconds, said


async def denied(on: StubStage) -> tuple[bool, float | None, str]:
    return await unwelcome(on, "denied", on.us, on.home)


async def unlisted(on: StubStage) -> tuple[bool, float | None, str]:
    to = domain(SECOND, "certificate", "starttls", "out")
    return await unwelcome(on, "unlisted", to, stage.address(SECOND))


async def unwelcome(on: StubStage, label: str, to: str, address: str) -> tuple[bool, float | None, str]:
    started = time.monotonic()
    try:
        stream = await on.opener(label, to=to, address=address)
        stream.say_external()
        said = await ending(stream)
    except Ended as ended:
        said = str(ended)
    seconds = time.monotonic() - started
    return "policy-violation: " in said and seconds <= WITHIN, seconds, said


async def wrong_key(on: StubStage) -> tuple[bool, float | None, str]:
    """The domain that is claimed says that the key is not its own."""
    stream = await on.opener("wrong-key")
    started = time.monotonic()
    stream.say_result("f" * 64)
    said = await ending(stream)
    seconds = time.monotonic() - started
    stream.send(stanza("wrong-key.stub.example", "wrong key", on.alice))
    await asyncio.sleep(0.3)
    stream.abort()
    is_met = "dialback invalid" in said and seconds <= WITHIN and "wrong key" not in on.received
    return is_met, seconds, said


async def foreign_key(on: StubStage) -> tuple[bool, float | None, str]:
    """We are asked to vouch for a key that is not ours."""
    stream = await on.opener("good")
    started = time.monotonic()
    stream.say_verify("a-stream-of-somebody", "f" * 64)
    answer = await stream.next_named("verify", seconds=5)
    stream.abort()
    seconds = time.monotonic() - started
    return answer.get("type") == "invalid" and seconds <= WITHIN, seconds, f"verify {answer.get('type')}"


async def unsolicited_result(on: StubStage) -> tuple[bool, float | None, str]:
    """Who connects tells us that its own domain is valid (CVE-2012-3525)."""
    stream = await on.opener("evil")
    started = time.monotonic()
    stream.say_result("", sender=on.us, to="evil.stub.example", kind="valid")
    stream.say_result("", sender="evil.stub.example", to=on.us, kind="valid")
    stream.send(stanza("evil.stub.example", "unsolicited result", on.alice))
    return await nothing_heard(on, stream, started, "unsolicited result")


async def unsolicited_verify(on: StubStage) -> tuple[bool, float | None, str]:
    """A link that we have opened to one domain brings the word that another one's key is right (CVE-2012-3525)."""
    evil = on.servers["evil"]
    spoken: list[StubStream] = []
    evil.behaviour = Behaviour(meets=lambda stream, element: spoken.append(stream) or False)
    stream = StubStream("victim.stub.example", on.us)
    await stream.dial(on.home)
    await stream.secure(client_context(on.pairs["evil"]))
    identifier = (await stream.header()).get("id", "")
    stream.say_result("0" * 64)
    on.client.send_message("bob@evil.stub.example", "to-evil", "to evil")
    await asyncio.sleep(0.5)
    if not spoken:
        return False, None, "we opened no link to the attacker"
    started = time.monotonic()
    for link in set(spoken):
        link.say_verify(identifier, "", "victim.stub.example", on.us, "valid")
        link.say_result("", "victim.stub.example", on.us, "valid")
    await asyncio.sleep(0.2)
    stream.send(stanza("victim.stub.example", "unsolicited verify", on.alice))
    return await nothing_heard(on, stream, started, "unsolicited verify")


async def nothing_heard(on: StubStage, stream: StubStream, started: float, body: str) -> tuple[bool, float | None, str]:
    said = await ending(stream)
    seconds = time.monotonic() - started
    stream.abort()
    await asyncio.sleep(0.2)
    if body in on.received:
        return False, seconds, "the message was delivered"
    return bool(said) and not said.startswith("closed") and seconds <= WITHIN, seconds, said or "no error"


async def spoofed(on: StubStage) -> tuple[bool, float | None, str]:
    stream = await on.authenticated("good")
    started = time.monotonic()
    stream.send(stanza("other.stub.example", "spoofed", on.alice))
    said = await ending(stream)
    seconds = time.monotonic() - started
    stream.abort()
    return "invalid-from" in said and seconds <= WITHIN and "spoofed" not in on.received, seconds, said


async def not_ours(on: StubStage) -> tuple[bool, float | None, str]:
    stream = await on.authenticated("good")
    started = time.monotonic()
    stream.send(stanza("good.stub.example", "relay", "somebody@third.example"))
    said = await ending(stream)
    seconds = time.monotonic() - started
    stream.abort()
    return bool(re.search("host-unknown|improper-addressing", said)) and seconds <= WITHIN, seconds, said


async def our_own_name(on: StubStage) -> tuple[bool, float | None, str]:
    """Somebody claims to be one of our domains."""
    stream = StubStream(domain(on.target.name, "dialback", "starttls", "out"), on.us)
    await stream.dial(on.home)
    started = time.monotonic()
    try:
        await stream.secure(client_context(on.pairs["good"]))
        stream.say_result("0" * 64)
        said = await ending(stream)
    except Ended as ended:
        said = str(ended)
    seconds = time.monotonic() - started
    stream.abort()
    refused = re.search("invalid-from|not-authorized|policy-violation|conflict", said)
    return bool(refused) and seconds <= WITHIN, seconds, said


def accepted_in(label: str, name: str) -> Case:
    async def case(on: StubStage) -> tuple[bool, float | None, str]:
        started = time.monotonic()
        stream = await on.authenticated(label)
        body = f"from {label}"
        stream.send(stanza(LABELS[label].name, body, on.alice))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while body not in on.received:
                    await asyncio.sleep(0.01)
        stream.abort()
        seconds = time.monotonic() - started
        return body in on.received and seconds <= WITHIN, seconds, "EXTERNAL, and the message came"
    return f"in: {name}", case


REFUSED_BY_POLICY = "policy-violation|not-authorized"
CASES: list[Case] = [
    accepted_out("strict-good", "a good peer"), accepted_in("strict-good", "a good peer"),
    refused_out("no-tls", "encryption", "no TLS, while it is required", "policy-violation"),
    ("in: no TLS, while it is required", plain_stream),
    refused_out("wrong-name", "certificate", "a wrong name in the certificate"),
    refused_in("wrong-name", REFUSED_BY_POLICY, "a wrong name in the certificate"),
    refused_out("expired", "expired", "an expired certificate"), refused_in("expired", REFUSED_BY_POLICY, "an expired certificate"),
    refused_out("self-signed", "self-signed", "a self-signed certificate, while those are refused"),
    refused_in("self-signed", REFUSED_BY_POLICY, "a self-signed certificate, while those are refused"),
    refused_out("unknown-ca", "certificate.*(unknown|trust|issuer|authority)|(unknown|trust|issuer|authority).*certificate",
                "an unknown authority"),
    refused_in("unknown-ca", REFUSED_BY_POLICY, "an unknown authority"),
    refused_out("denied", "allow|denied|deny|policy", "a domain on the denied list"), ("in: a domain on the denied list", denied),
    ("in: a domain that is not on the allowed list", unlisted),
    refused_out("refusing", "dialback", "dialback is answered with invalid"),
    ("in: dialback with a wrong key", wrong_key), ("in: a key to vouch for that is not ours", foreign_key),
    ("in: an unsolicited dialback result", unsolicited_result), ("in: an unsolicited dialback answer on our link", unsolicited_verify),
    ("in: a spoofed from", spoofed), ("in: a stanza that is not for us", not_ours), ("in: one of our own domains", our_own_name),
    refused_out("client-only", "certificate|purpose|usage", "a certificate for clients only, shown by a server"),
    accepted_in("client-only", "a certificate for clients only, shown by who connects"),
    accepted_out("server-only", "a certificate for servers only"), accepted_in("server-only", "a certificate for servers only"),
]

# SPDX-License-Identifier: Apache-2.0
"""How a peer is found and what a stream can carry beyond the matrix; the stub is the peer, and this time a good one."""

import asyncio
import contextlib
import time

from negatives import accepted_out, refused_out
from stanza_scanner import local_name
from stub import described
from stub_stage import LABELS, WITHIN, Case, StubStage, stanza

BIDI, BIDI_FEATURE, SM = "urn:xmpp:bidi", "urn:xmpp:features:bidi", "urn:xmpp:sm:3"


async def heard(on: StubStage, body: str) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while body not in on.received:
                await asyncio.sleep(0.01)
    return body in on.received


async def without_dialback(on: StubStage) -> tuple[bool, float | None, str]:
    """The certificate proves the name, so a key is not looked at (XEP-0220, 2.5: dialback without dialback)."""
    before = len(on.servers["strict-good"].streams)
    stream = await on.opener("strict-good")
    started = time.monotonic()
    stream.say_result("no key at all")
    answer = await stream.next_named("result", seconds=5)
    seconds = time.monotonic() - started
    stream.abort()
    asked = len(on.servers["strict-good"].streams) - before
    is_met = answer.get("type") == "valid" and not asked and seconds <= WITHIN
    return is_met, seconds, f"result {answer.get('type')}, {asked} connections to ask"


async def second_pair(on: StubStage) -> tuple[bool, float | None, str]:
    """A stream that is one domain's becomes that of another one too, by dialback (XEP-0220, 2.6)."""
    stream = await on.authenticated("good")
    other = LABELS["plain"].name
    started = time.monotonic()
    stream.say_result("0" * 64, sender=other)
    answer = await stream.next_named("result", seconds=5)
    seconds = time.monotonic() - started
    for name in (other, "good.stub.example"):
        stream.send(stanza(name, f"pair {name}", on.alice))
    came = [await heard(on, f"pair {name}") for name in (other, "good.stub.example")]
    stream.abort()
    return answer.get("type") == "valid" and all(came) and seconds <= WITHIN, seconds, f"result {answer.get('type')}, {came}"


async def both_ways(on: StubStage) -> tuple[bool, float | None, str]:
    """The answer to somebody whom DNS does not know comes back on the stream that they opened (XEP-0288)."""
    stream = await on.opener("both-ways")
    if stream.features.find(f"{{{BIDI_FEATURE}}}bidi") is None:
        return False, None, "it is not offered"
    stream.send(f"<bidi xmlns='{BIDI}'/>")
    await stream.authenticate()
    stream.send(stanza("both-ways.stub.example", "both ways", on.alice))
    if not await heard(on, "both ways"):
        return False, None, "nothing came in"
    started = time.monotonic()
    on.client.send_message(on.bob("both-ways"), "to-both-ways", "and back")
    answer = await stream.next_named("message", seconds=5)
    seconds = time.monotonic() - started
    stream.abort()
    return body_of_server(answer) == "and back" and seconds <= WITHIN, seconds, "it came back on the same stream"


def body_of_server(message) -> str:
    return message.findtext("{jabber:server}body", "")


async def counted(on: StubStage) -> tuple[bool, float | None, str]:
    """Stanzas are acknowledged when they are settled (XEP-0198)."""
    stream = await on.authenticated("good")
    if stream.features.find(f"{{{SM}}}sm") is None:
        return False, None, "it is not offered"
    stream.send(f"<enable xmlns='{SM}' resume='true'/>")
    enabled = await stream.next_named("enabled", seconds=5)
    for number in range(3):
        stream.send(stanza("good.stub.example", f"counted {number}", on.alice))
    started, handled = time.monotonic(), ""
    while handled != "3" and time.monotonic() < started + 5:
        stream.send(f"<r xmlns='{SM}'/>")
        handled = (await stream.next_named("a", seconds=5)).get("h", "")
    seconds = time.monotonic() - started
    stream.abort()
    return handled == "3" and seconds <= WITHIN, seconds, f"h={handled}, resumption: {enabled.get('resume')}"


async def resumed(on: StubStage) -> tuple[bool, float | None, str]:
    """A stream that broke goes on, with what was sent again taken once (XEP-0198, 5)."""
    stream = await on.authenticated("good")
    stream.send(f"<enable xmlns='{SM}' resume='true'/>")
    identifier = (await stream.next_named("enabled", seconds=5)).get("id")
    if not identifier:
        return False, None, "there is no resumption"
    stream.send(stanza("good.stub.example", "before the break", on.alice))
    if not await heard(on, "before the break"):
        return False, None, "nothing came"
    stream.abort()
    started = time.monotonic()
    again = await on.authenticated("good")
    again.send(f"<resume xmlns='{SM}' h='0' previd='{identifier}'/>")
    answer = await again.next_named("resumed", "failed", seconds=5)
    seconds = time.monotonic() - started
    if answer.get("h") == "0":
        # It is delivered and not settled yet: it comes again, and must be known.
        again.send(stanza("good.stub.example", "before the break", on.alice))
    again.send(stanza("good.stub.example", "behind the break", on.alice))
    has_come = await heard(on, "behind the break")
    again.abort()
    times = on.received.count("before the break")
    is_met = local_name(answer) == "resumed" and has_come and times == 1 and seconds <= WITHIN
    return is_met, seconds, f"{local_name(answer)} h={answer.get('h')}, what was before it came {times} times"


async def nobody_there(on: StubStage) -> tuple[bool, float | None, str]:
    """Messages wait for a peer that is away; who asks something is told at once."""
    started = time.monotonic()
    answer = await on.client.request("<ping xmlns='urn:xmpp:ping'/>", to=LABELS["closed"].name, seconds=5)
    seconds = time.monotonic() - started
    said = described(answer)
    return answer.get("type") == "error" and "refused" in said and seconds <= WITHIN, seconds, said


CASES: list[Case] = [
    accepted_out("plain", "no SRV record, an address alone"), accepted_out("second", "the first of two targets is closed"),
    accepted_out("dead6", "an IPv6 address that leads nowhere beside one of IPv4"), accepted_out("bücher", "an international name"),
    accepted_out("raced", "a host that leads nowhere beside another one of its priority"),
    accepted_out("dane", "a self-signed certificate that DANE proves"),
    refused_out("other-tlsa", "DANE|TLSA", "a good certificate that is not the one of TLSA"),
    refused_out("bogus", "DNSSEC|bogus|secure", "a name whose signature is wrong"),
    refused_out("unsigned", "DANE|TLSA|DNSSEC", "DANE is required, and the zone is not signed"),
    ("out: nobody listens", nobody_there),
    refused_out("not-offered", "offer|service|SRV", "the domain says that it has no such service"),
    refused_out("nowhere", "DNS|exist|found|name", "a domain that does not exist"),
    ("in: dialback without dialback", without_dialback), ("in: a second domain pair on a stream", second_pair),
    ("in: a stream for both directions", both_ways), ("in: stanzas are counted", counted), ("in: a broken stream is resumed", resumed),
]

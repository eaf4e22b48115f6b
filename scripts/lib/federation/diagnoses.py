# SPDX-License-Identifier: Apache-2.0
"""What `jackdawctl s2s` tells the operator: of links that are there, and step by step why one cannot be."""

import asyncio
import contextlib
import hashlib
import json
import re
import ssl
import time

from stub_stage import LABELS, Case, StubStage

Answer = tuple[bool, float | None, str]


async def ask(on: StubStage, *words: str) -> tuple[int, str]:
    """Exit code and output of our tool; the stub is still there meanwhile."""
    result = await asyncio.to_thread(on.target.call, "jackdawctl", "s2s", *words, check=False)
    return result.returncode, result.stdout.strip()


async def rows(on: StubStage, domain: str = "") -> list[dict]:
    code, said = await ask(on, *(["show", domain] if domain else ["list"]), "--json")
    return json.loads(said) if code == 0 else []


async def until(judge, seconds: float = 5):
    """What the judge gives, as soon as that is something."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while not (found := await judge()):
                await asyncio.sleep(0.1)
            return found
    return None


# Links

def fingerprint(on: StubStage, label: str) -> str:
    """SHA-256 of its certificate, the first of the file, in pairs of digits."""
    der = ssl.PEM_cert_to_DER_cert(on.pairs[label].certificate.read_text(encoding="ascii"))
    return hashlib.sha256(der).digest().hex(":").upper()


def is_good(row: dict, **expected) -> str:
    """What in a row of a link is not as it must be; empty: nothing."""
    wrong = [f"{name}: {row.get(name)!r}" for name, value in expected.items() if row.get(name) != value]
    if not 28 <= row.get("days_left", -1) <= 30:
        wrong.append(f"days_left: {row.get('days_left')!r}")
    return ", ".join(wrong)


async def shown_out(on: StubStage) -> Answer:
    """A link that we opened, with its certificate."""
    domain = LABELS["strict-good"].name
    on.client.send_message(on.bob("strict-good"), "to-show", "to show")
    async def ready() -> dict | None:
        return next((row for row in await rows(on, domain) if row["state"] == "ready" and row["direction"] == "out"), None)
    row = await until(ready)
    if not row:
        return False, None, f"no link: {await rows(on, domain)}"
    wrong = is_good(
        row, domain=domain, local=on.us, transport="starttls", tls="TLSv1.3", authentication="certificate", queued=0, last_error="",
        certificate=fingerprint(on, "strict-good"), certificate_fault="", instance="s2s-1",
    )
    is_listed = any(row["domain"] == domain for row in await rows(on))
    return not wrong and is_listed, None, wrong or f"{row['tls']}, by {row['authentication']}, {row['days_left']} days left"


async def shown_in(on: StubStage) -> Answer:
    """A link that the peer opened; its certificate proves nothing, so dialback did."""
    stream = await on.opener("dials-back")
    stream.say_result("0" * 64)
    await stream.next_named("result", seconds=5)
    async def there() -> list[dict]:
        return [row for row in await rows(on, LABELS["dials-back"].name) if row["direction"] == "in"]
    found = await until(there)
    stream.abort()
    if not found:
        return False, None, "no link"
    wrong = is_good(
        found[0], state="ready", transport="starttls", tls="TLSv1.3", authentication="dialback",
        certificate=fingerprint(on, "dials-back"),
    )
    if not re.search("signed by itself", found[0].get("certificate_fault", "")):
        wrong += f", certificate_fault: {found[0].get('certificate_fault')!r}"
    return not wrong, None, wrong or f"by {found[0]['authentication']}: its certificate {found[0]['certificate_fault']}"


async def queue_shown(on: StubStage) -> Answer:
    """What waits for a peer that is not there, why, and when it is tried again."""
    domain = LABELS["closed"].name
    on.client.send_message(on.bob("closed"), "to-wait", "to wait")
    async def waiting() -> dict | None:
        return next((row for row in await rows(on, domain) if row["state"].startswith("retry in")), None)
    row = await until(waiting)
    if not row:
        return False, None, f"{await rows(on, domain)}"
    is_met = row["queued"] >= 1 and row["queued_bytes"] > 0 and "the connection is refused" in row["last_error"]
    return is_met, None, f"{row['queued']} waits, {row['state']}: {row['last_error']}"


async def closed(on: StubStage) -> Answer:
    """The link ends at the peer too, and what comes then opens another one."""
    domain, server = LABELS["strict-good"].name, on.servers["strict-good"]
    code, said = await ask(on, "close", domain, "--json")
    count = json.loads(said).get("closed", 0) if code == 0 else 0
    async def gone() -> bool:
        return not await rows(on, domain)
    if not count or not await until(gone, 8):
        return False, None, f"{said}; there is {await rows(on, domain)}"
    before = len(server.stanzas)
    on.client.send_message(on.bob("strict-good"), "to-open-again", "to open again")
    async def has_come() -> bool:
        return len(server.stanzas) > before
    has_another = bool(await until(has_come))
    return has_another, None, f"closed {count}, and another one was opened: {has_another}"


async def unknown_domain(on: StubStage) -> Answer:
    code, said = await ask(on, "show", "never.stub.example")
    return code == 0 and said == "there is no link to never.stub.example", None, said


# Tests

def diagnosed(label: str, name: str, *patterns: str) -> Case:
    """`s2s test` says these things in this order, of which the last is the outcome."""
    async def case(on: StubStage) -> Answer:
        started = time.monotonic()
        domain = LABELS[label].name if label in LABELS else f"{label}.stub.example"
        code, said = await ask(on, "test", domain, "--timeout", "6")
        seconds = time.monotonic() - started
        lines = said.splitlines()
        rest = iter(lines)
        is_met = all(any(re.search(pattern, line) for line in rest) for pattern in patterns)
        is_met = is_met and bool(lines) and re.search(patterns[-1], lines[-1]) is not None
        return is_met and (code == 0) == lines[-1].startswith("good"), seconds, " | ".join(lines)
    return f"test: {name}", case


FOUND, CONNECTED, TLS = "^SRV .*: 0 5 5269 ", "^connected to .* at 127", "^TLS: TLSv1.3"
CASES: list[Case] = [
    ("list and show: a link that we opened", shown_out), ("show: a link that a peer opened", shown_in),
    ("show: what waits for a peer that is away", queue_shown), ("close: a link", closed), ("show: no link", unknown_domain),
    diagnosed("strict-good", "a good one, by certificate", FOUND, CONNECTED, TLS, "^certificate: it proves", "^SASL EXTERNAL: .* took",
              "^good: .* can be written to"),
    diagnosed("dials-back", "a good one, by dialback", FOUND, CONNECTED, TLS, "^certificate: it is signed by itself", "^dialback: .* took our key",
              "^good: "),
    diagnosed("nowhere", "not in DNS", "^SRV .*: none", "there is no SRV record", "^failed: nowhere.stub.example is not in DNS"),
    diagnosed("not-offered", "a domain without such a service", "^failed: .* says in DNS that it has no XMPP server"),
    diagnosed("closed", "nobody listens", "^SRV .* 5998 ", ":5998: the connection is refused", "^failed: .*the connection is refused"),
    diagnosed("wrong-name", "a wrong name in the certificate", FOUND, CONNECTED, TLS, "^certificate: it .*(name|not for)",
              "^failed: .*certificate.*(name|not for)"),
    diagnosed("expired", "an expired certificate", FOUND, CONNECTED, TLS, "^certificate: it .*expired", "^failed: .*expired"),
    diagnosed("self-signed", "a self-signed certificate, while those are refused", CONNECTED, TLS, "^failed: .*does not trust.*signed by itself"),
    diagnosed("unknown-ca", "an unknown authority", CONNECTED, TLS, "^failed: .*certificate"),
    diagnosed("no-tls", "no TLS, while it is required", CONNECTED, "^TLS: the peer offers none", "^failed: .*offers no encryption"),
    diagnosed("refusing", "dialback is answered with invalid", CONNECTED, TLS, "^failed: .*dialback"),
    diagnosed("other-tlsa", "a certificate that is not the one of TLSA", "^TLSA .*proved by DNSSEC", TLS, "^failed: .*(TLSA|DANE)"),
    diagnosed("bogus", "a name whose signature is wrong", "^failed: .*DNSSEC"),
    diagnosed("denied", "a domain on the denied list", "^refused: this server does not federate with denied.stub.example"),
    diagnosed("silent", "a peer that says nothing", CONNECTED, "^failed: .* within 4 s"),
]

# SPDX-License-Identifier: Apache-2.0
"""Row 5: an external component with a secret of its own tries what is not its own."""

import asyncio

from contenders import Contender
from logins import logged_in
from outcome import Outcome, Scale, running
from stanza_scanner import condition
from xmpp_client import Component, Ended, is_error

PEOPLE = 12


def hijack(contender: Contender, _scale: Scale) -> Outcome:
    """an external component tries the SM's domain, another component's name, a foreign `from`"""
    with running(contender, PEOPLE):
        details = asyncio.run(try_everything(contender))
    done = "a component with its own valid secret tries the SM's domain, the name of another component that is there, a foreign `from`"
    domain, name, foreign = details["domain"], details["name"], details["from"]
    figure = (
        f"domain: {domain['answer']}, {domain['stolen']} of {PEOPLE} messages between users came to it; name: {name['answer']}, "
        f"{name['stolen']} of {PEOPLE} messages for that one; `from`: {foreign['answer']}, {foreign['delivered']} delivered"
    )
    return Outcome(done, figure, not (domain["stolen"] or name["stolen"] or foreign["delivered"]), details)


async def try_everything(contender: Contender) -> dict:
    people = [await logged_in(contender, number) for number in range(1, PEOPLE + 1)]
    inboxes: list[list] = [[] for _ in people]
    for person, inbox in zip(people, inboxes):
        person.on_message = inbox.append
    beta = f"beta.{contender.domain}"
    rightful = await component(contender, beta, "beta")
    try:
        return {
            "from": await foreign_from(contender, people[0], inboxes[0]),
            "name": await steal(contender, beta, people, [f"bot{number}@{beta}" for number in range(PEOPLE)]),
            "domain": await steal(contender, contender.domain, people, [person.jid for person in people[1:] + people[:1]]),
        }
    finally:
        for connection in (rightful, *people):
            connection.abort()


async def component(contender: Contender, name: str, secret: str) -> Component:
    made = Component(name)
    try:
        await made.log_in(contender.host, contender.router_port, contender.secret(secret))
    except BaseException:
        made.abort()
        raise
    return made


async def steal(contender: Contender, name: str, people: list, addresses: list[str]) -> dict:
    """Binds a name with alpha's secret; then a message for each address of that name is written."""
    thief, answer = None, "accepted"
    try:
        thief = await component(contender, name, "alpha")
    except Ended as ended:
        answer = f"`{ended}`"
    for number, (person, address) in enumerate(zip(people, addresses)):
        person.send_message(address, f"h{number}")
    await asyncio.sleep(2)
    stolen = len(thief.received_messages) if thief else 0
    if thief:
        thief.abort()
        await asyncio.sleep(1)
    return {"answer": answer, "stolen": stolen}


async def foreign_from(contender: Contender, victim, inbox: list) -> dict:
    """As another component, as the domain and as a user, each on a connection of its own: it may end by that."""
    delivered, answers = 0, set()
    foreign = (f"bot@beta.{contender.domain}", contender.domain, f"chaos2@{contender.domain}/here")
    for sender in foreign:
        liar = await component(contender, f"alpha.{contender.domain}", "alpha")
        inbox.clear()
        reply = liar.expect(lambda element: is_error(element) or element.tag.endswith("}error"))
        liar.send(f"<message from='{sender}' to='{victim.jid}' id='lie'><body>x</body></message>")
        try:
            element = await liar.wait(reply, 2)
            swapped = "" if element.get("to") in (None, sender) else ", its addresses not swapped"
            answers.add(f"`{condition(element)}`{swapped}")
        except Ended as ended:
            answers.add(str(ended))
        delivered += sum(message.get("id") == "lie" and not is_error(message) for message in inbox)
        liar.abort()
        await asyncio.sleep(0.5)
    return {"answer": " and ".join(sorted(answers)), "delivered": delivered, "tried": len(foreign)}

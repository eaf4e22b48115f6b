# SPDX-License-Identifier: Apache-2.0
"""Foreign input that no server should fall over: stanzas that are nearly right, and bytes that are nothing at all."""

import random

PATTERNS = [
    "<message to='{to}' id='f{n}' type='chat'><body>{text}</body></message>",
    "<message from='{to}' id='f{n}'><body>{text}</body><x xmlns='jabber:x:delay' stamp='{text}'/></message>",
    "<presence to='{to}' type='subscribe' id='f{n}'><status>{text}</status><priority>{n}</priority></presence>",
    "<presence><show>{text}</show><c xmlns='http://jabber.org/protocol/caps' ver='{text}'/></presence>",
    "<iq type='get' id='f{n}' to='{to}'><query xmlns='http://jabber.org/protocol/disco#info' node='{text}'/></iq>",
    "<iq type='set' id='f{n}'><query xmlns='jabber:iq:roster'><item jid='{to}' name='{text}'/></query></iq>",
    "<iq type='set' id='f{n}'><vCard xmlns='vcard-temp'><FN>{text}</FN><PHOTO><BINVAL>{text}</BINVAL></PHOTO></vCard></iq>",
    "<iq type='set' id='f{n}'><query xmlns='jabber:iq:private'><a xmlns='urn:{n}'>{text}</a></query></iq>",
    "<iq type='result' id='f{n}'/>",
    "<r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='{n}'/>",
    "<stream:features/><a xmlns='urn:{n}' b='{text}'><b><c/></b></a>",
]
TEXTS = [
    "", "x", "&amp;&lt;&#x41;", "&undefined;", "\u00e9\u4e2d\U0001f600", "'\"", "]]>", "a" * 3000, "&#0;", "\x01", "%s%n%d",
    "'; select 1; --", "../" * 20,
]
ADDRESSES = ["{domain}", "nobody@{domain}", "@", "a@b@c", "/", "{domain}/", "\u00fc" * 200 + "@{domain}", "nowhere.invalid", ""]


def stanza(generator: random.Random, domain: str) -> bytes:
    """One of the patterns with odd contents; of three one is damaged besides."""
    text = generator.choice(PATTERNS).format(
        to=generator.choice(ADDRESSES).format(domain=domain), n=generator.randrange(-1, 1 << 33), text=generator.choice(TEXTS),
    ).encode("utf-8", "surrogatepass")
    return damaged(generator, text) if generator.random() < 1 / 3 else text


def damaged(generator: random.Random, text: bytes) -> bytes:
    """With some bytes changed, left out, repeated or cut off."""
    changed = bytearray(text)
    for _ in range(generator.randrange(1, 5)):
        if not changed:
            break
        place = generator.randrange(len(changed))
        match generator.randrange(4):
            case 0:
                changed[place] = generator.randrange(256)
            case 1:
                del changed[place:place + generator.randrange(1, 9)]
            case 2:
                changed[place:place] = changed[place:place + 20]
            case 3:
                del changed[place:]
    return bytes(changed)


def noise(generator: random.Random) -> bytes:
    """Nothing of XMPP."""
    return generator.randbytes(generator.randrange(1, 600))

// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML
import XMPPCore

@testable import SM

/// XEP-0160 §3, XEP-0334 §4, RFC 6121 §8.5.2.2.1.
@Suite struct OfflinePolicyTests {
    private static let state = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
    private static let noStore = "<no-store xmlns='urn:xmpp:hints'/>"
    private static let noCopy = "<no-copy xmlns='urn:xmpp:hints'/>"
    private static let ids =
        "<stanza-id xmlns='urn:xmpp:sid:0' by='a@b' id='1'/><origin-id xmlns='urn:xmpp:sid:0' id='2'/>"
    private static let receipt = "<received xmlns='urn:xmpp:receipts' id='1'/>"
    private static let marker = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"

    @Test(
        "Only chat states by themselves, and what asks for it, are not stored",
        arguments: [
            ("chat", "<body>x</body>", true), ("normal", "<body>x</body>", true),
            ("chat", state, false), ("chat", state + ids, false), ("chat", state + "<thread>1</thread>", false),
            ("chat", state + noCopy, false), ("chat", noCopy, false), ("normal", noCopy, false),
            ("chat", "<body>x</body>" + state, true), ("normal", state, true),
            ("chat", receipt, true), ("chat", receipt + ids, true), ("chat", marker, true), ("normal", marker, true),
            ("chat", receipt + state, true),
            ("normal", "", true), ("chat", "", true), ("normal", ids, true), ("normal", "<thread>1</thread>", true),
            ("chat", "<body>x</body>" + noStore, false), ("normal", receipt + noStore, false),
            ("chat", state + "<store xmlns='urn:xmpp:hints'/>", true),
        ]
    )
    func policy(type: String, payload: String, isStored: Bool) throws {
        let stanza = try World.stanza("<message type='\(type)'>\(payload)</message>")
        #expect(OfflinePolicy.isStored(stanza) == isStored)
    }
}

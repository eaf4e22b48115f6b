// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import Load

@Suite struct SessionBooksTests {
    private func message(_ number: Int) -> SessionBooks.Entry { .message(MessageReference(pair: 0, number: number)) }

    @Test("An h acknowledges what came before it, once")
    func acknowledge() {
        var books = SessionBooks(ordinal: 1, token: "t")
        for number in 0..<3 { books.send(message(number)) }
        books.send(.other("<presence/>"))
        #expect(books.sent == 4)
        #expect(books.acknowledge(2) == [message(0), message(1)])
        #expect(books.acknowledge(2) == [])
        #expect(books.sent == 4)
        #expect(Array(books.unacknowledged) == [message(2), .other("<presence/>")])
    }

    @Test("An h that goes back, or beyond what was sent, is none", arguments: [1, 5, UInt32.max])
    func impossible(_ h: UInt32) {
        var books = SessionBooks(ordinal: 1, token: "t")
        for number in 0..<4 { books.send(message(number)) }
        #expect(books.acknowledge(2)?.count == 2)
        #expect(books.acknowledge(h) == nil)
        #expect(books.unacknowledged.count == 2)
    }
}

@Suite struct ChaosMarkTests {
    private func arrived(_ text: String) -> ArrivedMessage.Content? {
        var scanner = StanzaScanner()
        scanner.receive(ByteBuffer(string: "<stream>\(text)"))
        guard case .stanza(let stanza) = scanner.next() else { return nil }
        return ArrivedMessage(stanza).content
    }

    private let message = MessageReference(pair: 3, number: 41)

    @Test("A message says which it is, and its copy in the same session is the same")
    func stanza() {
        let text = ChaosMark(message, session: 2).stanza(to: "bob@localhost", padding: "xxx")
        #expect(arrived(text) == .message(message, senderSession: 2, stableID: nil))
        #expect(text.contains("id='3-41'"))
    }

    @Test(
        "The stable id is that of the element",
        arguments: ["id='s-7' by='bob@localhost'", "by=\"bob@localhost\" id=\"s-7\""]
    )
    func stableID(_ attributes: String) {
        let text =
            "<message from='a@b/c' id='3-41'><body>3-41-2 x</body><stanza-id xmlns='urn:xmpp:sid:0' \(attributes)/></message>"
        #expect(arrived(text) == .message(message, senderSession: 2, stableID: "s-7"))
    }

    @Test("An error names its condition")
    func error() {
        let text =
            "<message type='error' id='3-41'><body>3-41-2 x</body><error type='wait'>"
            + "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
        #expect(arrived(text) == .error(message, condition: "resource-constraint"))
    }

    @Test(
        "What is none of the run's is foreign",
        arguments: [
            "<body>hello</body>", "<body>1-2</body>", "<body>+1-2-3</body>", "<body>1--2-3</body>", "<subject/>", "",
        ]
    )
    func foreign(_ content: String) {
        #expect(arrived("<message id='3-41'>\(content)</message>") == .foreign)
    }
}

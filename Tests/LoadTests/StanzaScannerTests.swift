// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import Load

@Suite struct StanzaScannerTests {
    private static let stream = """
        <?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' \
        version='1.0'><stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>
         <message id='12-3456' type="chat" to='a>b'><body>1 > 0 &lt; <![CDATA[</body>]]></body></message>\
        <presence/><r xmlns='urn:xmpp:sm:3'/><iq type='get'\tid = 'x'><q a='/>'/></iq></stream:stream>
        """

    private func scan(_ pieces: [ArraySlice<UInt8>]) -> [String] {
        var scanner = StanzaScanner()
        var found: [String] = []
        for piece in pieces {
            scanner.receive(ByteBuffer(bytes: piece))
            while let event = scanner.next() {
                switch event {
                case .stanza(let stanza): found.append(stanza.text)
                case .streamEnd: found.append("end")
                }
            }
        }
        return found
    }

    @Test("A stream falls into the children of its root")
    func children() {
        let found = scan([Array(Self.stream.utf8)[...]])
        #expect(
            found == [
                "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
                "<message id='12-3456' type=\"chat\" to='a>b'><body>1 > 0 &lt; <![CDATA[</body>]]></body></message>",
                "<presence/>", "<r xmlns='urn:xmpp:sm:3'/>", "<iq type='get'\tid = 'x'><q a='/>'/></iq>", "end",
            ]
        )
    }

    @Test("It does not matter where the bytes are cut", arguments: [1, 2, 3, 7, 50])
    func pieces(size: Int) {
        let bytes = Array(Self.stream.utf8)
        let cut = stride(from: 0, to: bytes.count, by: size).map { bytes[$0..<min($0 + size, bytes.count)] }
        #expect(scan(cut) == scan([bytes[...]]))
    }

    @Test("After a restart a new stream is read")
    func restart() {
        var scanner = StanzaScanner()
        scanner.receive(ByteBuffer(string: "<stream><success/>"))
        #expect(scanner.next() != nil)
        scanner.restart()
        scanner.receive(ByteBuffer(string: "<stream><features/>"))
        guard case .stanza(let stanza) = scanner.next() else {
            Issue.record("no element")
            return
        }
        #expect(stanza.name == "features")
    }
}

@Suite struct ReceivedStanzaTests {
    private func stanza(_ text: String) -> ReceivedStanza {
        ReceivedStanza(
            bytes: ByteBuffer(string: text),
            tagLength: (text.firstIndex(of: ">")?.utf16Offset(in: text) ?? 0) + 1
        )
    }

    @Test("The start tag says what it is")
    func kinds() {
        #expect(stanza("<message/>").kind == .message)
        #expect(stanza("<presence type='x'/>").kind == .presence)
        #expect(stanza("<iq></iq>").kind == .iq)
        #expect(stanza("<a xmlns='urn:xmpp:sm:3' h='1'/>").kind == .acknowledgement)
        #expect(stanza("<r/>").kind == .acknowledgementRequest)
        #expect(stanza("<messages/>").kind == .other)
        #expect(stanza("<stream:error/>").name == "error")
    }

    @Test("Attributes are found by their whole names")
    func attributes() {
        let message = stanza("<message xml:id='no' from='a@b' id='7-9' type='chat'><body id='8-9'>x</body></message>")
        #expect(message["id"] == "7-9")
        #expect(message["from"] == "a@b")
        #expect(message["to"] == nil)
        #expect(message.has("type", "chat"))
        #expect(!message.has("type", "cha"))
        #expect(message.marker(in: "id") == Marker(number: 7, time: 9))
        #expect(message.marker(in: "from") == nil)
    }

    @Test("Content is the text up to the next tag")
    func content() {
        #expect(stanza("<challenge xmlns='x'>abc=</challenge>").content == "abc=")
        #expect(stanza("<success/>").content == "")
        #expect(stanza("<presence><status>3-4</status></presence>").markerInFirstChild() == Marker(number: 3, time: 4))
        #expect(stanza("<presence><show>away</show></presence>").markerInFirstChild() == nil)
        #expect(stanza("<presence/>").markerInFirstChild() == nil)
    }

    @Test("A marker reads what it wrote", arguments: [0, 9, 10, 1_234_567_890_123])
    func markers(value: Int) {
        let marker = Marker(number: value, time: Int64(value) * 7)
        var buffer = ByteBuffer()
        marker.write(to: &buffer)
        #expect(String(buffer: buffer) == "\(value)-\(value * 7)")
        #expect(Marker(buffer.readableBytesUInt8Span) == marker)
    }

    @Test("What is no marker is none", arguments: ["", "-", "1", "1-", "-1", "1-2x", "1234567890123456789-1", "a-1"])
    func noMarkers(text: String) {
        #expect(Marker(ByteBuffer(string: text).readableBytesUInt8Span) == nil)
    }
}

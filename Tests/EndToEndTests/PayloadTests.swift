// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing
import XML

/// Payloads written in unusual but legal XML: they mean the same to whoever receives them.
///
/// The sender writes a stanza in every way that Namespaces in XML 1.0 allows; the receivers, a client and a component on
/// a raw socket, must read the tree that the case names, in their own content namespace.
@Suite(.serialized) struct PayloadTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        /// The stanza as it is sent, to `$to`, with the id `$id`.
        let sent: String
        /// The children that a receiver must see, written plainly.
        let expected: String
        /// Declarations on the sender's stream root.
        var root = ""

        init(_ description: String, _ sent: String, _ expected: String, root: String = "") {
            (testDescription, self.sent, self.expected, self.root) = (description, sent, expected, root)
        }
    }

    static let cases = [
        Case(
            "a prefix of the stream's root",
            "<message to='$to' id='$id'><x:y x:z='1' z='2'/><body>b</body></message>",
            "<y xmlns='urn:example:x' xmlns:p='urn:example:x' p:z='1' z='2'/><body>b</body>",
            root: "xmlns:x='urn:example:x'"
        ),
        Case(
            "a prefix of the stream's root, far down",
            "<message to='$to' id='$id'><a xmlns='urn:a'><b><x:y/></b></a></message>",
            "<a xmlns='urn:a'><b><y xmlns='urn:example:x'/></b></a>",
            root: "xmlns:x='urn:example:x'"
        ),
        Case(
            "a prefix of the root that the payload takes for something else",
            "<message to='$to' id='$id'><a xmlns:x='urn:other'><x:y/></a><x:y/></message>",
            "<a><y xmlns='urn:other'/></a><y xmlns='urn:example:x'/>",
            root: "xmlns:x='urn:example:x'"
        ),
        Case(
            "a prefix of the stanza",
            "<message xmlns:s='urn:example:s' to='$to' id='$id'><s:y s:k='&lt;'/></message>",
            "<y xmlns='urn:example:s' xmlns:s='urn:example:s' s:k='&lt;'/>"
        ),
        Case(
            "a prefix of the child",
            "<message to='$to' id='$id'><c:y xmlns:c='urn:example:c'><c:z/></c:y></message>",
            "<y xmlns='urn:example:c'><z/></y>"
        ),
        Case(
            "a prefix for the content namespace",
            "<c:message xmlns:c='jabber:client' to='$to' id='$id'><c:body>b</c:body></c:message>",
            "<body>b</body>"
        ),
        Case(
            "the content namespace again",
            "<message xmlns='jabber:client' to='$to' id='$id'><body xmlns='jabber:client'>b</body>"
                + "<x xmlns='urn:x'><body xmlns='jabber:client'>inner</body></x></message>",
            "<body>b</body><x xmlns='urn:x'><body xmlns='jabber:client'>inner</body></x>"
        ),
        Case(
            "a stanza with a prefix and another default namespace",
            "<c:message xmlns:c='jabber:client' xmlns='urn:trick' to='$to' id='$id'>"
                + "<body>not a body</body><c:body>a body</c:body></c:message>",
            "<body xmlns='urn:trick'>not a body</body><body>a body</body>"
        ),
        Case(
            "no namespace at all",
            "<message to='$to' id='$id'><a xmlns='urn:a'><b xmlns=''><c/></b></a></message>",
            "<a xmlns='urn:a'><b xmlns=''><c/></b></a>"
        ),
        Case(
            "the wrapper's prefix",
            "<message to='$to' id='$id'><j:route xmlns:j='urn:example:j' j:to='x'><j:y/></j:route></message>",
            "<route xmlns='urn:example:j' xmlns:j='urn:example:j' j:to='x'><y/></route>"
        ),
        Case(
            "languages",
            "<message to='$to' id='$id' xml:lang='de'><body>Hallo</body><body xml:lang='fr'>Salut</body></message>",
            "<body>Hallo</body><body xml:lang='fr'>Salut</body>"
        ),
        Case(
            "character data",
            "<message to='$to' id='$id'><body>a<![CDATA[<&]]>]]&gt;<![CDATA[]]]]><![CDATA[>]]></body></message>",
            "<body>a&lt;&amp;]]&gt;]]&gt;</body>"
        ),
        Case(
            "quotes and spaces",
            "<message  to = \"$to\"\n\tid='$id' ><x xmlns=\"urn:x\" a='\"' b=\"'\" c=\"&quot;&apos;\"  /  ></message >"
                .replacing("/  >", with: "/>"),
            "<x xmlns='urn:x' a='&quot;' b=\"'\" c=\"&quot;'\"/>"
        ),
        Case(
            "references",
            "<message to='$to' id='$id'><body a='&#10;&#x9;&#13;'>&#x1F600;&#65;&#xE9;&#13;</body></message>",
            "<body a='&#10;&#9;&#13;'>\u{1F600}A\u{E9}&#13;</body>"
        ),
        Case(
            "the ends of lines",
            "<message to='$to' id='$id'><body>a\r\nb\rc</body><x xmlns='urn:x' y='a\r\nb\tc'/></message>",
            "<body>a\nb\nc</body><x xmlns='urn:x' y='a b c'/>"
        ),
        Case(
            "characters beyond ASCII, in names as well",
            "<message to='$to' id='$id'><\u{E9}t\u{E9} xmlns='urn:\u{E9}'>\u{4E2D}\u{10FFFD}</\u{E9}t\u{E9}></message>",
            "<\u{E9}t\u{E9} xmlns='urn:\u{E9}'>\u{4E2D}\u{10FFFD}</\u{E9}t\u{E9}>"
        ),
        Case(
            "text beside elements",
            "<message to='$to' id='$id'>a<b xmlns='urn:b'/>c</message>",
            "a<b xmlns='urn:b'/>c"
        ),
    ]

    @Test(arguments: cases) func theMeaningIsTheSame(_ test: Case) async throws {
        let suite = try await RunningSuite.shared()
        let sender = try await TestClient.connect(port: suite.clientPort)
        let account = try await suite.sharedAccount(named: "writer")
        try await sender.authenticate(account)
        // The prefixes are those of the stream's last header, which follows the login.
        if !test.root.isEmpty {
            await sender.breakConnection()
            return try await theMeaningIsTheSame(test, root: test.root, account, suite)
        }
        try await sender.bind(nil)
        try await verify(test, sender, suite)
    }

    private func theMeaningIsTheSame(
        _ test: Case,
        root: String,
        _ account: TestClient.Account,
        _ suite: RunningSuite
    ) async throws {
        let sender = try await TestClient.connect(port: suite.clientPort)
        try await sender.openSecuredStream(to: suite.domain)
        guard try await sender.tryPassword(account) == "success" else { throw TestClient.Failure("no login") }
        try await sender.openStream(to: suite.domain, declarations: root)
        try await sender.bind(nil)
        try await verify(test, sender, suite)
    }

    private func verify(_ test: Case, _ sender: TestClient, _ suite: RunningSuite) async throws {
        let (reader, jid) = try await TestClient.login(suite.sharedAccount(named: "reader"), to: suite)
        let component = try await TestComponent.connect(to: suite, name: "payload.localhost")
        for (client, to, namespace) in [
            (reader, jid, "jabber:client"), (component.client, component.name, "jabber:component:accept"),
        ] {
            let sent = test.sent.replacing("$to", with: to).replacing("$id", with: "p")
            try await sender.send(sent)
            let received = try await client.first { $0.name == "message" }
            #expect(received.namespace == namespace && received["id"] == "p")
            let expected = Self.meaning(
                try Element.parseFragment(ByteBuffer(string: test.expected), namespace: namespace)
            )
            let own = received.children.filter { node in
                guard case .element(let element) = node else { return true }
                return element.namespace != "urn:xmpp:sid:0"
            }
            // `jabber:client` that was said within another namespace stays what it is.
            #expect(Self.meaning(own) == expected, "\(namespace)")
        }
        for client in [sender, reader, component.client] { await client.breakConnection() }
    }

    /// A canonical text: names with their namespaces, attributes sorted, neighbouring texts joined.
    private static func meaning(_ nodes: [Element.Node]) -> String {
        var text = ""
        for node in nodes {
            switch node {
            case .text(let characters): text += characters
            case .element(let element):
                let attributes = element.attributes.filter { $0.name != "xmlns" && !$0.name.hasPrefix("xmlns:") }
                    .map { " {\($0.namespace)}\($0.name)=\(String(reflecting: $0.value))" }.sorted().joined()
                text += "<{\(element.namespace)}\(element.name)\(attributes)>" + meaning(element.children) + "</>"
            }
        }
        return text
    }
}

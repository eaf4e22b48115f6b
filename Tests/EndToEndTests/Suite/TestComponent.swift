// SPDX-License-Identifier: Apache-2.0

import SASL
import XML

/// A plain XEP-0114 component on a raw socket, so that namespaces are seen as they are sent.
struct TestComponent: Sendable {
    let client: TestClient
    let name: String

    /// Binds a name; a name that is still bound by a component that just left is tried again.
    static func connect(to suite: RunningSuite, name: String, router: Int = 1) async throws -> TestComponent {
        for _ in 0..<200 {
            let (client, answer) = try await handshake(with: suite, name: name, router: router)
            if answer.name == "handshake" { return TestComponent(client: client, name: name) }
            guard answer.childElements.first?.name == "conflict" else {
                throw TestClient.Failure("the handshake failed: \(answer)")
            }
            await client.breakConnection()
            try await Task.sleep(for: .milliseconds(25))
        }
        throw TestClient.Failure("\(name) stays bound")
    }

    /// Proves the secret under a name; returns the answer, whatever it is.
    static func handshake(
        with suite: RunningSuite,
        name: String,
        router: Int = 1
    ) async throws -> (client: TestClient, answer: Element) {
        let client = try await TestClient.connect(
            port: suite.componentPort + router - 1,
            contentNamespace: componentNamespace
        )
        try await client.send(
            "<?xml version='1.0'?><stream:stream xmlns='\(componentNamespace)' "
                + "xmlns:stream='http://etherx.jabber.org/streams' to='\(name)'>"
        )
        guard case .streamOpened(let header) = try await client.next() else {
            throw TestClient.Failure("the router opened no stream")
        }
        let digest = Digest.hex(Digest.sha1(Array(((header["id"] ?? "") + suite.componentSecret).utf8)))
        // A stream that ended with an error takes no handshake any more.
        try? await client.send("<handshake>\(digest)</handshake>")
        return (client, try await client.element())
    }

    private static let componentNamespace = "jabber:component:accept"
}

// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import Load

@Suite struct ContactRingTests {
    @Test(
        "Everybody has the same number of contacts, and is a contact of them",
        arguments: [(8, 4), (200, 50), (5, 4)]
    )
    func symmetry(clients: Int, contacts: Int) {
        let ring = ContactRing(clients: clients, contacts: contacts)
        for client in 0..<clients {
            let mine = ring.contacts(of: client)
            #expect(Set(mine).count == contacts)
            #expect(!mine.contains(client))
            for contact in mine { #expect(ring.contacts(of: contact).contains(client)) }
        }
    }

    @Test("Every contact of a client has a place of its own, others have none", arguments: [(8, 4), (200, 50), (5, 4)])
    func places(clients: Int, contacts: Int) {
        let ring = ContactRing(clients: clients, contacts: contacts)
        for client in 0..<clients {
            let places = ring.contacts(of: client).compactMap { ring.place(of: $0, at: client) }
            #expect(Set(places) == Set(0..<contacts))
            for other in 0..<clients where !ring.contacts(of: client).contains(other) {
                #expect(ring.place(of: other, at: client) == nil)
            }
        }
    }
}

@Suite struct StoreCounterTests {
    @Test("The last number that the command printed counts, and other lines do not")
    func counts() async throws {
        let counter = StoreCounter()
        try counter.start("echo 0; echo 'Wed Nov 25 (every 0.05s)'; echo 12; echo; exec sleep 60")
        try await counter.wait(seconds: 60) { $0 == 12 }
        counter.stop()
    }

    @Test("A command that ends before there is enough is an error")
    func ends() async throws {
        let counter = StoreCounter()
        try counter.start("echo 3")
        await #expect(throws: StoreCounter.Stopped.self) {
            try await counter.wait(seconds: 60) { $0 > 3 }
        }
    }
}

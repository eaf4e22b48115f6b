// SPDX-License-Identifier: Apache-2.0

import Testing
import XMPPCore

@testable import SM

@Suite struct SpoolRoomTests {
    private let user = StoreFixture.juliet

    /// The value in a box: an expectation can not change a variable.
    private final class Subject {
        var room: SpoolRoom

        init(maximumUsers: Int = 50_000) { room = SpoolRoom(maximumUsers: maximumUsers) }

        func take(_ user: BareJID, quota: Int) -> Bool { room.take(user, quota: quota) }

        func answered(_ user: BareJID, _ count: Int?, quota: Int) { room.answered(user, count, quota: quota) }
    }

    @Test("The room that a counting found is used before the next counting")
    func counted() {
        let room = Subject()
        #expect(!room.take(user, quota: 10))
        room.answered(user, 7, quota: 10)
        var taken: [Bool] = []
        for _ in 0..<5 { taken.append(room.take(user, quota: 10)) }
        #expect(taken == [true, true, true, false, false])
        #expect(!room.take(StoreFixture.romeo, quota: 10))
    }

    @Test("What is under way behind a counting takes of the room that it found")
    func together() {
        let room = Subject()
        for _ in 0..<3 { #expect(!room.take(user, quota: 10)) }
        room.answered(user, 5, quota: 10)
        #expect((0..<4).map { _ in room.take(user, quota: 10) } == [true, true, true, false])
        // The two countings from before, and the four messages, of which the last is counted.
        room.answered(user, 6, quota: 10)
        #expect(!room.take(user, quota: 10))
        room.answered(user, 7, quota: 10)
        for _ in 0..<3 { room.answered(user, nil, quota: 10) }
        #expect(!room.take(user, quota: 10))
        room.answered(user, 8, quota: 10)
        #expect(!room.take(user, quota: 10))
    }

    @Test("A failure tells nothing, nor does a full spool or one over its quota", arguments: [nil, 10, 12])
    func nothing(count: Int?) {
        let room = Subject()
        #expect(!room.take(user, quota: 10))
        room.answered(user, count, quota: 10)
        #expect(!room.take(user, quota: 10))
    }

    @Test("Another quota is counted anew")
    func quota() {
        let room = Subject()
        #expect(!room.take(user, quota: 10))
        room.answered(user, 1, quota: 10)
        #expect(!room.take(user, quota: 5))
        #expect(!room.take(user, quota: 10))
        room.answered(user, 2, quota: 5)
        room.answered(user, 3, quota: 10)
        #expect(room.take(user, quota: 10))
    }

    @Test("At the bound it forgets all but what is under way")
    func bound() throws {
        let room = Subject(maximumUsers: 2)
        let other = try BareJID(local: "other", domain: "localhost")
        #expect(!room.take(user, quota: 10))
        #expect(!room.take(StoreFixture.romeo, quota: 10))
        room.answered(user, 1, quota: 10)
        #expect(!room.take(other, quota: 10))
        #expect(!room.take(user, quota: 10))
        room.answered(StoreFixture.romeo, 1, quota: 10)
        #expect(room.take(StoreFixture.romeo, quota: 10))
    }
}

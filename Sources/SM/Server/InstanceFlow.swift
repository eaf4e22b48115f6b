// SPDX-License-Identifier: Apache-2.0

import XMPPCore

/// How much SM sent to one C2S that the C2S has not read yet, as far as SM knows.
///
/// The router reads every link of ours at once and queues what the other end does not take; at its bound it resets that
/// link. So SM asks the C2S now and then for an `echo` (`docs/protocols.md` section 3): its answer says that everything
/// before the question was read. One question is under way at a time.
///
/// Confined to the server's event loop.
final class InstanceFlow {
    /// Unread bytes at which the next echo is asked for, and at which nothing more is sent.
    private static let interval = 1 << 20
    private static let limit = 4 << 20

    let instance: String
    /// Bytes that were sent to it in all, and how many of them it has read.
    private var sent = 0
    private var read = 0
    /// The question that is under way, and what had been sent before it.
    private var question: (id: String, position: Int)?
    /// Sessions that wait for it.
    private var stalled: [Session] = []

    init(instance: String) {
        self.instance = instance
    }

    var isBusy: Bool { sent - read >= Self.limit }

    /// So many bytes are sent to it.
    func add(_ bytes: Int) {
        sent &+= bytes
    }

    /// Whether an echo is to be asked for.
    var isEchoDue: Bool { sent - read >= Self.interval && question == nil }

    /// An echo is asked for.
    func ask(id: String) {
        question = (id: id, position: sent)
    }

    /// The answer to a question arrived.
    func echoed(id: String) {
        guard let question, question.id == id else { return }
        read = question.position
        self.question = nil
    }

    /// The instance is gone: nothing more will be read.
    func end() {
        read = sent
        question = nil
    }

    /// Keeps a session's turn until the C2S has read more.
    func stall(_ session: Session) {
        stalled.append(session)
    }

    /// The session's stanzas go to another C2S from now on; true if it waited.
    func release(_ session: Session) -> Bool {
        guard let place = stalled.firstIndex(where: { $0 === session }) else { return false }
        stalled.remove(at: place)
        return true
    }

    func takeStalled() -> [Session] {
        defer { stalled = [] }
        return stalled
    }
}

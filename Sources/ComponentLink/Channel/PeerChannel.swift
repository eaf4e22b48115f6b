// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The channel to one instance, with what its wrappers are known by. Confined to the link's event loop.
final class PeerChannel {
    /// The instance's name.
    let name: String
    let nameBytes: [UInt8]
    let head: RouteHead
    /// Whether it has taken something in the burst that is read.
    var isTouched = false
    /// The link that it speaks over, as far as it was looked up.
    var connection: RouterConnection?
    /// What the link counts of its bytes.
    var countedBytes = 0
    var machine: ReliableChannel<ChannelMessage> {
        didSet { if self.machine.pairChanges != self.named { self.rename() } }
    }

    /// Of which change of the pair the texts below are.
    private var named = 0
    /// The pair of what comes, as wrappers name it.
    private(set) var incoming: [UInt8] = []
    /// The pair of what goes, likewise.
    private(set) var outgoing: [UInt8] = []
    /// The attributes of what goes, up to its number.
    private(set) var attribute = ByteBuffer()

    init(from sender: String, to name: String, epoch: String, limits: ChannelLimits) {
        self.name = name
        self.nameBytes = Array(name.utf8)
        self.head = RouteHead(from: sender, to: name)
        self.machine = ReliableChannel(epoch: epoch, limits: limits)
    }

    private func rename() {
        self.named = self.machine.pairChanges
        self.outgoing = self.machine.outgoing.map(Self.text) ?? []
        self.incoming = self.machine.incoming.map(Self.text) ?? []
        self.attribute = ByteBuffer()
        self.attribute.writeStaticString(" c='")
        self.attribute.writeBytes(self.outgoing)
        self.attribute.writeStaticString("' q='")
    }

    /// Enough that two epochs that follow each other do not share it: they are random numbers in base 36.
    private static let epochCharacters = 6

    private static func text(_ pair: Pair) -> [UInt8] {
        Array("\(self.text(pair.from))-\(self.text(pair.to))".utf8)
    }

    private static func text(_ incarnation: Incarnation) -> String {
        "\(incarnation.epoch.prefix(self.epochCharacters)).\(incarnation.generation)"
    }
}

// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// What waits to be written to one link: collected as elements come, and given to the channel all at once.
///
/// The channel takes no more while it holds over `watermark` bytes that the socket did not take; the rest waits here,
/// where it is counted. To be told of each write's end by a promise would cost more than the write of a single stanza.
///
/// Confined to the channel's event loop.
package struct LinkOutput {
    /// Elements that the channel has not been given.
    private var buffer = ByteBuffer()
    /// What the channel was given last, while it has too much to take more.
    private var inFlight = 0
    private let watermark: Int

    /// Makes an empty queue; `bound` is what its owner lets it hold, in bytes.
    package init(bound: Int) {
        self.watermark = min(65_536, max(bound / 4, 1))
    }

    /// Bytes that wait, but for those that the socket will take soon.
    package var queuedBytes: Int { self.buffer.readableBytes + self.inFlight }

    /// Whether `flush` would write something.
    package var isReady: Bool { self.inFlight == 0 && self.buffer.readableBytes > 0 }

    /// Has the channel tell when it takes more; before the first write.
    package func configure(_ channel: any Channel) {
        let mark = ChannelOptions.Types.WriteBufferWaterMark(low: (self.watermark + 1) / 2, high: self.watermark)
        // A channel without the option has no socket that could be full.
        try? channel.syncOptions?.setOption(.writeBufferWaterMark, value: mark)
    }

    /// Appends an element, and tells how long it is.
    @discardableResult
    package mutating func append(_ body: (inout ByteBuffer) -> Void) -> Int {
        let start = self.buffer.writerIndex
        body(&self.buffer)
        return self.buffer.writerIndex - start
    }

    /// Takes the last bytes back, as many as `append` told.
    package mutating func removeLast(_ count: Int) {
        self.buffer.moveWriterIndex(to: self.buffer.writerIndex - count)
    }

    /// Takes all that waits, to be written; nil where there is nothing, or the channel takes nothing.
    ///
    /// The channel may tell that it is writable again before this returns.
    package mutating func take(for channel: any Channel) -> ByteBuffer? {
        guard self.isReady else { return nil }
        let bytes = self.buffer
        self.buffer = channel.allocator.buffer(capacity: min(max(bytes.readableBytes, 1_024), 65_536))
        return bytes
    }

    /// To be called after what `take` gave was written.
    package mutating func written(_ count: Int, to channel: any Channel) {
        self.inFlight = channel.isWritable ? 0 : count
    }

    /// To be called when the channel's writability changed; true: it takes more.
    package mutating func writabilityChanged(of channel: any Channel) -> Bool {
        guard channel.isWritable else { return false }
        self.inFlight = 0
        return true
    }

    /// All that waits, whatever the channel takes: for the end of a stream.
    package mutating func takeAll() -> ByteBuffer {
        let bytes = self.buffer
        self.buffer = ByteBuffer()
        return bytes
    }
}

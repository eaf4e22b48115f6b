// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// What two instances say to each other in a wrapper.
package protocol WrapperContent {
    /// Appends attributes of the wrapper, each with the space before it.
    func writeAttributes(to buffer: inout ByteBuffer)
    /// Appends what is wrapped.
    func writeContent(to buffer: inout ByteBuffer)
}

extension WrapperContent {
    /// None.
    package func writeAttributes(to buffer: inout ByteBuffer) {}

    /// Appends the whole wrapper, as one that is not of a channel.
    package func write(with head: RouteHead, into buffer: inout ByteBuffer) {
        head.write(self, to: &buffer)
    }

    /// The message of a channel.
    func message(with head: RouteHead) -> ChannelMessage {
        head.message(self)
    }
}

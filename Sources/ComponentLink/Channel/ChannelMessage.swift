// SPDX-License-Identifier: Apache-2.0

import NIOCore
import XML
package import XMPPCore

/// A message of a reliable channel, kept until it is acknowledged: a wrapper without pair and number.
package struct ChannelMessage {
    package let head: RouteHead
    /// What comes behind its number: its quote, further attributes, the content, and the end.
    let body: ByteBuffer
    /// The bytes of the content.
    let length: Int

    /// What it counts for.
    package var bytes: Int { self.body.readableBytes + self.head.overhead }

    /// The same for the instance and session of another head.
    package func with(_ head: RouteHead) -> ChannelMessage {
        ChannelMessage(head: head, body: self.body, length: self.length)
    }

    /// The same, with what is wrong with the stanza: the receiver answers it with that error.
    package func with(fault: StanzaError.Condition) -> ChannelMessage {
        var body = ByteBufferAllocator().buffer(capacity: self.body.readableBytes + 48)
        // Behind the quote that ends the number.
        body.writeStaticString("'")
        body.writeLinkAttribute("fault", fault.rawValue)
        body.writeImmutableBuffer(
            self.body.getSlice(at: self.body.readerIndex + 1, length: self.body.readableBytes - 1) ?? ByteBuffer()
        )
        return ChannelMessage(head: self.head, body: body, length: self.length)
    }
}

/// The channel's own words, which have no number (`docs/protocols.md`, section 4).
enum ChannelWord {
    case sync(ReliableChannel<ChannelMessage>.Sync)
    /// All messages of the pair that the wrapper names are taken, up to this number.
    case acknowledged(UInt64)

    /// Reads the child of a wrapper.
    init(_ tag: StreamElementTag) throws(LinkFault) {
        let attributes = LinkAttributes(tag.attributes)
        switch tag.name {
        case "ack": self = .acknowledged(try attributes.requiredNumber("n"))
        case "sync":
            let me = Incarnation(
                epoch: try attributes.required("epoch"),
                generation: try attributes.requiredNumber("generation")
            )
            var you: Incarnation?
            if let epoch = attributes["you"] {
                you = Incarnation(epoch: epoch, generation: try attributes.requiredNumber("your-generation"))
            }
            self = .sync(
                .init(
                    me: me,
                    you: you,
                    have: try attributes.requiredNumber("have"),
                    isGap: attributes["gap"] == "true",
                    ask: try attributes.number("ask"),
                    answers: try attributes.number("answers")
                )
            )
        default: throw .unknownElement(tag.name)
        }
    }

    /// Appends the whole wrapper; `pair` names the channel; a sync has none.
    func write(with head: RouteHead, pair: [UInt8], into buffer: inout ByteBuffer) {
        head.write(to: &buffer) { buffer in
            buffer.writeStaticString(" c='")
            buffer.writeBytes(pair)
            buffer.writeStaticString("'")
        } content: { buffer in
            switch self {
            case .acknowledged(let number):
                buffer.writeStaticString("<ack xmlns='urn:jackdaw:channel:0'")
                buffer.writeLinkAttribute("n", number)
            case .sync(let sync):
                buffer.writeStaticString("<sync xmlns='urn:jackdaw:channel:0'")
                buffer.writeLinkAttribute("epoch", sync.me.epoch)
                buffer.writeLinkAttribute("generation", sync.me.generation)
                if let you = sync.you {
                    buffer.writeLinkAttribute("you", you.epoch)
                    buffer.writeLinkAttribute("your-generation", you.generation)
                }
                buffer.writeLinkAttribute("have", sync.have)
                if sync.isGap { buffer.writeLinkAttribute("gap", "true") }
                if let ask = sync.ask { buffer.writeLinkAttribute("ask", ask) }
                if let answers = sync.answers { buffer.writeLinkAttribute("answers", answers) }
            }
            buffer.writeStaticString("/>")
        }
    }
}

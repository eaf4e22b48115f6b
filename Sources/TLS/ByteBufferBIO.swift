// SPDX-License-Identifier: Apache-2.0

internal import COpenSSL
internal import NIOCore

/// The socket as OpenSSL sees it: reads come from the buffer that NIO delivered, writes gather in a buffer that the
/// handler takes. Nothing is copied into a memory BIO of OpenSSL's.
///
/// Confined to the channel's event loop. OpenSSL's `BIO` holds this object unretained; `TLSConnection` keeps it alive
/// for as long as the `SSL` that owns the `BIO`.
final class ByteBufferBIO {
    /// Ciphertext from the peer that OpenSSL has not read.
    private var inbound: ByteBuffer?
    /// Ciphertext for the peer.
    private var outbound: ByteBuffer?

    /// The callback table, made once: OpenSSL's side is immutable afterwards.
    private nonisolated(unsafe) static let method: OpaquePointer? = unsafe makeMethod()

    var unreadBytes: Int { inbound?.readableBytes ?? 0 }

    /// Whether OpenSSL is given nothing more, although something may be there.
    var isStopped = false

    /// Makes the `BIO`; it belongs to the `SSL` that it is given to.
    func makeBIO() throws(TLSError) -> OpaquePointer {
        guard let method = unsafe Self.method, let bio = unsafe BIO_new(method) else {
            throw .library(ErrorQueue.takeFirst() ?? "no BIO")
        }
        unsafe BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
        unsafe BIO_set_init(bio, 1)
        unsafe BIO_set_shutdown(bio, 1)
        return unsafe bio
    }

    /// Adds what the peer sent.
    func receive(_ buffer: ByteBuffer) {
        guard var rest = inbound, rest.readableBytes > 0 else {
            inbound = buffer
            return
        }
        inbound = nil
        rest.discardReadBytes()
        rest.writeImmutableBuffer(buffer)
        inbound = rest
    }

    /// Drops what was not read: after a failure it is of no use.
    func discardInbound() {
        inbound = nil
    }

    /// Hands over what is to be sent.
    func takeOutbound() -> ByteBuffer? {
        defer { outbound = nil }
        return outbound
    }

    private func read(into pointer: UnsafeMutablePointer<CChar>, length: Int) -> Int {
        guard !isStopped, var buffer = inbound else { return 0 }
        inbound = nil
        let count = min(length, buffer.readableBytes)
        unsafe buffer.readWithUnsafeReadableBytes { bytes in
            unsafe UnsafeMutableRawPointer(pointer).copyMemory(
                from: bytes.baseAddress ?? UnsafeRawPointer(pointer),
                byteCount: count
            )
            return count
        }
        // An emptied buffer is released, so that an idle connection holds none.
        inbound = buffer.readableBytes > 0 ? buffer : nil
        return count
    }

    private func write(_ pointer: UnsafePointer<CChar>, length: Int) {
        var buffer = outbound ?? ByteBuffer()
        outbound = nil
        unsafe buffer.writeBytes(UnsafeRawBufferPointer(start: pointer, count: length))
        outbound = buffer
    }

    private static func makeMethod() -> OpaquePointer? {
        let index = BIO_get_new_index()
        guard index >= 0, let method = unsafe BIO_meth_new(index | BIO_TYPE_SOURCE_SINK, "ByteBuffer") else {
            return nil
        }
        unsafe BIO_meth_set_read(method) { bio, pointer, length in
            unsafe COpenSSL_BIO_clear_retry_flags(bio)
            guard let data = unsafe BIO_get_data(bio), let pointer = unsafe pointer, length > 0 else { return -1 }
            let this = unsafe Unmanaged<ByteBufferBIO>.fromOpaque(data).takeUnretainedValue()
            let count = unsafe this.read(into: pointer, length: Int(length))
            if count > 0 { return CInt(count) }
            unsafe COpenSSL_BIO_set_retry_read(bio)
            return -1
        }
        unsafe BIO_meth_set_write(method) { bio, pointer, length in
            unsafe COpenSSL_BIO_clear_retry_flags(bio)
            guard let data = unsafe BIO_get_data(bio), let pointer = unsafe pointer, length >= 0 else { return -1 }
            let this = unsafe Unmanaged<ByteBufferBIO>.fromOpaque(data).takeUnretainedValue()
            unsafe this.write(pointer, length: Int(length))
            return length
        }
        unsafe BIO_meth_set_ctrl(method) { _, command, _, _ in
            command == BIO_CTRL_FLUSH || command == BIO_CTRL_PUSH || command == BIO_CTRL_POP ? 1 : 0
        }
        unsafe BIO_meth_set_create(method) { _ in 1 }
        unsafe BIO_meth_set_destroy(method) { _ in 1 }
        return unsafe method
    }
}

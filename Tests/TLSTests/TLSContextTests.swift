// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOEmbedded
import TestSupport
import Testing

@testable import TLS

@Suite struct TLSContextTests {
    @Test func `new files are picked up, and connections keep what they began with`() throws {
        let (path, _) = try TestCertificates.identities()
        let identity = TLSContext.Identity(certificateFile: "\(path)/one.pem", keyFile: "\(path)/one.key")
        let context = try TLSContext(
            server: .init(identities: ["one.example": identity], defaultDomain: "one.example")
        )
        let before = try BackToBack(server: context)
        try before.connect()
        #expect(try context.reloadIfChanged() == false)

        try TestCertificates.write(TestCertificates.two, to: "\(path)/one.pem")
        try TestCertificates.write(TestCertificates.twoKey, to: "\(path)/one.key")
        #expect(try context.reloadIfChanged())
        #expect(try context.reloadIfChanged() == false)
        #expect(context.certificate(for: "one.example")?.names == ["two.example"])

        let after = try BackToBack(server: context)
        try after.connect()
        #expect(after.clientRecorder.info?.peerCertificate?.names == ["two.example"])
        before.client.writeAndFlush(ByteBuffer(string: "still here"), promise: nil)
        try before.pump()
        #expect(before.serverRecorder.text == "still here")
        before.finish()
        after.finish()
    }

    @Test func `a bad new file leaves the old certificate in use and is told once`() throws {
        let (path, identities) = try TestCertificates.identities()
        let context = try TLSContext(server: .init(identities: identities, defaultDomain: "one.example"))
        try TestCertificates.write("nonsense, longer than before", to: "\(path)/two.pem")
        #expect(throws: TLSError.self) { try context.reloadIfChanged() }
        #expect(try context.reloadIfChanged() == false)
        #expect(context.certificate(for: "two.example")?.names == ["two.example"])
        let pair = try BackToBack(server: context, sni: "two.example")
        try pair.connect()
        #expect(pair.clientRecorder.info != nil)
        pair.finish()
    }

    @Test func `a key of another certificate is refused with the file's name`() throws {
        let (path, _) = try TestCertificates.identities()
        let identity = TLSContext.Identity(certificateFile: "\(path)/one.pem", keyFile: "\(path)/two.key")
        do {
            _ = try TLSContext(server: .init(identities: ["one.example": identity], defaultDomain: "one.example"))
            Issue.record("accepted")
        } catch {
            #expect("\(error)".contains("two.key"))
        }
    }

    @Test func `no certificate at all is an error`() {
        #expect(throws: TLSError.noCertificate) {
            try TLSContext(server: .init(identities: [:], defaultDomain: "one.example"))
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import TestSupport

@testable import TLS

/// An authority of the tests' own, with which the openssl command makes certificates of any kind.
struct TestAuthority {
    /// What is to be in a certificate.
    struct Wish {
        var commonName = "nobody"
        /// Lines of OpenSSL's configuration (x509v3_config(5)).
        var extensions: [String] = []
        /// As `openssl ca` takes them, by default long ago and far ahead.
        var start = "20200101000000Z"
        var end = "21200101000000Z"
        /// Who signs: the root, an authority that was made by `issue`, or itself.
        var issuer = Issuer.named("root")
    }

    enum Issuer {
        case named(String)
        case itself
    }

    let directory: String

    /// The file with the root.
    var root: String { "\(directory)/root.pem" }

    init() throws {
        directory = try TemporaryDirectory.make("authority")
        let configuration = """
            [req]
            distinguished_name = name
            [name]
            [ca]
            default_ca = any
            [any]
            database = \(directory)/index.txt
            new_certs_dir = \(directory)
            rand_serial = yes
            unique_subject = no
            default_md = sha256
            email_in_dn = no
            policy = policy
            [policy]
            commonName = supplied
            """
        try TestCertificates.write(configuration, to: "\(directory)/openssl.cnf")
        try ChildProcess.run(["touch", "\(directory)/index.txt"])
        let isAuthority = ["basicConstraints = critical, CA:true", "subjectKeyIdentifier = hash"]
        _ = try issue("root", Wish(commonName: "Root of Tests", extensions: isAuthority, issuer: .itself))
    }

    /// Makes a certificate and its key; the file of the chain has all but the root, unless `withRoot`.
    @discardableResult
    func issue(_ name: String, _ wish: Wish, withRoot: Bool = false) throws -> TLSContext.Identity {
        try TestCertificates.write(
            (["[wished]"] + wish.extensions).joined(separator: "\n"),
            to: "\(directory)/\(name).ext"
        )
        let issuer =
            switch wish.issuer {
            case .itself: "-selfsign -keyfile \(name).key"
            case .named(let issuer): "-cert \(issuer).pem -keyfile \(issuer).key"
            }
        let chain =
            switch wish.issuer {
            case .itself: ""
            case .named("root"): withRoot ? "root.pem" : ""
            case .named(let issuer): "\(issuer).chain"
            }
        let commands = """
            cd \(directory)
            openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config openssl.cnf \
                -subj '/CN=\(wish.commonName)' -keyout \(name).key -out \(name).csr
            openssl ca -batch -notext -config openssl.cnf \(issuer) -startdate \(wish.start) -enddate \(wish.end) \
                -extfile \(name).ext -extensions wished -in \(name).csr -out \(name).pem
            cat \(name).pem \(chain) > \(name).chain
            """
        try ChildProcess.run(["sh", "-e", "-c", commands])
        return .init(certificateFile: "\(directory)/\(name).chain", keyFile: "\(directory)/\(name).key")
    }

    /// The SHA-256 of a certificate's public key, as a TLSA record with selector 1 has it.
    func keyDigest(_ name: String) throws -> [UInt8] {
        let command = "openssl x509 -pubkey -noout -in \(directory)/\(name).pem | openssl pkey -pubin -outform der"
        let text = try ChildProcess.run(["sh", "-c", "\(command) | sha256sum"])
        return stride(from: 0, to: 64, by: 2).compactMap { UInt8(text.dropFirst($0).prefix(2), radix: 16) }
    }
}

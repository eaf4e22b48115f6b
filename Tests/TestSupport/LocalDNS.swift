// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A DNS server (Debian's unbound) on a free port of this host, which serves a test's zones and knows no others.
///
/// It ends with the value; `stop` ends it before.
package final class LocalDNS: Sendable {
    /// A zone and its records, in the form of a zone file (RFC 1035 §5), names relative to the zone.
    package struct Zone: Sendable {
        package var name: String
        package var records: [String]
        /// With a key of its own, which is an anchor for who asks.
        package var isSigned: Bool
        /// What is changed in the signed file after it was signed: then the signatures do not fit.
        package var forgery: (signed: String, forged: String)?

        package init(_ name: String, _ records: [String], isSigned: Bool = false, forgery: (String, String)? = nil) {
            self.name = name
            self.records = records
            self.isSigned = isSigned
            self.forgery = forgery
        }
    }

    private let process: ChildProcess
    package let port: Int
    /// Files with the keys of the signed zones.
    package let anchors: [String]

    /// What libunbound calls it.
    package var address: String { "127.0.0.1@\(self.port)" }

    /// Starts a server that listens when this returns; questions for the refused names, and below them, are refused.
    package init(_ zones: [Zone], refusing names: [String] = ["elsewhere.net"]) throws {
        let directory = try TemporaryDirectory.make("dns")
        var anchors: [String] = []
        var blocks = ""
        for zone in zones {
            var file = "\(directory)/\(zone.name)"
            let head =
                "$ORIGIN \(zone.name).\n$TTL 60\n@ IN SOA ns nobody 1 3600 600 86400 5\n@ IN NS ns\nns IN A 127.0.0.1\n"
            try Self.write(head + zone.records.joined(separator: "\n") + "\n", to: file)
            if zone.isSigned {
                anchors.append(try Self.sign(zone, in: directory))
                file += ".signed"
            }
            blocks += "auth-zone:\n  name: \"\(zone.name)\"\n  zonefile: \"\(file)\"\n  fallback-enabled: no\n"
        }
        self.anchors = anchors
        self.port = try Self.freePort()
        let refusals = names.map { "server:\n  local-zone: \"\($0).\" always_refuse\n" }.joined()
        let configuration = Self.configuration(directory: directory, port: self.port) + refusals + blocks
        try Self.write(configuration, to: "\(directory)/unbound.conf")
        self.process = try ChildProcess(["/usr/sbin/unbound", "-d", "-c", "\(directory)/unbound.conf"])
        try self.waitUntilItListens()
    }

    deinit { self.stop() }

    /// Ends it at once, as a host that is switched off does.
    package func stop() {
        self.process.send(signal: SIGKILL)
    }

    /// The file of the key.
    private static func sign(_ zone: Zone, in directory: String) throws -> String {
        let commands = """
            cd \(directory)
            key=$(ldns-keygen -k -a ECDSAP256SHA256 \(zone.name))
            ldns-signzone -o \(zone.name) -f \(zone.name).signed \(zone.name) $key
            mv $key.key \(zone.name).anchor
            """
        try ChildProcess.run(["sh", "-e", "-c", commands])
        if let forgery = zone.forgery {
            let expression = "s/\(forgery.signed)/\(forgery.forged)/"
            try ChildProcess.run(["sed", "-i", expression, "\(directory)/\(zone.name).signed"])
        }
        return "\(directory)/\(zone.name).anchor"
    }

    /// It does not validate, so that what is forged reaches who asks.
    private static func configuration(directory: String, port: Int) -> String {
        """
        server:
          directory: "\(directory)"
          chroot: ""
          username: ""
          pidfile: ""
          use-syslog: no
          logfile: "\(directory)/log"
          interface: 127.0.0.1
          port: \(port)
          do-ip6: no
          access-control: 127.0.0.0/8 allow
          do-not-query-localhost: no
          module-config: "iterator"
          num-threads: 1
          outgoing-range: 64
          minimal-responses: no
          local-zone: "test." transparent
        remote-control:
          control-enable: no
        forward-zone:
          name: "."
          forward-addr: 127.0.0.1@1

        """
    }

    private func waitUntilItListens() throws {
        for _ in 0..<1_000 {
            let socket = try Self.socket()
            defer { close(socket) }
            var address = Self.loopback(port: self.port)
            let result = unsafe withUnsafePointer(to: &address) { pointer in
                unsafe connect(socket, UnsafeRawPointer(pointer).assumingMemoryBound(to: sockaddr.self), Self.size)
            }
            if result == 0 { return }
            usleep(10_000)
        }
        throw ChildProcess.Failure(description: "unbound does not listen")
    }

    private static let size = socklen_t(MemoryLayout<sockaddr_in>.size)

    private static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        return address
    }

    private static func socket() throws -> Int32 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { throw ChildProcess.Failure(description: "socket: error \(errno)") }
        return socket
    }

    /// A port that nobody listens on at this moment.
    private static func freePort() throws -> Int {
        let socket = try Self.socket()
        defer { close(socket) }
        var address = Self.loopback(port: 0)
        var size = Self.size
        let result = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            let generic = unsafe UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: sockaddr.self)
            return unsafe bind(socket, generic, size) == 0 && getsockname(socket, generic, &size) == 0
        }
        guard result else { throw ChildProcess.Failure(description: "bind: error \(errno)") }
        return Int(UInt16(bigEndian: address.sin_port))
    }

    private static func write(_ text: String, to path: String) throws {
        let descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw ChildProcess.Failure(description: "\(path): error \(errno)") }
        defer { close(descriptor) }
        let bytes = Array(text.utf8)
        guard unsafe Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw ChildProcess.Failure(description: "\(path): error \(errno)")
        }
    }
}

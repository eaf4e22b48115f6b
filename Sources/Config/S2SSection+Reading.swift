// SPDX-License-Identifier: Apache-2.0

import XMPPCore

extension JackdawConfiguration.S2S {
    mutating func read(_ section: SectionReader) {
        section.listeners("listeners", &listeners)
        section.patterns("allow", &allow)
        section.patterns("deny", &deny)
        policy.read(section)
        readDomains(section)
        section.choice("in_doubt", &inDoubt)
        section.section("dns") { dns.read($0) }
        section.optionalPath("authorities", &authorities)
        section.section("limits") { limits.read($0) }
        section.section("timeouts") { timeouts.read($0) }
    }

    /// A domain has what the section says unless its entry says otherwise.
    private mutating func readDomains(_ section: SectionReader) {
        guard let elements = section.list("domains", of: "domains") else { return }
        let policy = policy
        domains = elements.map { node, path in
            var domain = JackdawConfiguration.RemoteDomain()
            domain.policy = policy
            let entry = SectionReader(node, path: path, collector: section.collector)
            domain.read(entry)
            entry.finish()
            return domain
        }
    }
}

extension JackdawConfiguration.FederationPolicy {
    mutating func read(_ section: SectionReader) {
        section.choice("tls", &tls)
        section.choice("authentication", &authentication)
        section.choice("self_signed", &selfSigned)
        section.choice("dane", &dane)
    }
}

extension JackdawConfiguration.RemoteDomain {
    mutating func read(_ section: SectionReader) {
        section.pattern("name", &pattern)
        if section.peek("name") == nil { section.collector.report(section.mark, "a domain needs a 'name'") }
        policy.read(section)
        if section.peek("host")?.isNull == false {
            var address = ListenAddress(host: "", port: 0)
            section.remoteAddress("host", &address)
            host = address
        } else {
            _ = section.take("host")
        }
        section.boolean("direct_tls", &isDirectTLS)
    }
}

extension JackdawConfiguration.DNS {
    mutating func read(_ section: SectionReader) {
        section.texts("resolvers", &resolvers, of: "addresses, with a port or without: 127.0.0.1, ::1@5300") { text in
            let parts = text.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
            let isAddress = [2, 10].contains { ListenAddress.isAddress(String(parts[0]), family: $0) }
            let port = parts.count == 1 ? 53 : Quantity.integer(String(parts[1])) ?? 0
            return isAddress && (1...65_535).contains(port) ? text : nil
        }
        if section.peek("trust_anchors")?.isNull == false {
            var files: [String] = []
            section.texts("trust_anchors", &files, of: "files") { Quantity.isOneLine($0) && !$0.isEmpty ? $0 : nil }
            trustAnchors = files.map(section.collector.resolve)
        } else {
            _ = section.take("trust_anchors")
        }
        section.duration("timeout", &timeout, in: .milliseconds(100) ... .seconds(60))
    }
}

extension JackdawConfiguration.S2SLimits {
    mutating func read(_ section: SectionReader) {
        section.integer("connections", &connections, in: 1...1_000_000)
        section.integer("connections_per_address", &connectionsPerAddress, in: 1...1_000_000)
        section.integer("unauthenticated_connections", &unauthenticatedConnections, in: 1...1_000_000)
        // RFC 6120 §13.12: no less than 10,000 bytes.
        section.bytes("stanza_bytes_before_authentication", &stanzaBytesBeforeAuthentication, in: 10_000...1 << 20)
        section.bytes("stanza_bytes", &stanzaBytes, in: 10_000...16 << 20)
        section.integer("depth", &depth, in: 8...1_000)
        section.integer("attributes", &attributes, in: 8...1_000)
        section.integer("nodes", &nodes, in: 256...60_000)
        section.bytes("queue_bytes", &queueBytes, in: 64 << 10...1 << 30)
        section.bytes("queue_bytes_total", &queueBytesTotal, in: 1 << 20...64 << 30)
        section.integer("unsettled_stanzas", &unsettledStanzas, in: 10...1_000_000)
        section.bytes("output_bytes", &outputBytes, in: 64 << 10...1 << 30)
        section.integer("pairs", &pairs, in: 1...100_000)
    }
}

extension JackdawConfiguration.S2STimeouts {
    mutating func read(_ section: SectionReader) {
        section.duration("connect", &connect, in: .milliseconds(100) ... .seconds(300))
        section.duration("authentication", &authentication, in: .milliseconds(100) ... .seconds(300))
        section.duration("queue", &queue, in: .milliseconds(100) ... .seconds(86_400))
        section.duration("idle", &idle, in: .milliseconds(100) ... .seconds(86_400))
        section.duration("ping_after", &pingAfter, in: .milliseconds(100) ... .seconds(86_400))
        section.duration("ping", &ping, in: .milliseconds(100) ... .seconds(3_600))
        section.duration("close", &close, in: .milliseconds(100) ... .seconds(60))
        section.duration("write", &write, in: .milliseconds(100) ... .seconds(3_600))
        section.duration("resumption", &resumption, in: .zero ... .seconds(86_400))
        section.duration("backoff_maximum", &backoffMaximum, in: .milliseconds(100) ... .seconds(3_600))
    }
}

extension SectionReader {
    /// A domain, or with `=` before it the host alone.
    fileprivate func pattern(_ key: String, _ value: inout JackdawConfiguration.DomainPattern) {
        guard let node = take(key) else { return }
        if let found = collector.pattern(node, path: fullPath(key)) { value = found }
    }

    fileprivate func patterns(_ key: String, _ value: inout [JackdawConfiguration.DomainPattern]) {
        guard let elements = list(key, of: "domain names") else { return }
        value = elements.compactMap { node, path in collector.pattern(node, path: path) }
    }
}

extension IssueCollector {
    fileprivate func pattern(_ node: YAMLNode, path: String) -> JackdawConfiguration.DomainPattern? {
        guard case .scalar(let text, let isPlain) = node.content, text.hasPrefix("=") else {
            return domain(node, path: path).map { JackdawConfiguration.DomainPattern(domain: $0, isExact: false) }
        }
        let rest = YAMLNode(content: .scalar(String(text.dropFirst()), isPlain: isPlain), mark: node.mark)
        return domain(rest, path: path).map { JackdawConfiguration.DomainPattern(domain: $0, isExact: true) }
    }
}

// SPDX-License-Identifier: Apache-2.0

package import Config
import TLS

/// Where a router is, and how it is known.
package struct RouterAddress: Sendable, Hashable, CustomStringConvertible {
    /// What makes sure that it is the router.
    package struct Trust: Sendable, Hashable {
        /// PEM file: its certificate, or that of the authority that signed it.
        package var certificateFile: String
        /// The name, or the address, that its certificate must be for.
        package var name: String

        /// Makes the rule for one router.
        package init(certificateFile: String, name: String) {
            self.certificateFile = certificateFile
            self.name = name
        }
    }

    /// The router's host.
    package var host: String
    /// The router's port.
    package var port: Int
    /// The link is one with TLS; nil: without.
    package var trust: Trust?

    /// Makes the address of a router.
    package init(host: String, port: Int, trust: Trust? = nil) {
        self.host = host
        self.port = port
        self.trust = trust
    }

    package var description: String { ListenAddress(host: self.host, port: self.port).description }

    /// The routers that the processes of a configuration link to: those of this host, and those of others.
    package static func all(of configuration: JackdawConfiguration) -> [RouterAddress] {
        let local = configuration.localRouters.map { RouterAddress(host: $0.host, port: $0.port) }
        return local
            + configuration.router.remote.map { router in
                let trust = Trust(certificateFile: router.certificate, name: router.name ?? router.address.host)
                return RouterAddress(host: router.address.host, port: router.address.port, trust: trust)
            }
    }

    /// The handler of a new connection to it; nil: it goes without TLS.
    func makeTLSHandler() throws(TLSError) -> TLSHandler? {
        guard let trust else { return nil }
        let rules = TLSContext.ClientConfiguration(trustFile: trust.certificateFile, verifiedName: trust.name)
        return try TLSHandler(context: TLSContext(client: rules), domain: trust.name)
    }
}

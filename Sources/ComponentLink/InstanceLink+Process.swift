// SPDX-License-Identifier: Apache-2.0

package import Config
package import Daemon
import NIOCore

/// The link as a process of the suite has it.
extension InstanceLink {
    /// Makes the links of a process to all routers of its configuration, with their metrics.
    ///
    /// - Parameters:
    ///   - context: the process.
    ///   - secret: what it proves to the routers.
    ///   - names: what it serves beside its own name.
    ///   - isDefaultRoute: whether it takes what is for domains that are not ours.
    package convenience init(
        _ context: DaemonContext,
        secret: Secret,
        names: [String] = [],
        isDefaultRoute: Bool = false
    ) {
        let identity = ComponentLinkStateMachine.Configuration(
            name: context.instance.routerName,
            secret: secret.revealed,
            declaration: LinkDeclaration(epoch: context.epoch, names: names, isDefaultRoute: isDefaultRoute)
        )
        let routers = RouterAddress.all(of: context.configuration)
        var configuration = Configuration(routers: routers, identity: identity)
        configuration.elementBytes = context.configuration.router.limits.internalStanzaBytes
        self.init(configuration, eventLoop: context.eventLoop, logger: context.logger)
        self.publish(context)
    }

    /// Links to the routers of a configuration that was read again.
    package func reload(_ configuration: JackdawConfiguration) {
        self.setRouters(RouterAddress.all(of: configuration))
    }

    private func publish(_ context: DaemonContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.metrics.computedGauge("jackdaw_link_routers", help: "Routers that the process is linked to.") {
            Double(bound.value.linksUp)
        }
        context.metrics.computedCounter(
            "jackdaw_link_switches",
            help: "Times that a channel to another process went on over another router."
        ) {
            Double(bound.value.switches)
        }
    }
}

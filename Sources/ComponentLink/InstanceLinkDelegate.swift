// SPDX-License-Identifier: Apache-2.0

package import XML
package import XMPPCore

/// What an instance learns from its link to the router. Every call comes on the link's event loop.
///
/// Instances outlive the link. One that something was said to about sessions stays available while it is away for less
/// than `ChannelLimits.silence`, whatever becomes of the link and of the router. All others are unavailable when the link
/// goes, before `link(_:down:)`.
package protocol InstanceLinkDelegate: AnyObject {
    /// The names are bound; what is sent from here on travels.
    func linkUp(_ link: InstanceLink)
    /// An instance or an external component is bound, or has changed its epoch or its names.
    func link(_ link: InstanceLink, instanceAvailable instance: LinkInstance)
    /// An instance or a component is gone. An instance that is announced again at once counts as another: of what was
    /// said to the former one nobody knows what it has.
    func link(_ link: InstanceLink, instanceUnavailable instance: LinkInstance)
    /// All that were bound when this link came up have been told.
    func linkInstancesComplete(_ link: InstanceLink)
    /// A wrapper arrived, of which nothing was read but its start tag. True: that was enough, it is done. False: it is
    /// read, and comes again as what it is.
    func link(_ link: InstanceLink, takes route: RouteFrame) -> Bool
    /// A wrapper about a session arrived.
    func link(_ link: InstanceLink, received message: SessionMessage, from instance: String)
    /// A stanza for one of our names arrived, outside of a wrapper.
    func link(_ link: InstanceLink, received stanza: Stanza)
    /// The answer to a request of ours arrived.
    func link(_ link: InstanceLink, received response: AdminResponse, from instance: String)
    /// A request of ours came back: there is no such instance.
    func link(_ link: InstanceLink, returned request: AdminRequest, to instance: String)
    /// A burst is about to be handed over.
    func linkReadBegan(_ link: InstanceLink)
    /// All that was read in this burst has been handed over: the moment to send batches on. It comes after each
    /// `linkReadBegan`, whatever became of the link meanwhile.
    func linkReadComplete(_ link: InstanceLink)
    /// The link is gone; plain stanzas that were not yet sent are lost. It connects again by itself unless it was stopped.
    func link(_ link: InstanceLink, down failure: LinkFailure)
    /// A try to come up failed; the link tries again by itself unless it was stopped.
    func link(_ link: InstanceLink, notUp failure: LinkFailure)
}

extension InstanceLinkDelegate {
    /// For those who read all.
    package func link(_ link: InstanceLink, takes route: RouteFrame) -> Bool { false }
    /// For those who wait for `linkUp`.
    package func link(_ link: InstanceLink, notUp failure: LinkFailure) {}
    /// For those who ask nothing.
    package func link(_ link: InstanceLink, received response: AdminResponse, from instance: String) {}
    /// For those who ask nothing.
    package func link(_ link: InstanceLink, returned request: AdminRequest, to instance: String) {}
    /// For those who do not batch.
    package func linkReadBegan(_ link: InstanceLink) {}
    /// For those who do not batch.
    package func linkReadComplete(_ link: InstanceLink) {}
}

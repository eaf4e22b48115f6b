// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import Logging
import XMPPCore

/// The link's calls, as the server's events.
extension SMServer: InstanceLinkDelegate {
    func linkUp(_ link: InstanceLink) { whenLinkChanged(true) }
    func link(_ link: InstanceLink, instanceAvailable instance: LinkInstance) { instanceAvailable(instance) }
    func link(_ link: InstanceLink, instanceUnavailable instance: LinkInstance) { instanceUnavailable(instance) }
    func linkInstancesComplete(_ link: InstanceLink) { instancesComplete() }
    func link(_ link: InstanceLink, received message: SessionMessage, from instance: String) {
        received(message, from: instance)
    }
    func link(_ link: InstanceLink, received stanza: Stanza) { received(stanza) }
    func link(_ link: InstanceLink, received response: AdminResponse, from instance: String) {
        received(response, from: instance)
    }
    func linkReadComplete(_ link: InstanceLink) {
        if link.isUp { sendReports() }
    }
    func link(_ link: InstanceLink, down failure: LinkFailure) {
        whenLinkChanged(false)
        failOutside()
    }
}

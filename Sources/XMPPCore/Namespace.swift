// SPDX-License-Identifier: Apache-2.0

/// The namespaces of the suite, by the short names of their specifications.
package enum Namespace {
    // RFC 6120, RFC 6121
    package static let client = "jabber:client"
    package static let server = "jabber:server"
    package static let streams = "http://etherx.jabber.org/streams"
    package static let streamErrors = "urn:ietf:params:xml:ns:xmpp-streams"
    package static let stanzaErrors = "urn:ietf:params:xml:ns:xmpp-stanzas"
    package static let tls = "urn:ietf:params:xml:ns:xmpp-tls"
    package static let sasl = "urn:ietf:params:xml:ns:xmpp-sasl"
    package static let bind = "urn:ietf:params:xml:ns:xmpp-bind"
    package static let session = "urn:ietf:params:xml:ns:xmpp-session"
    package static let roster = "jabber:iq:roster"
    package static let rosterVersioning = "urn:xmpp:features:rosterver"
    package static let subscriptionPreApproval = "urn:xmpp:features:pre-approval"
    package static let xml = "http://www.w3.org/XML/1998/namespace"

    // Ours (docs/protocols.md)
    package static let link = "urn:jackdaw:link:0"
    package static let clientSession = "urn:jackdaw:session:0"
    package static let channel = "urn:jackdaw:channel:0"
    package static let administration = "urn:jackdaw:admin:0"

    // XEPs
    package static let component = "jabber:component:accept"  // XEP-0114
    package static let applicationErrors = "urn:xmpp:errors"  // XEP-0182
    package static let last = "jabber:iq:last"  // XEP-0012
    package static let discoInfo = "http://jabber.org/protocol/disco#info"  // XEP-0030
    package static let discoItems = "http://jabber.org/protocol/disco#items"  // XEP-0030
    package static let dataForms = "jabber:x:data"  // XEP-0004
    package static let muc = "http://jabber.org/protocol/muc"  // XEP-0045
    package static let mucUser = "http://jabber.org/protocol/muc#user"  // XEP-0045
    package static let privateStorage = "jabber:iq:private"  // XEP-0049
    package static let vcard = "vcard-temp"  // XEP-0054
    package static let vcardUpdate = "vcard-temp:x:update"  // XEP-0153
    package static let pubsub = "http://jabber.org/protocol/pubsub"  // XEP-0060
    package static let register = "jabber:iq:register"  // XEP-0077
    package static let registerFeature = "http://jabber.org/features/iq-register"  // XEP-0077
    package static let amp = "http://jabber.org/protocol/amp"  // XEP-0079
    package static let chatStates = "http://jabber.org/protocol/chatstates"  // XEP-0085
    package static let version = "jabber:iq:version"  // XEP-0092
    package static let caps = "http://jabber.org/protocol/caps"  // XEP-0115
    package static let compress = "http://jabber.org/features/compress"  // XEP-0138
    package static let offlineMessages = "msgoffline"  // XEP-0160, a disco feature
    package static let receipts = "urn:xmpp:receipts"  // XEP-0184
    package static let blocking = "urn:xmpp:blocking"  // XEP-0191
    package static let blockingErrors = "urn:xmpp:blocking:errors"  // XEP-0191
    package static let streamManagement = "urn:xmpp:sm:3"  // XEP-0198
    package static let ping = "urn:xmpp:ping"  // XEP-0199
    package static let time = "urn:xmpp:time"  // XEP-0202
    package static let delay = "urn:xmpp:delay"  // XEP-0203
    package static let carbons = "urn:xmpp:carbons:2"  // XEP-0280
    package static let forward = "urn:xmpp:forward:0"  // XEP-0297
    package static let hints = "urn:xmpp:hints"  // XEP-0334
    package static let stanzaIDs = "urn:xmpp:sid:0"  // XEP-0359
    package static let channelBinding = "urn:xmpp:sasl-cb:0"  // XEP-0440
    package static let streamLimits = "urn:xmpp:stream-limits:0"  // XEP-0478
    package static let serverInformation = "http://jabber.org/network/serverinfo"  // XEP-0157

    /// The content namespaces of RFC 6120 §4.8.2 and XEP-0114, in which stanzas may stand.
    package static func isContent(_ namespace: String) -> Bool {
        switch namespace {
        case Self.client, Self.server, Self.component: true
        default: false
        }
    }
}

// SPDX-License-Identifier: Apache-2.0

import Config
import XML
import XMPPCore

/// XEP-0157: Contact Addresses for XMPP Services (1.1.1), a form (XEP-0128) in the server's disco#info.
final class ContactAddressesModule: SMModule {
    private unowned let server: SMServer

    init(_ server: SMServer) {
        self.server = server
    }

    func forms(of entity: DiscoEntity) -> [Element] {
        guard case .server(let domain) = entity,
            let hosted = server.configuration.domains.first(where: { $0.name == domain })
        else { return [] }
        let fields = hosted.contacts.fields
        guard !fields.isEmpty else { return [] }
        var form = Element("x", Namespace.dataForms, attributes: ["type": "result"])
        form.append(Self.field("FORM_TYPE", [Namespace.serverInformation], type: "hidden"))
        for field in fields { form.append(Self.field(field.name, field.values)) }
        return [form]
    }

    private static func field(_ name: String, _ values: [String], type: String? = nil) -> Element {
        Element(
            "field",
            Namespace.dataForms,
            attributes: ["var": name, "type": type],
            elements: values.map { Element("value", Namespace.dataForms, text: $0) }
        )
    }
}

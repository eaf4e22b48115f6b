// SPDX-License-Identifier: Apache-2.0

package import NIOCore
package import XML
import XMPPCore

/// A name and its value: an argument of a request, a field of a row.
package struct AdminField: Sendable, Equatable {
    /// The name, `user`.
    package var name: String
    /// The value as text.
    package var value: String

    /// Makes a field.
    package init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// A request of `jackdawctl` to a process (`docs/protocols.md`, section 3).
package struct AdminRequest: Sendable, Equatable, WrapperContent {
    /// What the answer repeats.
    package var id: String
    /// The command, `user-add`.
    package var command: String
    /// The arguments; a name may come more than once.
    package var arguments: [AdminField]

    /// Makes a request.
    package init(id: String, command: String, arguments: [AdminField] = []) {
        self.id = id
        self.command = command
        self.arguments = arguments
    }

    /// The first argument of that name.
    package subscript(_ name: String) -> String? {
        self.arguments.first { $0.name == name }?.value
    }

    /// Reads the child of a wrapper.
    package init(_ tag: StreamElementTag) throws(LinkFault) {
        guard tag.namespace == Namespace.administration, tag.name == "request" else { throw .unknownElement(tag.name) }
        let attributes = LinkAttributes(tag.attributes)
        self.id = try attributes.required("id")
        self.command = try attributes.required("command")
        self.arguments = []
        for case .element(let child) in try tag.children() where child.name == "argument" {
            guard let name = child["name"] else { throw .missingAttribute("name") }
            self.arguments.append(AdminField(name, child.text))
        }
    }

    /// Appends the element.
    package func writeContent(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<request xmlns='urn:jackdaw:admin:0'")
        buffer.writeLinkAttribute("id", self.id)
        buffer.writeLinkAttribute("command", self.command)
        buffer.writeStaticString(">")
        for argument in self.arguments {
            buffer.writeStaticString("<argument")
            buffer.writeLinkAttribute("name", argument.name)
            buffer.writeStaticString(">")
            buffer.writeLinkText(argument.value)
            buffer.writeStaticString("</argument>")
        }
        buffer.writeStaticString("</request>")
    }
}

/// The answer to a request: rows of fields, or an error.
package struct AdminResponse: Sendable, Equatable, WrapperContent {
    /// The id of the request.
    package var id: String
    /// The rows, where the command was carried out.
    package var rows: [[AdminField]]
    /// What went wrong.
    package var error: Failure?

    /// Why a command was not carried out.
    package struct Failure: Error, Sendable, Equatable {
        /// The condition, in the words of RFC 6120 §8.3.3 where one fits: `item-not-found`.
        package var condition: String
        /// A sentence for the operator.
        package var text: String

        /// Makes a failure.
        package init(_ condition: String, _ text: String) {
            self.condition = condition
            self.text = text
        }
    }

    /// Makes the answer to a command that was carried out.
    package init(id: String, rows: [[AdminField]] = []) {
        self.id = id
        self.rows = rows
    }

    /// Makes the answer to a command that failed.
    package init(id: String, error: Failure) {
        self.id = id
        self.rows = []
        self.error = error
    }

    /// Reads the child of a wrapper.
    package init(_ tag: StreamElementTag) throws(LinkFault) {
        guard tag.namespace == Namespace.administration, tag.name == "response" else { throw .unknownElement(tag.name) }
        let attributes = LinkAttributes(tag.attributes)
        let id = try attributes.required("id")
        if let condition = attributes["error"] {
            self.init(id: id, error: Failure(condition, try tag.text()))
            return
        }
        var rows: [[AdminField]] = []
        for case .element(let row) in try tag.children() where row.name == "row" {
            var fields: [AdminField] = []
            for field in row.childElements where field.name == "field" {
                guard let name = field["name"] else { throw .missingAttribute("name") }
                fields.append(AdminField(name, field.text))
            }
            rows.append(fields)
        }
        self.init(id: id, rows: rows)
    }

    /// Appends the element.
    package func writeContent(to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<response xmlns='urn:jackdaw:admin:0'")
        buffer.writeLinkAttribute("id", self.id)
        if let error = self.error {
            buffer.writeLinkAttribute("error", error.condition)
            buffer.writeStaticString(">")
            buffer.writeLinkText(error.text)
        } else {
            buffer.writeStaticString(">")
            for row in self.rows { Self.write(row, to: &buffer) }
        }
        buffer.writeStaticString("</response>")
    }

    private static func write(_ row: [AdminField], to buffer: inout ByteBuffer) {
        buffer.writeStaticString("<row>")
        for field in row {
            buffer.writeStaticString("<field")
            buffer.writeLinkAttribute("name", field.name)
            buffer.writeStaticString(">")
            buffer.writeLinkText(field.value)
            buffer.writeStaticString("</field>")
        }
        buffer.writeStaticString("</row>")
    }
}

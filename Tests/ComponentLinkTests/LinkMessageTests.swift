// SPDX-License-Identifier: Apache-2.0

import ComponentLink
import NIOCore
import Testing
import XML

/// `docs/protocols.md`, sections 1 and 3.
@Suite struct LinkMessageTests {
    private static let examples = [
        "<j:declare epoch='e'><j:name>localhost</j:name><j:name>a&amp;b</j:name><j:default-route/></j:declare>",
        "<j:declare epoch='e'></j:declare>", "<j:declared/>",
        "<j:instance name='sm-1' epoch='e' kind='internal' state='available'><j:name>localhost</j:name></j:instance>",
        "<j:instance name='chess.localhost' epoch='e' kind='external' state='unavailable'></j:instance>",
        "<j:instances-complete/>", "<j:route from='a' to='b' odd=\"1\"><undeclared:x/></j:route>",
    ]

    @Test(arguments: examples)
    func `what is read is written again as it was`(xml: String) throws {
        var buffer = ByteBuffer()
        try LinkMessage(try LinkReader.element(xml)).write(to: &buffer)
        #expect(String(buffer: buffer) == xml)
    }

    @Test func `a judging reader sees the same declaration`() throws {
        for trust in [StreamReader.Trust.foreign, .internalLink] {
            guard case .declare(let declaration) = try LinkMessage(LinkReader.element(Self.examples[0], trust: trust))
            else {
                Issue.record("no declaration")
                continue
            }
            #expect(
                declaration == LinkDeclaration(epoch: "e", names: ["localhost", "a&b"], isDefaultRoute: true)
            )
        }
    }

    @Test(arguments: [
        ("<j:what/>", LinkFault.unknownElement("what")), ("<j:declare/>", .missingAttribute("epoch")),
        ("<j:route to='b'/>", .missingAttribute("from")), ("<j:route from='a'/>", .missingAttribute("to")),
        ("<j:instance name='a' epoch='b' kind='c'/>", .badAttribute("kind")),
        ("<j:instance epoch='b' kind='internal'/>", .missingAttribute("name")),
    ])
    func `what cannot be read is named`(xml: String, fault: LinkFault) throws {
        let element = try LinkReader.element(xml)
        #expect(throws: fault) { try LinkMessage(element) }
    }

    @Test func `a returned wrapper says so`() throws {
        let route = try LinkReader.route("<j:route from='a' to='b' error='unreachable'><x/></j:route>")
        #expect(route.isUnreachable)
        #expect(route.from == "a")
        #expect(route.to == "b")
    }

    @Test func `a request and its answers survive the link`() throws {
        let request = AdminRequest(
            id: "1",
            command: "user-add",
            arguments: [AdminField("user", "ä<b>@localhost"), AdminField("password", " '\"&\n ")]
        )
        var buffer = ByteBuffer()
        request.write(with: RouteHead(from: "ctl", to: "sm"), into: &buffer)
        let rows = AdminResponse(id: "1", rows: [[AdminField("a", "1"), AdminField("b", "")], []])
        rows.write(with: RouteHead(from: "sm", to: "ctl"), into: &buffer)
        let failure = AdminResponse(id: "2", error: AdminResponse.Failure("conflict", "taken & gone"))
        failure.write(with: RouteHead(from: "sm", to: "ctl"), into: &buffer)
        let routes = try LinkReader.routes(in: String(buffer: buffer))
        let tags = try routes.map { try #require($0.inner()) }
        #expect(routes.map(\.to) == ["sm", "ctl", "ctl"])
        #expect(try AdminRequest(tags[0]) == request)
        #expect(request["user"] == "ä<b>@localhost")
        #expect(request["what"] == nil)
        #expect(try AdminResponse(tags[1]) == rows)
        #expect(try AdminResponse(tags[2]) == failure)
        #expect(throws: LinkFault.unknownElement("response")) { try AdminRequest(tags[1]) }
        #expect(throws: LinkFault.unknownElement("request")) { try AdminResponse(tags[0]) }
    }
}

// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Testing

@testable import Storage

/// Cells that do not have the form that a reader expects never trap.
@Suite struct RowTests {
    private func row(_ bytes: [UInt8]) -> Row {
        let table = ResultTable(buffer: ByteBuffer(bytes: bytes), cells: [(0, Int32(bytes.count))], columns: 1)
        return Row(table: table, index: 0)
    }

    @Test(
        "A cell of another type reads as nil",
        arguments: [[], [1, 2, 3], Array(repeating: 255, count: 5)] as [[UInt8]]
    )
    func wrongSize(bytes: [UInt8]) {
        #expect(row(bytes).int(0) == nil)
        #expect(row(bytes).bool(0) == nil)
        #expect(row(bytes).texts(0) == nil)
        #expect(row(bytes).microseconds(0) == nil)
    }

    @Test(
        "An array that lies about its size reads as nil",
        arguments: [
            [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 127, 255, 255, 255, 0, 0, 0, 1],
            [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 255, 255, 255, 255, 0, 0, 0, 1],
            [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1, 127, 255, 255, 255],
            [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 1, 0, 0, 0, 1, 255, 255, 255, 255],
            [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 25],
        ] as [[UInt8]]
    )
    func wrongArray(bytes: [UInt8]) {
        #expect(row(bytes).texts(0) == nil)
    }

    @Test("A row outside of its result has no cells")
    func outside() {
        let row = Row(table: ResultTable(buffer: ByteBuffer(), cells: [(0, 10)], columns: 1), index: 0)
        #expect(row.text(0) == nil)
        #expect(Row(table: .empty, index: 7).isNull(0))
    }
}

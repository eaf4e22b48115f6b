// SPDX-License-Identifier: Apache-2.0

package import NIOCore

/// A row of a result. Columns count from 0; a column that is null, absent or of another type reads as nil.
///
/// All rows of a result share one buffer, and ``bytes(_:)`` slices it.
package struct Row: Sendable {
    let table: ResultTable
    let index: Int

    package func isNull(_ column: Int) -> Bool {
        table.cell(row: index, column: column) == nil
    }

    /// A column of type `text`, `varchar` or `name`.
    package func text(_ column: Int) -> String? {
        table.cell(row: index, column: column).map { String(buffer: $0) }
    }

    /// A column of type `smallint`, `integer`, `bigint` or `timestamptz` (microseconds since 2000-01-01 UTC: use
    /// ``microseconds(_:)``).
    package func int(_ column: Int) -> Int64? {
        guard var cell = table.cell(row: index, column: column) else { return nil }
        switch cell.readableBytes {
        case 2: return cell.readInteger(as: Int16.self).map(Int64.init)
        case 4: return cell.readInteger(as: Int32.self).map(Int64.init)
        case 8: return cell.readInteger(as: Int64.self)
        default: return nil
        }
    }

    /// A `timestamptz` in microseconds since 1970-01-01 UTC.
    package func microseconds(_ column: Int) -> Int64? {
        // PostgreSQL counts from 2000-01-01; infinity is the extreme value and must not overflow.
        int(column).map { $0.addingReportingOverflow(946_684_800_000_000) }.flatMap {
            $0.overflow ? nil : $0.partialValue
        }
    }

    package func bool(_ column: Int) -> Bool? {
        guard let cell = table.cell(row: index, column: column), cell.readableBytes == 1 else { return nil }
        return cell.getInteger(at: cell.readerIndex, as: UInt8.self) != 0
    }

    /// A column of type `bytea`, as a slice of the result.
    package func bytes(_ column: Int) -> ByteBuffer? {
        table.cell(row: index, column: column)
    }

    /// A column of type `text[]` with one dimension and no nulls.
    package func texts(_ column: Int) -> [String]? {
        guard var cell = table.cell(row: index, column: column) else { return nil }
        guard let dimensions = cell.readInteger(as: Int32.self), cell.readInteger(as: Int64.self) != nil else {
            return nil
        }
        if dimensions == 0 { return [] }
        guard dimensions == 1, let count = cell.readInteger(as: Int32.self), cell.readInteger(as: Int32.self) != nil,
            count >= 0
        else { return nil }
        var texts: [String] = []
        for _ in 0..<count {
            guard let length = cell.readInteger(as: Int32.self), length >= 0,
                let text = cell.readString(length: Int(length))
            else { return nil }
            texts.append(text)
        }
        return texts
    }
}

/// The cells of one result, copied once out of libpq's memory.
struct ResultTable: Sendable {
    var buffer: ByteBuffer
    /// Where each cell starts and its length, row by row; a length of -1 is null.
    var cells: [(offset: Int32, length: Int32)]
    var columns: Int

    static let empty = ResultTable(buffer: ByteBuffer(), cells: [], columns: 0)

    func cell(row: Int, column: Int) -> ByteBuffer? {
        let position = row * columns + column
        guard column >= 0, column < columns, cells.indices.contains(position) else { return nil }
        let cell = cells[position]
        return cell.length < 0 ? nil : buffer.getSlice(at: Int(cell.offset), length: Int(cell.length))
    }

    var rows: [Row] {
        columns == 0 ? [] : (0..<(cells.count / columns)).map { Row(table: self, index: $0) }
    }
}

/// What a statement gave back: its rows, and how many rows it read or changed.
package struct StatementResult: Sendable {
    package var rows: [Row]
    package var affected: Int
}

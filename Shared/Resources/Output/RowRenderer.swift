import Core
import Postgres

/// Writes rows as JSON objects: the columns of a row in their order.
struct RowRenderer: Sendable {
    let columns: [Column]

    /// Appends the object for the row's first columns; what follows them is not written.
    func append(_ row: PostgresRow, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        for index in columns.indices {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: columns[index].prefix)
            row.withBytes(index) { CellWriter.append($0, as: columns[index].format, to: &output) }
        }
        output.append(UInt8(ascii: "}"))
    }

    /// Appends the object for some of the row's columns.
    func append(_ row: PostgresRow, only indexes: [Int], to output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        for (place, index) in indexes.enumerated() {
            if place > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: columns[index].prefix)
            row.withBytes(index) { CellWriter.append($0, as: columns[index].format, to: &output) }
        }
        output.append(UInt8(ascii: "}"))
    }

    /// Appends the object for cells that were stored as text.
    func append(cells: some RandomAccessCollection<[UInt8]?>, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        for (index, (column, cell)) in zip(columns, cells).enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: column.prefix)
            if let cell {
                cell.withUnsafeBufferPointer { CellWriter.append($0, as: column.format, to: &output) }
            } else {
                CellWriter.append(nil, as: column.format, to: &output)
            }
        }
        output.append(UInt8(ascii: "}"))
    }
}

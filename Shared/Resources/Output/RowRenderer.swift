import Core
import Postgres

/// Writes rows as JSON objects: the columns of a row in their order.
struct RowRenderer: Sendable {
    private struct Member: Sendable {
        /// What stands before the value: `{"id":` or `,"version":`.
        let prefix: [UInt8]
        let format: CellFormat
    }

    private let members: [Member]

    init(columns: [Column]) {
        members = columns.enumerated().map { index, column in
            Member(prefix: Array("\(index == 0 ? "{" : ",")\"\(column.name)\":".utf8), format: column.format)
        }
    }

    /// Appends the object for the row's first columns; what follows them is not written.
    func append(_ row: PostgresRow, to output: inout [UInt8]) {
        row.withEachBytes(first: members.count) { index, bytes in
            output.append(contentsOf: members[index].prefix)
            CellWriter.append(bytes, as: members[index].format, to: &output)
        }
        output.append(UInt8(ascii: "}"))
    }

    /// Appends the object for cells that stand elsewhere than in a row, one for each column.
    func append(cells: some Sequence<[UInt8]?>, to output: inout [UInt8]) {
        for (member, cell) in zip(members, cells) {
            output.append(contentsOf: member.prefix)
            if let cell {
                cell.withUnsafeBufferPointer { CellWriter.append($0, as: member.format, to: &output) }
            } else {
                CellWriter.append(nil, as: member.format, to: &output)
            }
        }
        output.append(UInt8(ascii: "}"))
    }
}

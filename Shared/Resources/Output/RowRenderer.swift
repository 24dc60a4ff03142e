import Core
import Postgres

/// Writes rows as JSON objects: the columns of a row in their order.
struct RowRenderer: Sendable {
    private struct Member: Sendable {
        /// What stands before the value: `{"id":` or `,"version":`.
        let prefix: [UInt8]
        let format: CellFormat
        var place = Place.own
    }

    /// Where a cell stands in an expanded object: its first, which is null when there is no object, and its last.
    private enum Place: Sendable {
        case own
        case first(name: [UInt8])
        case inside, last
    }

    private let members: [Member]
    private let hasExpansions: Bool

    init(columns: [Column]) {
        members = columns.enumerated().map { index, column in
            Member(prefix: Array("\(index == 0 ? "{" : ",")\"\(column.name)\":".utf8), format: column.format)
        }
        hasExpansions = false
    }

    init(_ projection: Projection) {
        var members: [Member] = []
        for part in projection.parts {
            let start = members.isEmpty ? "{" : ","
            switch part {
            case .column(let column): members.append(Member(prefix: Array("\(start)\"\(column.name)\":".utf8), format: column.format))
            case .expansion(let expansion):
                for (index, column) in expansion.columns.enumerated() {
                    var member = Member(prefix: Array("\(index == 0 ? "{" : ",")\"\(column.name)\":".utf8), format: column.format)
                    member.place = index == expansion.columns.count - 1 ? .last : .inside
                    if index == 0 { member.place = .first(name: Array("\(start)\"\(expansion.name)\":".utf8)) }
                    members.append(member)
                }
            }
        }
        self.members = members
        hasExpansions = true
    }

    /// Appends the object for the row's first columns; what follows them is not written.
    func append(_ row: PostgresRow, to output: inout [UInt8]) {
        if hasExpansions { return appendExpanded(row, to: &output) }
        row.withEachBytes(first: members.count) { index, bytes in
            output.append(contentsOf: members[index].prefix)
            CellWriter.append(bytes, as: members[index].format, to: &output)
        }
        output.append(UInt8(ascii: "}"))
    }

    private func appendExpanded(_ row: PostgresRow, to output: inout [UInt8]) {
        var isAbsent = false
        row.withEachBytes(first: members.count) { index, bytes in
            let member = members[index]
            switch member.place {
            case .own: isAbsent = false
            case .first(let name):
                isAbsent = bytes == nil
                output.append(contentsOf: name)
                if isAbsent { CellWriter.append(nil, as: member.format, to: &output) }
            case .inside, .last: break
            }
            if isAbsent { return }
            output.append(contentsOf: member.prefix)
            CellWriter.append(bytes, as: member.format, to: &output)
            if case .last = member.place { output.append(UInt8(ascii: "}")) }
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

import Core
import Postgres

/// Writes rows as JSON objects: the columns of a row in their order.
struct RowRenderer: Sendable {
    private struct Member: Sendable {
        /// Where in `prefixes` stands what comes before the value: `{"id":` or `,"version":`.
        let prefix: Range<Int>
        let format: CellFormat
        var place = Place.own
    }

    /// Where a cell stands in an expanded object: its first, which is null when there is no object, and its last.
    private enum Place: Sendable {
        case own
        /// Of several objects, of which there is one at most, the first begins the member, and behind the last there is none.
        case first(name: [UInt8]?, isLastObject: Bool)
        case inside, last
    }

    private var members: [Member] = []
    /// One array for all of them: an array for each would be counted as held and given back with each cell.
    private var prefixes: [UInt8] = []
    private var hasExpansions = false

    init(columns: [Column]) {
        for column in columns { add(column, isFirst: members.isEmpty) }
    }

    init(_ projection: Projection) {
        hasExpansions = true
        for part in projection.parts {
            let isFirst = members.isEmpty
            switch part {
            case .column(let column): add(column, isFirst: isFirst)
            case .expansion(let expansion):
                let name = Array("\(isFirst ? "{" : ",")\"\(expansion.member)\":".utf8)
                for (place, target) in expansion.targets.enumerated() {
                    let first = Place.first(name: place == 0 ? name : nil, isLastObject: place == expansion.targets.count - 1)
                    for (index, column) in target.columns.enumerated() {
                        let isLast = index == target.columns.count - 1
                        add(column, isFirst: index == 0, at: index == 0 ? first : isLast ? .last : .inside)
                    }
                }
            }
        }
    }

    private mutating func add(_ column: Column, isFirst: Bool, at place: Place = .own) {
        let start = prefixes.count
        prefixes += Array("\(isFirst ? "{" : ",")\"\(column.name)\":".utf8)
        members.append(Member(prefix: start..<prefixes.count, format: column.format, place: place))
    }

    /// Appends the object for the row's first columns; what follows them is not written.
    func append(_ row: PostgresRow, to output: inout [UInt8]) {
        if hasExpansions { return appendExpanded(row, to: &output) }
        prefixes.withUnsafeBufferPointer { prefixes in
            members.withUnsafeBufferPointer { members in
                row.withEachBytes(first: members.count) { index, bytes in
                    output.append(contentsOf: UnsafeBufferPointer(rebasing: prefixes[members[index].prefix]))
                    CellWriter.append(bytes, as: members[index].format, to: &output)
                }
            }
        }
        output.append(UInt8(ascii: "}"))
    }

    private func appendExpanded(_ row: PostgresRow, to output: inout [UInt8]) {
        var isAbsent = false
        var isFound = false
        row.withEachBytes(first: members.count) { index, bytes in
            let member = members[index]
            switch member.place {
            case .own: isAbsent = false
            case .first(let name, let isLastObject):
                if let name {
                    output.append(contentsOf: name)
                    isFound = false
                }
                isAbsent = bytes == nil
                if !isAbsent { isFound = true }
                if isLastObject, !isFound { CellWriter.append(nil, as: member.format, to: &output) }
            case .inside, .last: break
            }
            if isAbsent { return }
            output.append(contentsOf: prefixes[member.prefix])
            CellWriter.append(bytes, as: member.format, to: &output)
            if case .last = member.place { output.append(UInt8(ascii: "}")) }
        }
        output.append(UInt8(ascii: "}"))
    }

    /// Appends the object for cells that stand elsewhere than in a row, one for each column.
    func append(cells: some Sequence<[UInt8]?>, to output: inout [UInt8]) {
        for (member, cell) in zip(members, cells) {
            output.append(contentsOf: prefixes[member.prefix])
            if let cell {
                cell.withUnsafeBufferPointer { CellWriter.append($0, as: member.format, to: &output) }
            } else {
                CellWriter.append(nil, as: member.format, to: &output)
            }
        }
        output.append(UInt8(ascii: "}"))
    }
}

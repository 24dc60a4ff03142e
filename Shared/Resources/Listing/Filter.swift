import Core
import Postgres

/// One thing that is asked of the records of a list: a field, how it is compared, and the checked values.
struct Filter: Sendable {
    var field: FilterField
    var comparison: FilterOperator
    /// One for a range and for ``FilterOperator/null``, where it is `true` or `false`.
    var values: [SQLValue]
}

/// What a list can be filtered by: a declared field, a key of the tenant's own, or what every record has.
struct FilterField: Sendable {
    /// What finds the records that have a value.
    enum Index: Sendable, Hashable {
        /// The primary key.
        case key
        /// The index of the order by the column, on (tenant_id, column, id).
        case order
        /// An index on (tenant_id, column, created_at, id), so that one value's records are in the usual order.
        case value
        /// The index that holds a value unique among live records.
        case unique
        /// The values among the words of the column `search`.
        case words
        /// An index on (tenant_id, ``FilterField/numberKey``, created_at, id) of the live rows that have a telephone number, and one of deleted
        /// ones.
        case number
    }

    /// The parameter without an operator.
    let name: String
    let column: String
    let type: FieldType
    /// What its index knows of the column.
    var key: String { type.key(of: column) }
    let isNullable: Bool
    let operators: [FilterOperator]
    let index: Index

    private init(_ name: String, column: String, _ type: FieldType, isNullable: Bool, operators: [FilterOperator]? = nil, index: Index) {
        self.name = name
        self.column = column
        self.type = type
        self.isNullable = isNullable
        self.operators = (operators ?? type.operators).filter { $0 != .null || isNullable }
        self.index = index
    }

    init(_ field: Field) {
        let index: Index =
            if case .phone = field.kind {
                .number
            } else {
                field.isUnique ? .unique : field.type.isText ? .words : field.traits.contains(.sortable) ? .order : .value
            }
        // What holds a value unique finds it, and nothing that lies beside it.
        let operators: [FilterOperator]? = field.isUnique ? [.equal] : nil
        self.init(field.parameter, column: field.name, field.type, isNullable: field.isNullable, operators: operators, index: index)
    }

    /// What is compared of a telephone number: E.164, or else what was given. A case and no coalesce, as with the owner.
    var numberKey: String { "case when \(column)_e164 is null then \(column) else \(column)_e164 end" }

    /// A key of the tenant's own.
    static func custom(_ name: String, in column: String) -> FilterField {
        let type = FieldKind.longText(max: FieldKind.maximumCustomText).type
        return FilterField(name, column: column, type, isNullable: true, operators: [.equal], index: .words)
    }

    /// What every record has.
    static let common = [
        FilterField("id", column: "id", FieldKind.reference(.member).type, isNullable: false, index: .key),
        FilterField("created_at", column: "created_at", FieldKind.timestamp.type, isNullable: false, index: .order),
        FilterField("updated_at", column: "updated_at", FieldKind.timestamp.type, isNullable: false, index: .order),
    ]

    /// The parameter with an operator: `score[gte]`.
    func parameter(_ comparison: FilterOperator) -> String {
        comparison == .equal ? name : "\(name)[\(comparison.rawValue)]"
    }

    /// All parameters of the field.
    var parameters: [String] { operators.map(parameter) }

    /// The values as they are compared.
    ///
    /// - Throws: ``ValueFault``.
    func values(_ text: String, _ comparison: FilterOperator) throws(ValueFault) -> [SQLValue] {
        switch comparison {
        case .equal, .not: return try each(text) { part throws(ValueFault) in try type.scalar(text: part) }
        case .gt, .gte, .lt, .lte: return [try type.scalar(text: text)]
        case .prefix: return try each(text, Self.beginning)
        case .null: return [try FieldKind.boolean.type.scalar(text: text)]
        }
    }

    /// The most values of one filter.
    static let maximumValues = 100
    /// The most characters of a beginning, of which as many are kept to be compared.
    static let maximumPrefix = 200

    private static func beginning(_ part: String) throws(ValueFault) -> SQLValue {
        let text = try PlainText.checked(part, as: .line, maximum: maximumPrefix)
        if text.isEmpty { throw ValueFault(.tooShort, "Expected what the value begins with.") }
        return .text(text)
    }

    private func each(_ text: String, _ read: (String) throws(ValueFault) -> SQLValue) throws(ValueFault) -> [SQLValue] {
        let parts = Self.parts(text)
        guard parts.count <= Self.maximumValues else {
            throw ValueFault(.tooMany, "Expected at most \(Self.maximumValues) values.")
        }
        var values: [SQLValue] = []
        for part in parts { values.append(try read(part)) }
        return values
    }

    /// The parts of `a,b,c`; `\,` is a comma in a part.
    private static func parts(_ text: String) -> [String] {
        guard text.utf8.contains(UInt8(ascii: ",")) else { return [text] }
        var parts = [""]
        var rest = Substring(text).unicodeScalars
        while let scalar = rest.popFirst() {
            switch scalar {
            case "\\" where rest.first == ",":
                rest.removeFirst()
                parts[parts.count - 1].unicodeScalars.append(",")
            case ",": parts.append("")
            default: parts[parts.count - 1].unicodeScalars.append(scalar)
            }
        }
        return parts
    }
}

extension Field {
    /// The parameter of a list that filters by the field.
    var parameter: String {
        switch kind {
        case .tags: "tag"
        case .members: name.hasSuffix("_ids") ? String(name.dropLast(4)) : name
        default: name
        }
    }

    /// Whether a filter by one value has an index of its own that is also in the order of creation. A text has none, and a field that
    /// is sorted by has that order's instead.
    var givesOrder: Bool { traits.contains(.filterable) && !traits.contains(.sortable) && !type.isText }
}

extension ResourceDefinition {
    /// What a list can be filtered by, but for keys of the tenant's own.
    var filterFields: [FilterField] {
        FilterField.common
            + fields.filter { field in
                if case .tags = field.kind { true } else { field.traits.contains(.filterable) }
            }.map(FilterField.init)
    }

    /// The column whose keys are of the tenant's own naming; `nil` when there is none.
    var customColumn: String? { fields.first { if case .custom = $0.kind { true } else { false } }?.name }
}

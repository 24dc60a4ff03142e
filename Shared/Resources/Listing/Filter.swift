import Core
import Postgres

/// One condition of a list.
struct Filter: Sendable {
    /// What finds the records that a condition holds for.
    enum Index: Sendable, Hashable {
        /// One value of a column. Its index is on (tenant_id, column, created_at, id), so that it also gives the usual order, or on
        /// (tenant_id, column, id) where it serves the order by the column too.
        case value(of: String, inOrderOfCreation: Bool)
        /// A range of a column; the index of its order has it.
        case range(of: String)
        /// Words or exact values in the column `search`.
        case words
        /// Several values of a column, which its index finds in no order.
        case values
        /// One of several owners, whose index gives the order of creation for each of them.
        case owners
        /// Values that one live record each has at most.
        case unique
    }

    /// Holds for a row of the table.
    var condition: SQL
    var index: Index
    /// For ``Index/words``: the `tsquery` that the condition compares with.
    var words: SQL?
    /// For ``Index/owners``: who they are.
    var owners: Owners?

    /// Whether its index gives the usual order too.
    var givesOrderOfCreation: Bool { if case .value(_, inOrderOfCreation: true) = index { true } else { false } }

    init(_ condition: SQL, _ index: Index) {
        self.condition = condition
        self.index = index
    }

    /// The condition that what the parameter filters by has one of the values, as they lie in the column `search`.
    init(exactly parameter: String, _ values: [SQLValue], of tenant: TenantID) {
        self.init(words: "filter_query(\(tenant)::uuid, \(parameter), \(values.sqlValue)::text[])")
    }

    /// A condition on the column `search`. The query is made once a statement, not once a row.
    init(words query: SQL) {
        condition = "search @@ (select " + query + ")"
        index = .words
        words = query
    }
}

extension ResourceDefinition {
    /// The condition that the field has one of the values.
    ///
    /// A unique value is found by what holds it unique; any other text as one exact value among the words of the record, where the index on `search` serves all such fields at once
    /// and together; any other kind through a tree of its own.
    func filter(_ field: Field, _ values: [SQLValue], of tenant: TenantID) -> Filter {
        let name = field.name
        if field.type.isText, !field.isUnique { return Filter(exactly: field.parameter, values, of: tenant) }
        // The owner's index is on whose record it is.
        let columns = name == owner && ownerKey != owner ? [ownerKey, name] : [name]
        let isOne = values.count == 1
        let conditions = columns.map { column -> SQL in
            isOne ? "\(unescaped: column) = \(values[0])" : "\(unescaped: column) = any(\(values.sqlValue))"
        }
        let condition = SQL.joined(conditions, separator: " and ")
        if field.isUnique { return Filter(condition, .unique) }
        return Filter(
            condition, isOne ? .value(of: name, inOrderOfCreation: field.givesOrder) : .values)
    }
}

extension Field {
    /// The parameter of a list that filters by the field.
    var parameter: String { if case .tags = kind { "tag" } else { name } }

    /// Whether a filter by one value has an index of its own that is also in the order of creation. A text has none, and a field that
    /// is sorted by has that order's instead.
    var givesOrder: Bool { traits.contains(.filterable) && !traits.contains(.sortable) && !type.isText }
}

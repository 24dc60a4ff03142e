import Core
import Postgres

/// Makes conditions in SQL out of filters: the one place where an operator becomes a comparison and an index.
///
/// A text is found among the words of the record, where the index on `search` serves all such fields at once and together; any other kind
/// through a tree.
struct FilterCompiler: Sendable {
    private let table: String
    private let owner: String
    private let ownerKey: String

    init(_ definition: ResourceDefinition) {
        table = definition.table
        owner = definition.owner
        ownerKey = definition.ownerKey
    }

    func condition(_ filter: Filter, as context: RequestContext) -> Condition {
        let (field, values) = (filter.field, filter.values)
        if let sign = filter.comparison.sign {
            return Condition("\(unescaped: field.column) \(unescaped: sign) \(values[0])", .range(of: field.column))
        }
        if filter.comparison == .null { return null(field, values[0] == .text("true"), of: context.tenant) }
        if field.index == .words { return words(filter, of: context.tenant) }
        if field.index == .number { return number(field, values, from: context.country) }
        return filter.comparison == .not ? rest(field, values, of: context.tenant) : any(field, values)
    }

    // MARK: Texts

    private func words(_ filter: Filter, of tenant: TenantID) -> Condition {
        let (field, array) = (filter.field, filter.values.sqlValue)
        let column = field.column
        guard filter.comparison != .prefix else {
            return Condition(words: "prefix_query(\(tenant)::uuid, \(field.name), \(array)::text[])")
        }
        let key = field.type.comparedBy
        let keys: SQL =
            key.map { "array(select \(unescaped: $0)(given) from unnest(\(array)::text[]) as given)" } ?? "\(array)::text[]"
        let exact: SQL = "filter_query(\(tenant)::uuid, \(field.name), " + keys + ")"
        guard filter.comparison == .not else { return Condition(words: exact) }
        let compared = key.map { "\($0)(\(column))" } ?? column
        let others: SQL =
            field.type.isCollection
            ? "not \(unescaped: column) && " + keys
            : "(\(unescaped: column) is null or \(unescaped: compared) <> all(" + keys + "))"
        return Condition(others, words: "rest_query(\(tenant)::uuid, " + exact + ")", isRest: true)
    }

    // MARK: Telephone numbers

    /// Each as it is written, and as the number that it is from the tenant's country.
    private func number(_ field: FilterField, _ values: [SQLValue], from country: String?) -> Condition {
        let keys = values.flatMap { value -> [SQLValue] in
            guard case .text(let text) = value, let number = PhoneNumber.e164(text, from: country), number != text else { return [value] }
            return [value, .text(number)]
        }
        func among(_ keys: [SQLValue]) -> SQL {
            let isOne: SQL = keys.count == 1 ? "= \(keys[0])" : "= any(\(keys.sqlValue))"
            return "\(unescaped: field.column) is not null and (\(unescaped: field.numberKey)) " + isOne
        }
        guard values.count == 1 else { return Condition(among(keys), .values) }
        var condition = Condition(among(keys), .value(of: field.column, inOrderOfCreation: true))
        if keys.count > 1 { condition.parts = keys.map { among([$0]) } }
        return condition
    }

    // MARK: Other kinds

    /// The owner's index is on whose record it is.
    private func columns(_ field: FilterField) -> [String] {
        field.column == owner && ownerKey != owner ? [ownerKey, owner] : [field.column]
    }

    private func any(_ field: FilterField, _ values: [SQLValue]) -> Condition {
        let isOne = values.count == 1
        let conditions =
            field.type.isRelated
            ? related(field, values)
            : columns(field).map { column -> SQL in
                isOne ? "\(unescaped: column) = \(values[0])" : "\(unescaped: column) = any(\(values.sqlValue))"
            }
        let index: Condition.Index =
            switch field.index {
            case .key: .key
            case .unique: .few
            case _ where !isOne: .values
            case .value, .number: .value(of: field.column, inOrderOfCreation: true)
            case .order, .words: .value(of: field.column, inOrderOfCreation: false)
            }
        return Condition(SQL.joined(conditions, separator: " and "), index)
    }

    /// The index knows the ids; of what type each is, is looked at in the rows.
    private func related(_ field: FilterField, _ values: [SQLValue]) -> [SQL] {
        let ids = values.compactMap { RelatedRecord($0)?.id }
        return values.count == 1
            ? ["\(unescaped: field.key) = \(ids[0])", "\(unescaped: field.column) = \(values[0])::record_reference"]
            : ["\(unescaped: field.key) = any(\(ids))", "\(unescaped: field.column) = any(\(values.sqlValue)::record_reference[])"]
    }

    /// All but the values, as something that an index knows: of a few choices the others, else what lies between the values.
    private func rest(_ field: FilterField, _ values: [SQLValue], of tenant: TenantID) -> Condition {
        let columns = columns(field)
        let key = columns[0]
        var ranges: [SQL]
        if let choices = field.type.choices {
            let others = choices.map(SQLValue.text).filter { !values.contains($0) }
            ranges = ["\(unescaped: key) = any(\(others.sqlValue))"]
        } else {
            let sorted = Set(values).sorted(by: Self.precedes)
            ranges = zip(sorted, sorted.dropFirst()).map { "\(unescaped: key) > \($0) and \(unescaped: key) < \($1)" }
            ranges.insert("\(unescaped: key) < \(sorted[0])", at: 0)
            ranges.append("\(unescaped: key) > \(sorted[sorted.count - 1])")
        }
        if field.isNullable { ranges.append("\(unescaped: field.column) is null") }
        var condition = Condition("(" + SQL.joined(ranges, separator: " or ") + ")", .values)
        condition.isRest = true
        if columns.count > 1 { condition.lookup = otherOwners(than: values, of: tenant) }
        return condition
    }

    /// What others than these own, or nobody. Who they are their index tells, one after the other: the server knows only how many records
    /// owners have over all tenants, so it would rather read all records of the tenant.
    private func otherOwners(than values: [SQLValue], of tenant: TenantID) -> SQL {
        let next: SQL = """
            select \(unescaped: ownerKey) from \(unescaped: table) where tenant_id = \(tenant) and deleted_at is null and \(unescaped: ownerKey) > others.owner \
            order by \(unescaped: ownerKey) limit 1
            """
        return """
            ((\(unescaped: ownerKey)) = any(array(with recursive others (owner) as (\
            select '00000000-0000-0000-0000-000000000000'::uuid union all select (\(next)) from others where owner is not null) \
            select owner from others where owner <> all(\(values.sqlValue)))) or \(unescaped: owner) is null)
            """
    }

    /// In the order of the server: whole numbers by what they are, ids, dates and times by their spelling.
    private static func precedes(_ left: SQLValue, _ right: SQLValue) -> Bool {
        guard case .text(let left) = left, case .text(let right) = right else { return false }
        if let left = Int64(left), let right = Int64(right) { return left < right }
        return left < right
    }

    private func null(_ field: FilterField, _ isNull: Bool, of tenant: TenantID) -> Condition {
        let sql: SQL = "\(unescaped: field.key) is \(unescaped: isNull ? "" : "not ")null"
        if field.index == .words {
            return isNull
                ? Condition(sql, words: "missing_query(\(tenant)::uuid, \(field.name))")
                : Condition(sql, words: "prefix_query(\(tenant)::uuid, \(field.name), array[''])", isRest: true)
        }
        var condition = Condition(sql, .range(of: field.column))
        if field.index == .value {
            condition.index = isNull ? .value(of: field.column, inOrderOfCreation: true) : .values
            // What nobody owns has an index of its own.
            if isNull, columns(field).count == 1 { condition.nullColumn = field.key }
        }
        condition.isRest = !isNull
        return condition
    }
}

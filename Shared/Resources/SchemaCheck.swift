import Core
import Postgres

/// Holds a declaration against its table, so that the two cannot drift apart. Services' tests call it for each resource.
public enum SchemaCheck {
    /// What does not fit, a sentence each; empty when declaration and table agree.
    ///
    /// Looks at columns, types, nullability, the values of enumerations, indexes for each order, the primary key, foreign keys,
    /// forced row security, the audit trigger, the plan's limit and the search function.
    /// - Parameters:
    ///   - others: The resources that its references lead to, beside itself.
    ///   - copies: Those of other services, likewise.
    /// - Throws: ``PostgresError``.
    public static func faults(
        of definition: ResourceDefinition, beside others: [ResourceDefinition] = [], copies: [CopiedResource] = [],
        on postgres: PostgresClient
    ) async throws -> [String] {
        let table = definition.table
        let results = try await postgres.batch(
            as: SystemContext(service: "schema-check"),
            [
                """
                select attname, format_type(coalesce(nullif(typbasetype, 0), atttypid), atttypmod), attnotnull \
                from pg_attribute join pg_type on pg_type.oid = atttypid \
                where attrelid = to_regclass(\(table)) and attnum > 0 and not attisdropped
                """,
                """
                select conname, pg_get_constraintdef(oid) from pg_constraint \
                where conrelid = to_regclass(\(table)) \
                or contypid in (select atttypid from pg_attribute where attrelid = to_regclass(\(table)) and not attisdropped)
                """,
                "select relrowsecurity and relforcerowsecurity from pg_class where oid = to_regclass(\(table))",
                """
                select proname, prosrc from pg_trigger join pg_proc on pg_proc.oid = tgfoid \
                where tgrelid = to_regclass(\(table)) and not tgisinternal and tgenabled <> 'D'
                """,
                "select pg_get_indexdef(indexrelid) from pg_index where indrelid = to_regclass(\(table)) and indisvalid",
                """
                select prosecdef, has_function_privilege(oid, 'execute'), pg_get_userbyid(proowner) = 'martlet_' || current_schema() || '_search' \
                from pg_proc where oid = to_regprocedure(\("\(table)_search(tsquery)"))
                """,
                """
                select attname, pg_get_expr(adbin, adrelid) from pg_attrdef \
                join pg_attribute on attrelid = adrelid and attnum = adnum and attgenerated = 's' where adrelid = to_regclass(\(table))
                """,
            ])
        var check = TableCheck(definition: definition, others: others, copies: copies)
        guard !results[0].isEmpty else { return ["There is no table \(table)."] }
        for row in results[0] { check.columns[try row.decode(0)] = (try row.decode(1), try row.decode(2)) }
        for row in results[1] { check.constraints[try row.decode(0)] = try row.decode(1, as: String.self) }
        let isIsolated: Bool = try results[2][0].decode(0)
        if !isIsolated { check.faults.append("Row security is not enabled and forced.") }
        check.triggers = try results[3].map { try $0.decode(0) }
        check.triggerTexts = try results[3].map { try $0.decode(1) }
        check.indexes = try results[4].map { row in
            try row.decode(0, as: String.self).split(whereSeparator: \.isWhitespace).joined(separator: " ")
        }
        check.search = try results[5].first.map { row in try (0..<3).map { try row.decode($0) } }
        for row in results[6] { check.computations[try row.decode(0)] = try row.decode(1, as: String.self) }
        check.run()
        return check.faults + (try await unknownTexts(to: check, on: postgres))
    }

    /// The same of the table of a copied resource: its columns, key and row security.
    ///
    /// - Throws: ``PostgresError``.
    public static func faults(of copied: CopiedResource, on postgres: PostgresClient) async throws -> [String] {
        let table = copied.table
        let results = try await postgres.batch(
            as: SystemContext(service: "schema-check"),
            [
                """
                select attname || ' ' || format_type(atttypid, atttypmod) || case when attnotnull then ' not null' else '' end \
                from pg_attribute where attrelid = to_regclass(\(table)) and attnum > 0 and not attisdropped order by attname
                """,
                "select relrowsecurity and relforcerowsecurity from pg_class where oid = to_regclass(\(table))",
                "select pg_get_constraintdef(oid) from pg_constraint where conrelid = to_regclass(\(table)) and contype = 'p'",
            ])
        let columns = [
            "created_by uuid not null", "deleted_at timestamp(3) with time zone", "id uuid not null", "owner_id uuid",
            "tenant_id uuid not null",
            "version bigint not null",
        ]
        let found = try results[0].map { try $0.decode(0, as: String.self) }
        var faults: [String] = []
        if found != columns { faults.append("The table \(table) has the columns \(found), not \(columns).") }
        if try results[1].first?.decode(0, as: Bool.self) != true { faults.append("Row security is not enabled and forced.") }
        if try results[2].first?.decode(0, as: String.self) != "PRIMARY KEY (tenant_id, id)" {
            faults.append("The key of \(table) is not (tenant_id, id).")
        }
        return faults
    }

    /// The texts that filters compare and the column `search` does not know: computes it for a record that has them all, and for one with
    /// none but those that it must have.
    private static func unknownTexts(to check: TableCheck, on postgres: PostgresClient) async throws -> [String] {
        let fields = check.definition.filterFields.filter { $0.index == .words && !$0.type.isCollection }
        guard let words = check.words, !fields.isEmpty else { return [] }
        let tenant: SQL = "'00000000-0000-7000-8000-00000000000a'::uuid"
        let value = "martlet@kestrel.example"
        func record(_ isGiven: (String) -> Bool) -> SQL {
            let columns = check.columns.filter { $0.key != "search" }.map { name, column -> SQL in
                switch (name, column.type) {
                case ("tenant_id", _): tenant + " as tenant_id"
                case (_, "text[]"), (_, "jsonb"): "'{}'::\(unescaped: column.type) as \(unescaped: name)"
                case (_, "text") where isGiven(name): "\(value)::text as \(unescaped: name)"
                default: "null::\(unescaped: column.type) as \(unescaped: name)"
                }
            }
            return "select \(unescaped: words) as search from (select " + SQL.joined(columns, separator: ", ") + ") as record"
        }
        let queries = fields.map { field -> SQL in
            let missing: SQL = "missing_query(" + tenant + ", \(field.name))"
            return "with_all.search @@ filter_query(" + tenant + ", \(field.name), array[\(value)]) "
                + "and with_all.search @@ prefix_query(" + tenant + ", \(field.name), array['MART']) "
                + "and with_none.search @@ " + missing + " = \(field.isNullable) and not with_all.search @@ " + missing
        }
        let all = record { _ in true }
        let none = record { name in fields.contains { $0.column == name && !$0.isNullable } }
        let row = try await postgres.batch(
            as: SystemContext(service: "schema-check"),
            ["select " + SQL.joined(queries, separator: ", ") + " from (" + all + ") as with_all, (" + none + ") as with_none"])[0][0]
        return try fields.enumerated().filter { try !row.decode($0.offset, as: Bool.self) }.map {
            "The column search does not know the values of \($0.element.name): give it to filter_words."
        }
    }
}

/// A table as the server describes it, compared with a declaration.
private struct TableCheck {
    let definition: ResourceDefinition
    /// The tables of the resources that references may lead to, by their names and by their singulars.
    let tables: [String: String]
    /// The copied resources that references may lead to, by their singulars.
    let copies: Set<String>
    var columns: [String: (type: String, isRequired: Bool)] = [:]
    var constraints: [String: String] = [:]
    var triggers: [String] = []
    var triggerTexts: [String] = []
    var indexes: [String] = []
    /// Security definer, may be called, owned by the search role; `nil` when there is no such function.
    var search: [Bool]?
    /// What columns are computed by.
    var computations: [String: String] = [:]
    /// What the column `search` is computed by.
    var words: String? { computations["search"] }
    var faults: [String] = []

    init(definition: ResourceDefinition, others: [ResourceDefinition], copies: [CopiedResource]) {
        self.definition = definition
        self.copies = Set(copies.map(\.singular))
        tables = Dictionary(
            (others + [definition]).flatMap { [($0.name, $0.table), ($0.singular, $0.table)] }, uniquingKeysWith: { $1 })
    }

    mutating func run() {
        column("tenant_id", ["uuid"], isRequired: true)
        column("id", ["uuid"], isRequired: true)
        column("version", ["bigint"], isRequired: true)
        for name in ["created_at", "updated_at"] { column(name, ["timestamp(3) with time zone"], isRequired: true) }
        for name in ["created_by", "updated_by"] { column(name, ["uuid"], isRequired: true) }
        column("deleted_at", ["timestamp(3) with time zone"], isRequired: false)
        for field in definition.fields { self.field(field) }
        constraint("pkey", "PRIMARY KEY (tenant_id, id)")
        let keys = definition.fields.flatMap { field in
            field.type.isRelated
                ? definition.targets(of: field).filter { !copies.contains($0.name) }.map { "\(field.name)_\($0.name)_id" } : []
        }
        if definition.isMergeable { column("merged_into_id", ["uuid"], isRequired: false) }
        let merging = definition.isMergeable ? ["merged_into_id"] : []
        let further = definition.presets.map(\.column)
        let known = Set(definition.columns.map(\.name) + keys + merging + further + ["tenant_id", "deleted_at", "search"])
        for name in columns.keys.sorted() where !known.contains(name) { faults.append("The column \(name) is not declared.") }
        for order in definition.sortable {
            let key = order.isText ? "\(order.column) COLLATE \(SortOrder.collation)" : order.column
            for state in ["NULL", "NOT NULL"] where !isIndexed("(tenant_id, \(key), id)", of: "(deleted_at IS \(state))") {
                faults.append("No index on (tenant_id, \(key), id) where deleted_at is \(state) serves the order by \(order.column).")
            }
        }
        for field in definition.fields where field.isUnique {
            let rows = field.isNullable ? "((deleted_at IS NULL) AND (\(field.name) IS NOT NULL))" : "(deleted_at IS NULL)"
            let name = "\(definition.table)_\(field.name)_unique"
            let key = "(tenant_id, \(field.name))"
            if !indexes.contains(where: { $0.hasPrefix("CREATE UNIQUE INDEX \(name) ON ") && $0.hasSuffix("\(key) WHERE \(rows)") }) {
                faults.append("No unique index \(name) on \(key) where \(rows) holds \(field.name) unique.")
            }
            let deleted = rows.replacing("deleted_at IS NULL", with: "deleted_at IS NOT NULL")
            if field.traits.contains(.filterable), !isIndexed(key, of: deleted) {
                faults.append("No index on \(key) where \(deleted) serves the filter \(field.name) among deleted records.")
            }
        }
        for field in definition.fields where !field.traits.isDisjoint(with: [.filterable, .sortable, .unique]) && !field.type.isCollection {
            guard let length = field.type.schema(false, true)["maxLength"]?.integer, length > Self.maximumIndexedText else { continue }
            faults.append(
                "The text \(field.name) may have \(length) characters; an index takes \(Self.maximumIndexedText), so lists cannot go by it."
            )
        }
        for field in definition.filterFields where field.index == .number {
            // As the server writes it, but for its line ends.
            let key = "( CASE WHEN (\(field.name)_e164 IS NULL) THEN \(field.name) ELSE \(field.name)_e164 END)"
            for state in ["NULL", "NOT NULL"] {
                let rows = "((deleted_at IS \(state)) AND (\(field.name) IS NOT NULL))"
                if !isIndexed("(tenant_id, \(key), created_at, id)", of: rows) {
                    faults.append("No index on (tenant_id, \(key), created_at, id) where \(rows) serves the filter \(field.name).")
                }
            }
        }
        for field in definition.fields where field.givesOrder {
            // As the server writes it, but for its line ends.
            let isOwner = definition.owner == field.name && definition.ownerKey != field.name
            let key = isOwner ? "( CASE WHEN (\(field.name) IS NULL) THEN created_by ELSE \(field.name) END)" : Self.key(of: field)
            if !isIndexed("(tenant_id, \(key), created_at, id)", of: "(deleted_at IS NULL)") {
                faults.append("No index on (tenant_id, \(key), created_at, id) where deleted_at is null serves the filter \(field.name).")
            }
            let unowned = "\(definition.table)_no_\(field.name)"
            if isOwner,
                !indexes.contains(where: {
                    $0.contains("INDEX \(unowned) ")
                        && $0.hasSuffix("(tenant_id, created_at, id) WHERE ((deleted_at IS NULL) AND (\(field.name) IS NULL))")
                })
            {
                faults.append(
                    "No index \(unowned) on (tenant_id, created_at, id) where deleted_at is null and \(field.name) is null serves null.")
            }
        }
        for name in further {
            column(name, FieldKind.timestamp.type.columnTypes, isRequired: false)
            if !isIndexed("(tenant_id, \(name), id)", of: "((deleted_at IS NULL) AND (\(name) IS NOT NULL))") {
                faults.append("No index on (tenant_id, \(name), id) where deleted_at is null and \(name) is not null serves its parameter.")
            }
        }
        if !triggers.contains("\(definition.table)_audit") { faults.append("No trigger records changes: call audited.") }
        if definition.planLimit != nil, !Set(triggers).isSuperset(of: ["enforce_limit", "enforce_limit_of_change"]) {
            faults.append("No trigger holds the plan's limit: call limited.")
        }
        for rule in definition.rules.keys.sorted() {
            let name = "\(definition.table)_\(rule)"
            if constraints[name] == nil, !triggerTexts.contains(where: { $0.contains("'\(name)'") }),
                !indexes.contains(where: { $0.hasPrefix("CREATE UNIQUE INDEX \(name) ON ") })
            {
                faults.append("No constraint, trigger or unique index holds the rule \(name).")
            }
        }
        if definition.isSearchable { searchable() }
    }

    /// A row of an index has 2,704 bytes, and a character has four at most; a filter's values are among words, of which a field has 255
    /// characters.
    private static let maximumIndexedText: Int64 = 255

    private func isIndexed(_ key: String, of rows: String) -> Bool { indexes.contains { $0.hasSuffix("\(key) WHERE \(rows)") } }

    private mutating func column(_ name: String, _ types: [String], isRequired: Bool) {
        guard let column = columns[name] else {
            faults.append("The column \(name) is missing.")
            return
        }
        if !types.contains(column.type) { faults.append("The column \(name) is \(column.type), not \(types.joined(separator: " or ")).") }
        if column.isRequired != isRequired { faults.append("The column \(name) must \(isRequired ? "" : "not ")be 'not null'.") }
    }

    private mutating func field(_ field: Field) {
        column(field.name, field.type.columnTypes, isRequired: !field.isNullable)
        switch field.kind {
        case .enumeration(let values): enumeration(field.name, values)
        case .states(let machine): enumeration(field.name, machine.states)
        case .integer(let range):
            let fits: ClosedRange<Int64> =
                switch columns[field.name]?.type {
                case "smallint": Int64(Int16.min)...Int64(Int16.max)
                case "integer": Int64(Int32.min)...Int64(Int32.max)
                default: Int64.min...Int64.max
                }
            if !fits.contains(range.lowerBound) || !fits.contains(range.upperBound) {
                faults.append("The column \(field.name) cannot hold the whole range.")
            }
        case .amount(let currency):
            if columns[field.name]?.type != "bigint" { faults.append("The column \(field.name) cannot hold the whole range.") }
            if definition.field(currency)?.isNullable != false { faults.append("A record can have \(field.name) and no \(currency).") }
        case .since(let named, let values):
            let choices = definition.field(named)?.type.choices ?? []
            if !Set(values).isSubset(of: choices) { faults.append("The field \(field.name) is since values that \(named) cannot have.") }
        case .custom:
            let rule = "CHECK (((VALUE = '{}'::jsonb) OR (key_count(VALUE) <= \(FieldKind.maximumCustomKeys))))"
            constraint("\(field.name)_check", rule, isShared: true)
        case .related(let types, _):
            enumeration(field.name, types)
            for type in types where !copies.contains(type) {
                let column = "\(field.name)_\(type)_id"
                self.column(column, ["uuid"], isRequired: false)
                let (value, computed) = ("(\(field.name)).", computations[column] ?? "nothing")
                let wanted = "CASE WHEN (\(value)type = '\(type)'::text) THEN \(value)id ELSE NULL::uuid END"
                if computed.split(whereSeparator: \.isWhitespace).joined(separator: " ") != wanted {
                    faults.append("The column \(column) is computed by \(computed), not \(wanted).")
                }
                foreignKey("\(field.name)_\(type)_fkey", column, to: type, of: field)
            }
            referenceIndex(field)
        case .reference(.resource), .reference(.parent):
            guard let (target, _) = definition.targets(of: field).first else { break }
            referenceIndex(field)
            if case .reference(.parent) = field.kind, !triggers.contains("\(definition.table)_nested") {
                faults.append("No trigger keeps the tree of \(field.name): call nested.")
            }
            foreignKey("\(field.name)_fkey", field.name, to: target, of: field)
        case .reference(.row): constraint("\(field.name)_fkey", nil)
        default: break
        }
    }

    /// What the server calls the field's key in an index.
    private static func key(of field: Field) -> String { field.type.isRelated ? "((\(field.name)).id)" : field.name }

    private mutating func referenceIndex(_ field: Field) {
        let key = "(tenant_id, \(Self.key(of: field)), created_at, id)"
        // What is set for few records needs no entry for the others.
        let ofSome = "((deleted_at IS NULL) AND (\(field.name) IS NOT NULL))"
        if !isIndexed(key, of: "(deleted_at IS NULL)"), !isIndexed(key, of: ofSome), !field.givesOrder {
            faults.append("No index on \(key) where deleted_at is null serves the reference \(field.name).")
        }
    }

    private mutating func foreignKey(_ suffix: String, _ column: String, to target: String, of field: Field) {
        constraint(suffix, nil)
        guard let table = tables[target] else {
            faults.append("The reference \(field.name) leads to \(target), which is not among the resources.")
            return
        }
        let key = "FOREIGN KEY (tenant_id, \(column)) REFERENCES \(table)(tenant_id, id)"
        let found = constraints["\(definition.table)_\(suffix)"] ?? key
        if found != key, !found.hasPrefix(key + " ") { faults.append("The foreign key of \(field.name) says \(found), not \(key).") }
    }

    /// - Parameter isShared: whether it is one of a domain that tables share, whose name has no table.
    private mutating func constraint(_ suffix: String, _ text: String?, isShared: Bool = false) {
        let name = isShared ? suffix : "\(definition.table)_\(suffix)"
        guard let found = constraints[name] else {
            faults.append("The constraint \(name) is missing.")
            return
        }
        if let text, found != text { faults.append("The constraint \(name) says \(found), not \(text).") }
    }

    /// The check constraint lists exactly the declared values.
    private mutating func enumeration(_ name: String, _ values: [String]) {
        let text = constraints["\(definition.table)_\(name)_check"] ?? ""
        let listed = text.split(separator: "'", omittingEmptySubsequences: false).enumerated().filter { $0.offset % 2 == 1 }.map {
            String($0.element)
        }
        if Set(listed) != Set(values) {
            faults.append("The constraint \(definition.table)_\(name)_check allows \(listed), the declaration \(values).")
        }
    }

    private mutating func searchable() {
        if columns["search"]?.type != "tsvector" { faults.append("The column search is missing or no tsvector.") }
        if !(words ?? "").contains("tenant_id") { faults.append("The column search is not led by tenant_id: compute it by search_words.") }
        if !indexes.contains(where: { $0.contains("USING gin (search)") }) { faults.append("No gin index on (search) serves the search.") }
        guard let search else {
            faults.append("There is no function \(definition.table)_search: call searchable.")
            return
        }
        if search != [true, true, true] { faults.append("The function \(definition.table)_search does not run as the search role.") }
    }
}

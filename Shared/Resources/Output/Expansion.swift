import Core
import Postgres

/// What `?expand=` puts beside a field that leads somewhere: the record or the member that it leads to, or null where there is none, or none that
/// is the caller's to read.
struct Expansion: Sendable {
    /// What the parameter calls it: the field's name without `_id`.
    let name: String
    /// The member of the answer: the same, or with more behind it where the field itself has that name already.
    let member: String
    /// The column that leads to it, and which it stands behind.
    let column: String
    /// What it can lead to, of which a record has one at most.
    let targets: [Target]

    struct Target: Sendable {
        /// The name of its rows in the statement.
        let alias: String
        /// The members of the expanded object; the first is its id, which is never null.
        let columns: [Column]
        /// The object's type in the public document.
        let schemaName: String
        /// Selects the columns of what the row of the table leads to, if the caller may see it.
        let row: @Sendable (_ table: String, _ context: RequestContext) -> SQL
    }

    /// - Parameter kind: what it leads to: behind the name where the field has that already.
    fileprivate init(_ column: String, to kind: String, _ targets: (_ member: String) -> [Target]) {
        name = column.hasSuffix("_id") ? String(column.dropLast(3)) : column
        member = name == column ? "\(name)_\(kind)" : name
        self.column = column
        self.targets = targets(member)
    }
}

extension [Expansion] {
    /// The cells of all that they can lead to.
    var cellCount: Int { reduce(0) { $1.targets.reduce($0) { $0 + $1.columns.count } } }
}

extension ResourceCatalogue {
    /// What can be expanded in the resource's records, in the order of the columns that lead there, with the fields that the rules leave.
    func expansions(of definition: ResourceDefinition, under rules: FieldRules = .none) -> [Expansion] {
        definition.fields.compactMap { field -> Expansion? in
            if case .reference(.member) = field.kind { return .member(field.name) }
            let references = references(of: definition).filter { $0.field.name == field.name }
            return references.isEmpty ? nil : .records(field.name, references, under: rules)
        } + ["created_by", "updated_by"].map { .member($0) }
    }
}

extension Expansion {
    fileprivate static func records(_ column: String, _ references: [ResourceCatalogue.Reference], under rules: FieldRules) -> Expansion {
        Expansion(column, to: "record") { member in
            // Of a copy there is nothing to be shown.
            references.compactMap { reference in
                guard let target = reference.resource else { return nil }
                let columns = ResourceView(target, under: rules).shown.columns
                let names = columns.map(\.name).joined(separator: ", ")
                let alias = references.count > 1 ? "expanded_\(member)_\(target.singular)" : "expanded_\(member)"
                return Target(alias: alias, columns: columns, schemaName: target.schemaName) { table, context in
                    let rows: SQL = """
                        select \(unescaped: names) from \(unescaped: target.table) as expanded where expanded.tenant_id = \(context.tenant) \
                        and \(reference.matches("expanded.id", in: table)) and deleted_at is null
                        """
                    return rows + (target.readable(by: context).map { " and " + $0 } ?? "")
                }
            }
        }
    }

    /// A member, from the service's own copy. Whoever reads a record reads the names of those who stand in it, also of one who has left; their
    /// addresses are for those who may read members.
    fileprivate static func member(_ column: String) -> Expansion {
        Expansion(column, to: "member") { member in
            [
                Target(alias: "expanded_\(member)", columns: MemberSummary.columns, schemaName: MemberSummary.schemaName) {
                    table, context in
                    let isShown = context.permissions.contains(Permission(.members, .read))
                    return """
                        select user_id as id, name, \(unescaped: isShown ? "email" : "null::text as email"), \
                        case when is_removed then 'removed' else status end as status \
                        from member_copy as expanded where expanded.tenant_id = \(context.tenant) \
                        and expanded.user_id = \(unescaped: table).\(unescaped: column)
                        """
                }
            ]
        }
    }
}

/// What is shown of a member beside a record.
enum MemberSummary {
    static let schemaName = "MemberSummary"

    static let columns = [
        Column(name: "id", format: .plain), Column(name: "name", format: .text), Column(name: "email", format: .text),
        Column(name: "status", format: .plain),
    ]

    static let schema: JSON = [
        "type": "object", "required": .array(columns.map { .string($0.name) }),
        "properties": [
            "id": ["type": "string", "format": "uuid"], "name": ["type": "string", "examples": ["Anna Kowalska"]],
            "email": [
                "type": ["string", "null"], "description": "Null for who may not read members.", "examples": ["anna@kestrel.example"],
            ],
            "status": [
                "type": "string", "enum": ["active", "disabled", "removed"], "description": "Whoever was removed keeps the name here.",
            ],
        ],
    ]
}

/// The cells of an answer's object in their order: columns of the record's own, and beside references those of what they lead to.
struct Projection: Sendable {
    enum Part: Sendable {
        case column(Column)
        case expansion(Expansion)
    }

    let parts: [Part]
    let cellCount: Int
    private let expansions: [Expansion]

    /// - Parameter columns: all columns of the record, which give the order.
    init(_ selection: [Column], expanding expansions: [Expansion], in columns: [Column]) {
        self.expansions = expansions
        // When a record was deleted is told at the end.
        let further = selection.filter { own in !columns.contains { $0.name == own.name } }
        parts = (columns + further).flatMap { column -> [Part] in
            let own = selection.contains { $0.name == column.name } ? [Part.column(column)] : []
            return own + expansions.filter { $0.column == column.name }.map { .expansion($0) }
        }
        cellCount = selection.count + expansions.cellCount
    }

    /// One column as a statement selects it.
    struct Cell {
        let source: String
        /// The name in the result, quoted where it needs it.
        let name: String
        let isWide: Bool
    }

    /// - Parameter table: the name of the record's own rows in the statement.
    func cells(of table: String) -> [Cell] {
        parts.flatMap { part -> [Cell] in
            switch part {
            case .column(let column): [Cell(source: "\(table).\(column.name)", name: column.name, isWide: column.isWide)]
            case .expansion(let expansion):
                expansion.targets.flatMap { target in
                    target.columns.map { column in
                        Cell(
                            source: "\(target.alias).\(column.name)", name: "\"\(target.alias).\(column.name)\"", isWide: column.isWide)
                    }
                }
            }
        }
    }

    /// The joins of what is expanded to the rows of the table: each by its key, for the rows of the page only (`offset 0`).
    func joins(to table: String, as context: RequestContext) -> SQL {
        SQL.joined(
            expansions.flatMap(\.targets).map { target in
                " left join lateral (" + target.row(table, context) + " offset 0) as \(unescaped: target.alias) on true"
            }, separator: "")
    }
}

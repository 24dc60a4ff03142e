import Core
import Postgres

/// What `?expand=` puts beside a reference: the record that it leads to, or null where that is deleted or none of the caller's to read.
struct Expansion: Sendable {
    /// The member beside the field, and the name in the parameter: the field's without `_id`.
    let name: String
    let field: Field
    let table: String
    /// The members of the expanded object; the first is its id, which is never null.
    let columns: [Column]
    /// The object's type in the public document.
    let schemaName: String
    /// Which of the table's rows the caller may see, beside being in the tenant.
    let conditions: @Sendable (RequestContext) -> [SQL]
}

extension ResourceCatalogue {
    /// What can be expanded in the resource's records.
    func expansions(of definition: ResourceDefinition) -> [Expansion] {
        references(of: definition).map { reference in
            let target = reference.target
            return Expansion(
                name: reference.field.name.hasSuffix("_id") ? String(reference.field.name.dropLast(3)) : reference.field.name,
                field: reference.field, table: target.table, columns: target.columns, schemaName: target.schemaName
            ) { context in
                ["deleted_at is null"] + (target.readable(by: context).map { [$0] } ?? [])
            }
        }
    }
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
            return own + expansions.filter { $0.field.name == column.name }.map { .expansion($0) }
        }
        cellCount = selection.count + expansions.reduce(0) { $0 + $1.columns.count }
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
                expansion.columns.map { column in
                    Cell(
                        source: "\(Self.alias(expansion)).\(column.name)", name: "\"\(expansion.name).\(column.name)\"",
                        isWide: column.isWide)
                }
            }
        }
    }

    /// The joins of what is expanded to the rows of the table: each by its key, for the rows of the page only (`offset 0`).
    func joins(to table: String, as context: RequestContext) -> SQL {
        SQL.joined(
            expansions.map { expansion -> SQL in
                let names = expansion.columns.map(\.name).joined(separator: ", ")
                let rows: SQL = """
                    select \(unescaped: names) from \(unescaped: expansion.table) as expanded where expanded.tenant_id = \(context.tenant) \
                    and expanded.id = \(unescaped: table).\(unescaped: expansion.field.name) and
                    """
                return " left join lateral (" + rows + " " + SQL.joined(expansion.conditions(context), separator: " and ")
                    + " offset 0) as \(unescaped: Self.alias(expansion)) on true"
            }, separator: "")
    }

    private static func alias(_ expansion: Expansion) -> String { "expanded_\(expansion.name)" }
}

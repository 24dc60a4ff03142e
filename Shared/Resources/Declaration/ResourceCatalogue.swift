import Core
import Postgres

/// The resources of one service by their names, the copies of others, and which of them refer to which.
public struct ResourceCatalogue: Sendable {
    /// A field that leads to records of one resource. One of ``FieldKind/related(_:onDelete:)`` is such a reference for each of its types.
    struct Reference: Sendable {
        let source: ResourceDefinition
        let field: Field
        let target: any Referable
        let onDelete: FieldKind.OnDelete

        /// The resource of this service that it leads to; `nil` where it leads to copies of another's.
        var resource: ResourceDefinition? { target as? ResourceDefinition }

        /// The copied resource that it leads to, otherwise.
        var copied: CopiedResource? { target as? CopiedResource }

        /// Whether the record that a value leads to is one of the target's.
        func leads(from value: SQLValue) -> RecordID? {
            guard field.type.isRelated else { return if case .text(let id) = value { RecordID(id) } else { nil } }
            return RelatedRecord(value).flatMap { $0.type == target.singular ? $0.id : nil }
        }

        /// The id that the row of the source's table has.
        ///
        /// - Parameter table: what its rows are called in the statement.
        func id(in table: String) -> String { field.type.key(of: "\(table).\(field.name)") }

        /// The condition that the row's id, where it has one, is of the target's records; `nil` where it is of no others.
        func type(in table: String) -> String? {
            field.type.isRelated ? "(\(table).\(field.name)).type = '\(target.singular)'" : nil
        }

        /// The condition that the row refers to the record.
        func matches(_ id: SQL, in table: String) -> SQL {
            "\(unescaped: self.id(in: table)) = " + id + (type(in: table).map { " and \(unescaped: $0)" } ?? "")
        }
    }

    private let references: [Reference]

    /// - Throws: ``DeclarationFault`` when a reference leads to a resource that is not among them, two have one name, or one is to have a say in the
    ///   deletion of another service's records.
    public init(_ definitions: [ResourceDefinition], copies: [CopiedResource] = []) throws(DeclarationFault) {
        var byName: [String: ResourceDefinition] = [:]
        for definition in definitions where byName.updateValue(definition, forKey: definition.name) != nil {
            throw DeclarationFault("Two resources are called \(definition.name).")
        }
        let kinds: [any Referable] = definitions + copies
        guard Set(kinds.map(\.singular)).count == kinds.count else { throw DeclarationFault("Two resources have one singular.") }
        var references: [Reference] = []
        for source in definitions {
            for field in source.fields {
                for (name, onDelete) in source.targets(of: field) {
                    let target: (any Referable)? = field.type.isRelated ? kinds.first { $0.singular == name } : byName[name]
                    guard let target else {
                        throw DeclarationFault(
                            "The field \(field.name) of \(source.name) refers to \(name), which is not among the resources.")
                    }
                    if onDelete != .keep, target is CopiedResource {
                        throw DeclarationFault("The field \(field.name) of \(source.name) has a say in what another service deletes.")
                    }
                    references.append(Reference(source: source, field: field, target: target, onDelete: onDelete))
                }
            }
        }
        self.references = references
    }

    /// What the resource's records refer to.
    func references(of definition: ResourceDefinition) -> [Reference] { references.filter { $0.source.name == definition.name } }

    /// What refers to the resource's records.
    func references(to definition: ResourceDefinition) -> [Reference] { references.filter { $0.resource?.name == definition.name } }
}

/// Resources that do not fit together; the service does not start.
public struct DeclarationFault: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

extension ResourceDefinition {
    /// The resources whose records the field refers to, by their names, or by their singulars where it tells several apart; none for any
    /// other field.
    func targets(of field: Field) -> [(name: String, onDelete: FieldKind.OnDelete)] {
        switch field.kind {
        case .reference(.resource(let name, let onDelete)): [(name, onDelete)]
        case .reference(.parent(let onDelete)): [(name, onDelete)]
        case .related(let types, let onDelete): types.map { ($0, onDelete) }
        default: []
        }
    }
}

import Core
import Postgres

/// The resources of one service by their names, and which of them refer to which.
public struct ResourceCatalogue: Sendable {
    /// A field that holds the id of a record.
    struct Reference: Sendable {
        let source: ResourceDefinition
        let field: Field
        let target: ResourceDefinition
        let onDelete: FieldKind.OnDelete
    }

    private let references: [Reference]

    /// - Throws: ``DeclarationFault`` when a reference leads to a resource that is not among them, or two have one name.
    public init(_ definitions: [ResourceDefinition]) throws(DeclarationFault) {
        var byName: [String: ResourceDefinition] = [:]
        for definition in definitions where byName.updateValue(definition, forKey: definition.name) != nil {
            throw DeclarationFault("Two resources are called \(definition.name).")
        }
        var references: [Reference] = []
        for source in definitions {
            for field in source.fields {
                guard let (name, onDelete) = source.target(of: field) else { continue }
                guard let target = byName[name] else {
                    throw DeclarationFault("The field \(field.name) of \(source.name) refers to \(name), which is not among the resources.")
                }
                references.append(Reference(source: source, field: field, target: target, onDelete: onDelete))
            }
        }
        self.references = references
    }

    /// What the resource's records refer to.
    func references(of definition: ResourceDefinition) -> [Reference] { references.filter { $0.source.name == definition.name } }

    /// What refers to the resource's records.
    func references(to definition: ResourceDefinition) -> [Reference] { references.filter { $0.target.name == definition.name } }
}

/// Resources that do not fit together; the service does not start.
public struct DeclarationFault: Error, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}

extension ResourceDefinition {
    /// The resource whose records the field refers to; `nil` for any other field.
    func target(of field: Field) -> (name: String, onDelete: FieldKind.OnDelete)? {
        switch field.kind {
        case .reference(.resource(let name, let onDelete)): (name, onDelete)
        case .reference(.parent(let onDelete)): (name, onDelete)
        default: nil
        }
    }

    /// Whose records the caller may read, for what leads here from another record; `nil` for everybody's.
    func readable(by context: RequestContext) -> SQL? {
        context.permissions.contains(Permission(permissions, .read)) ? reach(of: context) : "false"
    }
}

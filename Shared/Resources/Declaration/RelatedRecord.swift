import Core
import Postgres

/// A record of one of several resources, as a body, a filter and the database name it.
struct RelatedRecord: Sendable, Hashable {
    /// The resource's singular.
    let type: String
    let id: RecordID

    /// In Postgres' text format of the composite type `record_reference`.
    var text: String { "(\(type),\(id))" }

    /// Reads ``text``; `nil` for anything else.
    init?(_ value: SQLValue) {
        guard case .text(let text) = value, text.hasPrefix("("), text.hasSuffix(")") else { return nil }
        let parts = text.dropFirst().dropLast().split(separator: ",")
        guard parts.count == 2, let id = RecordID(parts[1]) else { return nil }
        (type, self.id) = (String(parts[0]), id)
    }

    /// Reads the value of a filter: `lead:01a20922-d6ba-7e1d-b402-13919357caf0`.
    ///
    /// - Throws: ``ValueFault`` naming the types that there are.
    init(filter text: String, among types: [String]) throws(ValueFault) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        let type = try Self.type(types).checkedText(String(parts[0]))
        guard parts.count == 2, let id = RecordID(parts[1]) else { throw .format("a record such as \(types[0]):<id>") }
        (self.type, self.id) = (type, id)
    }

    /// Reads the member of a body, which names both, also in a patch: an id says nothing without its type. What is wrong is added to the faults.
    init?(_ json: JSON, among types: [String], at pointer: String, faults: inout FaultList) {
        guard let object = faults.members(of: json, at: pointer, known: ["type", "id"]) else { return nil }
        func member(_ name: String, _ type: FieldType) -> String? {
            do throws(ValueFault) {
                guard let given = object[name], let text = try type.checked(given).string else {
                    throw ValueFault(.required, "The member '\(name)' is required: a record is named by its type and its id.")
                }
                return text
            } catch {
                faults.add(error, at: pointer + JSONPointer.segment(name))
                return nil
            }
        }
        let (type, id) = (member("type", Self.type(types)), member("id", Self.id))
        guard let type, let id = id.flatMap({ RecordID($0) }) else { return nil }
        (self.type, self.id) = (type, id)
    }

    /// For the public document.
    static func schema(_ types: [String]) -> JSON {
        [
            "type": "object", "required": ["type", "id"], "additionalProperties": false,
            "properties": ["type": type(types).schema(true, true), "id": id.schema(true, true)],
        ]
    }

    private static func type(_ types: [String]) -> FieldType { FieldKind.enumeration(types).type }
    private static let id = FieldKind.reference(.member).type
}

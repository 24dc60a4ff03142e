import Core
import Postgres

/// Records that became one, as an answer tells of it.
struct Merge: Sendable {
    let id: RecordID
    let survivor: RecordID
    let merged: [RecordID]
    let at: Timestamp
    let by: UserID
    let undone: (at: Timestamp, by: UserID)?

    /// Reads ``MergeStatements/columns``.
    init(_ row: PostgresRow) throws {
        id = try row.decode(0)
        survivor = try row.decode(1)
        merged = try row.decode(2)
        at = try row.decode(3)
        by = try row.decode(4)
        let end = try row.decode(5, as: Timestamp?.self)
        undone = try end.map { ($0, try row.decode(6)) }
    }

    var json: JSON {
        [
            "id": .string(id.description), "survivor_id": .string(survivor.description),
            "merged_ids": .array(merged.map { .string($0.description) }), "created_at": .string(at.description),
            "created_by": .string(by.description),
            "undoable_until": .string(at.advanced(by: .seconds(MergeStatements.days * 86_400)).description),
            "undone_at": undone.map { .string($0.at.description) } ?? .null,
            "undone_by": undone.map { .string($0.by.description) } ?? .null,
        ]
    }

    static let schemaName = "Merge"

    static let schema: JSON = {
        let id: JSON = ["type": "string", "format": "uuid"]
        let time: JSON = ["type": "string", "format": "date-time"]
        return [
            "type": "object",
            "required": ["id", "survivor_id", "merged_ids", "created_at", "created_by", "undoable_until", "undone_at", "undone_by"],
            "properties": [
                "id": id, "survivor_id": id,
                "merged_ids": ["type": "array", "items": id, "description": "What became the survivor, as far as you may read it."],
                "created_at": time, "created_by": id,
                "undoable_until": ["type": "string", "format": "date-time", "description": "Afterwards nothing is known of it any more."],
                "undone_at": ["type": ["string", "null"], "format": "date-time"],
                "undone_by": ["type": ["string", "null"], "format": "uuid"],
            ],
        ]
    }()
}

/// What a merge was asked for, checked.
struct MergeRequest: Sendable {
    static let maximum = 10

    /// Those that become the survivor, in the order of their precedence.
    let from: [RecordID]
    /// What was chosen for the survivor.
    let changes: [Change]
    let members: [MemberReference]

    /// - Throws: ``Problem`` `unknown_member`, `validation_failed` with all faults.
    init(_ json: JSON, into survivor: RecordID, _ reader: BodyReader, as context: RequestContext) throws(Problem) {
        var faults = FaultList()
        let object = faults.members(of: json, at: "", known: ["from", "values"])
        from = object.map { Self.records($0["from"], but: survivor, faults: &faults) } ?? []
        try faults.finish()
        guard let values = object?["values"] else {
            (changes, members) = ([], [])
            return
        }
        let body = try reader.read(values, for: .patch, as: context, pointer: "/values")
        (changes, members) = (body.changes, body.members)
        for change in changes {
            guard case .reference(let target) = change.field.kind, case .set(.text(let text)) = change.value, target != .member,
                let id = RecordID(text), from.contains(id)
            else { continue }
            faults.add(
                .referenceNotFound, at: "/values" + JSONPointer.segment(change.field.name), "It is one of those that are merged.")
        }
        if let first = faults.faults.first { throw Problem(.referenceNotFound, first.detail, faults: faults.faults) }
    }

    private static func records(_ json: JSON?, but survivor: RecordID, faults: inout FaultList) -> [RecordID] {
        guard let json else {
            faults.add(.required, at: "/from", "The member 'from' is required.")
            return []
        }
        guard let elements = json.array else {
            faults.add(.type("an array of ids", json), at: "/from")
            return []
        }
        guard (1...maximum).contains(elements.count) else {
            faults.add(
                elements.isEmpty ? .tooShort : .tooMany, at: "/from", "Expected 1 to \(maximum) ids, found \(elements.count).")
            return []
        }
        var ids: [RecordID] = []
        for (index, element) in elements.enumerated() {
            guard let id = element.string.flatMap({ RecordID($0) }) else {
                faults.add(.format("an id (UUID)"), at: "/from/\(index)")
                continue
            }
            if id == survivor || ids.contains(id) {
                faults.add(.notAllowed, at: "/from/\(index)", "Each record is named once, and the one of the path is none of them.")
            }
            ids.append(id)
        }
        return ids
    }
}

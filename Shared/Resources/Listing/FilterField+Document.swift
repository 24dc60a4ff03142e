import Core

extension FilterField {
    /// For the public document: the field's values, and the operators as members of an object.
    var document: Operation.Parameter {
        guard operators != [.equal] else { return .init(name, in: .query, schema: ["type": "string"], sentence(.equal) + choices) }
        var members = JSONObject()
        for comparison in operators where comparison != .equal { members[comparison.rawValue] = schema(comparison) }
        let examples = operators.dropFirst().prefix(2).map { "\(parameter($0))=\(example($0))" }.joined(separator: " or ")
        return .init(
            name, in: .query,
            schema: ["anyOf": [["type": "string"], ["type": "object", "additionalProperties": false, "properties": .object(members)]]],
            "\(sentence(.equal))\(choices) With an operator, \(examples).\(caution)", hasMembers: true)
    }

    private func schema(_ comparison: FilterOperator) -> JSON {
        var schema = JSONObject()
        switch comparison {
        case .gt, .gte, .lt, .lte: schema = type.schema(false, true).object ?? schema
        case .null: schema["type"] = "boolean"
        case .equal, .not, .prefix: schema["type"] = "string"
        }
        schema["description"] = .string(sentence(comparison))
        return .object(schema)
    }

    private func sentence(_ comparison: FilterOperator) -> String {
        switch comparison {
        case .equal where name == "id": "The records with these ids, joined by commas, \(Self.maximumValues) at most."
        case .equal where index == .number:
            """
            Records with any of these numbers, joined by commas, however either is written: in E.164 or as they are dialled in the tenant's \
            country. A number that was given while the tenant was in another country is found in E.164.
            """
        case .equal: "Records with any of these values, joined by commas; a comma in a value is written \\,."
        case .not: "Records with none of these values, joined by commas, or without a value."
        case .gt: "Greater, or later, than this."
        case .gte: "Greater, or later, than this, or the same."
        case .lt: "Less, or earlier, than this."
        case .lte: "Less, or earlier, than this, or the same."
        case .prefix: "Begins with any of these, joined by commas, without regard to case, accents and signs."
        case .null: "Records without a value (true), or with one (false)."
        }
    }

    private var choices: String {
        if type.isRelated { return " A value is a type and an id, as in \(name)=\(example(.equal))." }
        return type.choices.map { " The values: \($0.joined(separator: ", "))." } ?? ""
    }

    /// A change is dated by its transaction's start, so one that committed late may lie before what a list has shown already.
    private var caution: String { name == "updated_at" ? " Not exact enough to keep a copy in step: the audit trail is." : "" }

    private func example(_ comparison: FilterOperator) -> String {
        switch comparison {
        case .null: return "true"
        case .prefix: return "oka"
        case .equal, .not, .gt, .gte, .lt, .lte:
            if let choice = type.choices?.last { return choice }
            let schema = type.schema(false, true)
            switch (schema["type"]?.string, schema["format"]?.string) {
            case (_, "date-time"): return "2026-01-31T09:30:00Z"
            case (_, "date"): return "2026-01-31"
            case (_, "uuid"): return "01a20922-d6ba-7e1d-b402-13919357caf0"
            case ("object", _): return "\(type.example?["type"]?.string ?? ""):\(type.example?["id"]?.string ?? "")"
            case ("integer", _): return "\(schema["minimum"]?.integer ?? 1)"
            default: return "Kestrel"
            }
        }
    }
}

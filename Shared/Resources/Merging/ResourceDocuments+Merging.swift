import Core

/// How duplicates and merges are described.
extension ResourceDocuments {
    private var singular: String { definition.noun }
    private static let anID: JSON = "01a20922-d6ba-7e1d-b402-13919357caf0"

    var duplicatesSchema: JSON {
        let columns = DuplicateStatements.columns(of: ResourceView(definition))
        var properties = JSONObject()
        for column in columns { properties[column.name] = record["properties"]?[column.name] }
        let shown: JSON = [
            "type": "object", "properties": .object(properties),
            "description": .string("The \(singular) without what may be large."),
        ]
        let reasons = definition.duplicates.map { JSON.string($0.reason) }
        let reason: JSON = [
            "type": "object", "required": ["field", "score"],
            "properties": [
                "field": ["type": "string", "enum": .array(reasons)], "score": ["type": "integer", "minimum": 1, "maximum": 100],
            ],
        ]
        return Paging.schema(of: [
            "type": "object", "required": ["score", "reasons", "record"],
            "properties": [
                "score": ["type": "integer", "minimum": 1, "maximum": 100, "description": "How likely it is the same."],
                "reasons": ["type": "array", "items": reason], "record": shown,
            ],
        ])
    }

    var duplicates: Operation {
        let rules = definition.duplicates.map { "\($0.rule) (\($0.isExact ? "" : "up to ")\($0.weight))" }
        return Operation(
            id: "list\(definition.schemaName)Duplicates", summary: "List what may be the same \(singular)",
            description: """
                The likeliest first, \(DuplicateStatements.maximum) at most, among those that you may read. Of what a match leads to, a few \
                thousand records are looked at. What counts, of 100: \
                \(rules.joined(separator: "; ")). Each match adds to the score what it takes of the doubt that the others leave. What is hidden from \
                your role is not compared, and names are not where any text that is searched is hidden.
                """,
            tag: definition.name,
            responses: [
                .init(
                    200, "The records, with the reasons.",
                    schema: ["$ref": .string("#/components/schemas/\(definition.schemaName)Duplicates")])
            ] + Self.movedResponses(of: definition))
    }

    /// Of a read by a key of what has become another record.
    static func movedResponses(of definition: ResourceDefinition) -> [Operation.Response] {
        guard definition.isMergeable else { return [] }
        let location = Operation.Header(name: "Location", description: "The same of what it was merged into.")
        return [.init(301, "The \(definition.noun) was merged into another one.", headers: [location])]
    }

    /// Of a write of such a record.
    var mergeErrors: [ErrorCode] { definition.isMergeable ? [.merged] : [] }

    private var moved: Operation.Response {
        .init(200, "The merge.", schema: ["$ref": .string("#/components/schemas/\(Merge.schemaName)")])
    }

    var merge: Operation {
        let others = catalogue.references(to: definition).map { "\($0.source.nouns) by \($0.field.name)" }
        let tree =
            definition.fields.contains { if case .reference(.parent) = $0.kind { true } else { false } }
            ? " One that is below what is merged into it takes its place." : ""
        return Operation(
            id: "merge\(definition.schemaName)", summary: "Merge \(definition.nouns) into this one",
            description: """
                It keeps its values, gets those of values, a merge patch, and takes over from the others, in their order, what it lacks: fields without \
                a value, tags, custom fields, and a yes or no that is not the default.\(tree) All that refers to the others (\(others.joined(separator: ", "))) \
                refers to it, whoever's it is: \(MergeStatements.step) records of each kind at once, what is more within moments. Their ids and \
                external ids lead to it: a read answers 301 with Location, a write is refused with merged and its id. For \
                \(MergeStatements.days) days a merge can be undone. Needs \(definition.permissions.rawValue).update too.
                """,
            tag: definition.name, parameters: [.ifMatch, .idempotencyKey],
            body: [
                "type": "object", "required": ["from"], "additionalProperties": false,
                "properties": [
                    "from": [
                        "type": "array", "minItems": 1, "maxItems": .number(MergeRequest.maximum),
                        "items": ["type": "string", "format": "uuid"],
                        "uniqueItems": true, "description": "What is to become this one.",
                    ],
                    "values": ["$ref": .string("#/components/schemas/\(definition.schemaName)Patch")],
                ],
            ],
            bodyExample: ["from": [Self.anID], "values": .object(JSONObject())], responses: [moved],
            errors: [.merged, .conflict, .alreadyExists, .referenceNotFound])
    }

    var unmerge: Operation {
        Operation(
            id: "unmerge\(definition.schemaName)", summary: "Undo a merge into this \(singular)",
            description: """
                What was merged is there again as it was. What the merge has changed, of the \(singular) and of what refers to it, goes back where nothing \
                has changed it since. Needs \(definition.permissions.rawValue).update too.
                """,
            tag: definition.name, parameters: [.ifMatch, .idempotencyKey],
            body: [
                "type": "object", "required": ["merge_id"], "additionalProperties": false,
                "properties": ["merge_id": ["type": "string", "format": "uuid"]],
            ],
            bodyExample: ["merge_id": Self.anID], responses: [moved],
            errors: [.merged, .conflict, .alreadyExists, .referenceNotFound] + (definition.planLimit == nil ? [] : [.planLimitReached]))
    }

    var merges: Operation {
        Operation(
            id: "list\(definition.schemaName)Merges", summary: "List the merges into this \(singular)",
            description: "The newest first, for \(MergeStatements.days) days.", tag: definition.name, parameters: Paging.parameters,
            responses: [
                .init(200, "The merges.", schema: Paging.schema(of: ["$ref": .string("#/components/schemas/\(Merge.schemaName)")]))
            ] + Self.movedResponses(of: definition))
    }
}

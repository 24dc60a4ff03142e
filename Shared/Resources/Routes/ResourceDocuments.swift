import Core

/// The public document of a resource: its schemas and how its routes are described.
struct ResourceDocuments: Sendable {
    let definition: ResourceDefinition
    let catalogue: ResourceCatalogue

    private var type: String { definition.schemaName }
    private var plural: String { definition.name.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined() }

    // MARK: Schemas

    var schemas: [(name: String, schema: JSON)] {
        [
            (type, record), ("\(type)Create", input(.create)), ("\(type)Patch", input(.patch)), ("\(type)Page", page),
            ("\(type)Reference", stub), ("\(type)Batch", batchInput), ("\(type)BatchResults", batchOutput),
            (MemberSummary.schemaName, MemberSummary.schema),
        ] + (definition.isMergeable ? [("\(type)Duplicates", duplicatesSchema), (Merge.schemaName, Merge.schema)] : [])
    }

    private func reference(_ suffix: String = "") -> JSON { ["$ref": .string("#/components/schemas/\(type)\(suffix)")] }

    var record: JSON {
        var properties = JSONObject()
        let id: JSON = ["type": "string", "format": "uuid", "readOnly": true]
        let time: JSON = ["type": "string", "format": "date-time", "readOnly": true]
        properties["id"] = ["type": "string", "format": "uuid", "readOnly": true, "description": "A UUIDv7: later ones sort later."]
        properties["version"] = ["type": "integer", "minimum": 1, "readOnly": true, "description": "Grows by one with each change."]
        for field in definition.fields { properties[field.name] = field.schema(allValues: true) }
        properties["created_at"] = time
        properties["updated_at"] = time
        properties["created_by"] = id
        properties["updated_by"] = id
        let required = properties.names.map { JSON.string($0) }
        for expansion in catalogue.expansions(of: definition) {
            let types = expansion.targets.map { target -> JSON in ["$ref": .string("#/components/schemas/\(target.schemaName)")] }
            properties[expansion.member] = [
                "anyOf": .array(types + [["type": "null"]]), "readOnly": true,
                "description": .string(
                    "Only with expand=\(expansion.name): what \(expansion.column) leads to; null when there is none to be seen."),
            ]
        }
        return ["type": "object", "properties": .object(properties), "required": .array(required)]
    }

    private var stub: JSON {
        [
            "type": "object", "required": ["id", "version"], "additionalProperties": false,
            "properties": ["id": ["type": "string", "format": "uuid"], "version": ["type": "integer", "minimum": 1]],
            "description": .string(
                "Instead of a \(definition.noun) that is too large to be one of many"
                    + (definition.isGivable ? ", or that you have given to somebody whose \(definition.nouns) you do not see." : ".")
            ),
        ]
    }

    /// The record that a write answers.
    private var written: JSON { definition.isGivable ? ["anyOf": [reference(), reference("Reference")]] : reference() }

    private func input(_ purpose: BodyReader.Purpose) -> JSON {
        var properties = JSONObject()
        for field in definition.fields where !field.isReadOnly {
            var schema = field.schema(allValues: purpose == .patch).object ?? JSONObject()
            // A patch leaves out what it does not name; it fills nothing in.
            if purpose == .patch { schema["default"] = nil }
            if field.type.isCollection { schema["type"] = schema["type"].map { .array([$0, "null"]) } }
            properties[field.name] = .object(schema)
        }
        var schema: JSONObject = JSONObject()
        schema["type"] = "object"
        schema["additionalProperties"] = false
        schema["properties"] = .object(properties)
        let required = definition.fields.filter { $0.isRequired && !$0.isReadOnly }.map { JSON.string($0.name) }
        if purpose == .create, !required.isEmpty { schema["required"] = .array(required) }
        return .object(schema)
    }

    private var page: JSON {
        var counts = JSONObject()
        counts["total"] = ["type": "integer", "description": "Only with count=: how many records the whole list has."]
        counts["total_relation"] = [
            "type": "string", "enum": ["exact", "at_least"],
            "description": "Only with count=estimate: whether total is the number, or the list has more than it.",
        ]
        let time: JSON = [
            "type": ["string", "null"], "format": "date-time", "description": "Only with deleted=: when the record was deleted.",
        ]
        return Paging.schema(
            of: ["allOf": [reference(), ["type": "object", "properties": ["deleted_at": time]]]], further: counts)
    }

    private var batchInput: JSON {
        [
            "type": "object", "required": ["operations"], "additionalProperties": false,
            "properties": [
                "atomic": ["type": "boolean", "default": false, "description": "Whether one failing operation undoes all."],
                "operations": [
                    "type": "array", "minItems": 1, "maxItems": .number(BatchReader.maximumOperations),
                    "items": [
                        "type": "object", "required": ["op"], "additionalProperties": false,
                        "properties": [
                            "op": ["type": "string", "enum": ["create", "update", "delete", "upsert"]],
                            "id": ["type": "string", "format": "uuid", "description": "Of what is updated or deleted."],
                            "external_id": [
                                "type": "string", "minLength": 1, "maxLength": 255,
                                "description": "Of what is upserted; of what is updated or deleted instead of id.",
                            ],
                            "version": [
                                "type": "integer",
                                "description": "The version that the record must still have; with it an upsert makes none.",
                            ],
                            "body": ["description": "For create, update and upsert.", "anyOf": [reference("Create"), reference("Patch")]],
                        ],
                    ],
                ],
            ],
        ]
    }

    private var batchOutput: JSON {
        [
            "type": "object", "required": ["results"],
            "properties": [
                "results": [
                    "type": "array",
                    "items": [
                        "type": "object", "required": ["status"],
                        "properties": [
                            "status": ["type": "integer"],
                            "body": ["anyOf": [reference(), reference("Reference"), ["$ref": "#/components/schemas/Problem"]]],
                        ],
                    ],
                ]
            ],
        ]
    }

    // MARK: Operations

    private static let fields = ListParameter.fields.document

    private var expand: Operation.Parameter { ListParameter.expand(catalogue.expansions(of: definition)).document }

    private static let pagingText = """
        Read on with after= until page.next is null; there is no end to how far. A filter takes several values with commas, and operators \
        in brackets, as in created_at[gte]=2026-01-31T00:00:00Z; all filters must hold. Members see the records that their role lets \
        them see.
        """
    /// Of values that are unique.
    private static let takenText = """
        A unique value that another live record has is refused with already_exists and the id of that record, if you may read it.
        """
    /// What any body of a record is held to.
    private var ruleTexts: [String] {
        let giving = """
            To give it to somebody whose \(definition.nouns) you do not see needs \(definition.permissions.rawValue).share, and is answered with \
            id and version only, without a Location.
            """
        return [Self.takenText] + (definition.isGivable ? [giving] : []) + definition.rules.sorted { $0.key < $1.key }.map(\.value)
    }

    private func text(_ sentences: String...) -> String { (sentences + ruleTexts).joined(separator: " ") }

    private static let changeText = """
        Members that are absent stay as they are, null clears. With If-Match the change is refused with version_mismatch when somebody \
        else was faster; the answer then has the current version.
        """
    private static let batchText = """
        Each operation needs the permission of its own kind and counts against the limits. They come to what they would one after another, in the \
        order sent. With atomic, all take effect or none, and the \
        problem names the operation that failed; an upsert creates (201) or changes (200). Without atomic, each has a result of its own, and a batch that broke off goes on when it is \
        repeated with its key. A record of which a member is longer than \(ResourceStatements.largeValue) bytes is answered with id and \
        version, unless fields leaves that member out.
        """

    /// What a create must have, with a few things more, as an example.
    private func example(_ purpose: BodyReader.Purpose) -> JSON {
        var body = JSONObject()
        for field in definition.fields where !field.isReadOnly {
            guard let example = field.example, purpose == .create || !field.isRequired else { continue }
            body[field.name] = example
            if purpose == .patch { break }
        }
        return .object(body)
    }

    private var batchExample: JSON {
        let id: JSON = "01a20922-d6ba-7e1d-b402-13919357caf0"
        return [
            "atomic": true,
            "operations": [
                ["op": "create", "body": example(.create)], ["op": "update", "id": id, "version": 3, "body": example(.patch)],
                ["op": "upsert", "external_id": ResourceDefinition.externalID.example ?? .null, "body": upsertExample],
            ],
        ]
    }

    /// A whole record without the id that the request names already.
    private var upsertExample: JSON {
        var body = example(.create).object ?? JSONObject()
        body[ResourceDefinition.externalID.name] = nil
        return .object(body)
    }

    /// Of a change that a state machine refuses.
    private var stateErrors: [ErrorCode] {
        let hasStates = definition.fields.contains { if case .states = $0.kind { true } else { false } }
        return hasStates ? [.conflict] : []
    }

    private var limitErrors: [ErrorCode] { definition.planLimit == nil ? [] : [.planLimitReached] }

    func list(parameters reader: ListReader) -> Operation {
        Operation(
            id: "list\(plural)", summary: "List \(definition.nouns)", description: Self.pagingText, tag: definition.name,
            parameters: reader.documents,
            responses: [.init(200, "A page of \(definition.nouns), in the order asked for.", schema: reference("Page"))])
    }

    func list(of parent: ResourceDefinition, by field: Field, orLinked isLinked: Bool, parameters reader: ListReader) -> Operation {
        let type = parent.schemaName
        return Operation(
            id: "list\(type)\(plural)", summary: "List the \(definition.nouns) of one of the \(parent.nouns)",
            description:
                "The list of all \(definition.nouns) where \(field.name) is the id of the path\(isLinked ? ", and of those that are linked to it" : ""). \(Self.pagingText)",
            tag: definition.name,
            parameters: reader.documents,
            responses: [.init(200, "A page of \(definition.nouns), in the order asked for.", schema: reference("Page"))]
                + Self.movedResponses(of: parent))
    }

    var get: Operation {
        Operation(
            id: "get\(type)", summary: "Read a \(definition.noun)", tag: definition.name,
            parameters: [Self.fields, expand, .ifNoneMatch],
            responses: [.init(200, "The \(definition.noun).", schema: reference())] + Self.movedResponses(of: definition))
    }

    var create: Operation {
        Operation(
            id: "create\(type)", summary: "Create a \(definition.noun)", description: text(), tag: definition.name,
            parameters: [.idempotencyKey] + (definition.isMergeable ? [.prefer] : []),
            body: reference("Create"), bodyExample: example(.create),
            responses: [.init(201, "The new \(definition.noun).", schema: written, headers: [.location, .tag])],
            errors: limitErrors + (definition.isMergeable ? [.duplicate] : []) + [.referenceNotFound, .alreadyExists])
    }

    var update: Operation {
        Operation(
            id: "update\(type)", summary: "Change a \(definition.noun) (merge patch, RFC 7396)",
            description: text(Self.changeText), tag: definition.name,
            parameters: [.ifMatch, .idempotencyKey], body: reference("Patch"), bodyExample: example(.patch),
            responses: [.init(200, "The changed \(definition.noun).", schema: written)],
            errors: stateErrors + mergeErrors + [.referenceNotFound, .alreadyExists])
    }

    func action(_ name: String, _ members: [String], _ required: [String], summary: String, description: String, example: JSON) -> Operation
    {
        var schema = input(.patch).object ?? JSONObject()
        let properties = schema["properties"]
        schema["properties"] = .object(members.reduce(into: JSONObject()) { $0[$1] = properties?[$1] })
        schema["required"] = .array(required.map { .string($0) })
        return Operation(
            id: "\(name)\(type)", summary: summary, description: text(description), tag: definition.name,
            parameters: [.ifMatch, .idempotencyKey], body: .object(schema), bodyExample: example,
            responses: [.init(200, "The changed \(definition.noun).", schema: written)], errors: stateErrors + [.referenceNotFound])
    }

    var delete: Operation {
        Operation(
            id: "delete\(type)", summary: "Delete a \(definition.noun)",
            description: (["It leaves lists and search, and can be restored."] + referring).joined(separator: " "), tag: definition.name,
            parameters: [.ifMatch, .idempotencyKey], responses: [.init(204, "Deleted.")],
            errors: mergeErrors + (mayRefuseDeletion ? [.conflict] : []))
    }

    private var mayRefuseDeletion: Bool {
        catalogue.references(to: definition).contains { $0.onDelete != .keep } || !definition.rules.isEmpty
            || definition.fields.contains { if case .states(let machine) = $0.kind { !machine.kept.isEmpty } else { false } }
    }

    /// What becomes of the records that refer to a deleted one, a sentence each.
    private var referring: [String] {
        catalogue.references(to: definition).map { reference in
            let (name, field) = (reference.source.nouns, reference.field.name)
            let most = ReferenceStatements.maximumCleared
            return switch reference.onDelete {
            case .refuse: "It is refused as long as \(name) refer to it by \(field)."
            case .clear: "Of \(name) that refer to it by \(field), at most \(most), that becomes null; with more it is refused."
            case .keep: "In \(name) that refer to it, \(field) stays."
            }
        }
    }

    // MARK: By the ids of another system

    private static let externalID = Operation.Parameter(
        "external_id", in: .path, schema: ["type": "string", "minLength": 1, "maxLength": 255],
        "The id that another system knows the record by, percent-encoded.")

    private var upsertText: String {
        let givenAway = definition.isGivable ? "; also when it was you who gave the record away" : ""
        return """
            Where no live record has the external id, one is made: with what the body says, the defaults for the rest (201). Where one has it, \
            the body changes it as a merge patch (200); a body that says nothing new changes nothing. Making needs the permission \
            \(definition.permissions.rawValue).create, changing \(definition.permissions.rawValue).update. If-None-Match: * only makes, \
            If-Match: * or a version only changes; else the answer is version_mismatch. A deleted record counts for none. An external id that a \
            record has which you may not see is refused with already_exists, without its id\(givenAway).
            """
    }

    var getByExternalID: Operation {
        var operation = get
        operation.id = "get\(type)ByExternalID"
        operation.summary = "Read the \(definition.noun) with an external id"
        operation.parameters.append(Self.externalID)
        return operation
    }

    var upsert: Operation {
        Operation(
            id: "upsert\(type)", summary: "Make the \(definition.noun) with an external id, or change it",
            description: text(upsertText), tag: definition.name, parameters: [Self.externalID, .ifMatch, .onlyMakes, .idempotencyKey],
            body: reference("Patch"),
            bodyExample: upsertExample,
            responses: [
                .init(200, "The \(definition.noun), changed.", schema: written),
                .init(201, "The new \(definition.noun).", schema: written, headers: [.location]),
            ],
            errors: limitErrors + stateErrors + mergeErrors + [.referenceNotFound, .alreadyExists])
    }

    var updateByExternalID: Operation {
        var operation = update
        operation.id = "update\(type)ByExternalID"
        operation.summary = "Change the \(definition.noun) with an external id (merge patch, RFC 7396)"
        operation.parameters.append(Self.externalID)
        return operation
    }

    var deleteByExternalID: Operation {
        var operation = delete
        operation.id = "delete\(type)ByExternalID"
        operation.summary = "Delete the \(definition.noun) with an external id"
        operation.parameters.append(Self.externalID)
        return operation
    }

    // MARK: Many and back

    var restore: Operation {
        Operation(
            id: "restore\(type)", summary: "Restore a deleted \(definition.noun)", description: Self.takenText, tag: definition.name,
            parameters: [.ifMatch, .idempotencyKey],
            responses: [.init(200, "The restored \(definition.noun).", schema: reference())],
            errors: limitErrors + mergeErrors
                + (catalogue.references(of: definition).contains { $0.onDelete == .refuse } ? [.referenceNotFound] : []) + [
                    .conflict, .alreadyExists, .invalidJSON, .unknownMember, .unsupportedMediaType, .validationFailed, .bodyTooLarge,
                    .requestTimeout,
                ])
    }

    var batch: Operation {
        Operation(
            id: "batch\(plural)", summary: "Write up to \(BatchReader.maximumOperations) \(definition.nouns) at once",
            description: text(Self.batchText),
            tag: definition.name, parameters: [Self.fields, .idempotencyKey], body: reference("Batch"), bodyExample: batchExample,
            responses: [.init(200, "The results in the order of the operations.", schema: reference("BatchResults"))],
            errors: limitErrors + mergeErrors + [.notFound, .versionMismatch, .referenceNotFound, .alreadyExists, .conflict])
    }
}

import Core

/// The public document of a resource: its schemas and how its routes are described.
struct ResourceDocuments: Sendable {
    let definition: ResourceDefinition

    private var type: String { definition.schemaName }
    private var plural: String { definition.name.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined() }

    // MARK: Schemas

    var schemas: [(name: String, schema: JSON)] {
        [
            (type, record), ("\(type)Create", input(.create)), ("\(type)Patch", input(.patch)), ("\(type)Page", page),
            ("\(type)Batch", batchInput), ("\(type)BatchResults", batchOutput),
        ]
    }

    private func reference(_ suffix: String = "") -> JSON { ["$ref": .string("#/components/schemas/\(type)\(suffix)")] }

    private var record: JSON {
        var properties = JSONObject()
        let id: JSON = ["type": "string", "format": "uuid"]
        let time: JSON = ["type": "string", "format": "date-time"]
        properties["id"] = id
        properties["version"] = ["type": "integer", "minimum": 1, "description": "Grows by one with each change."]
        for field in definition.fields { properties[field.name] = field.schema(allValues: true) }
        properties["created_at"] = time
        properties["updated_at"] = time
        properties["created_by"] = id
        properties["updated_by"] = id
        let required = properties.names.map { JSON.string($0) }
        return ["type": "object", "properties": .object(properties), "required": .array(required)]
    }

    private func input(_ purpose: BodyReader.Purpose) -> JSON {
        var properties = JSONObject()
        for field in definition.fields where !field.isReadOnly { properties[field.name] = field.schema(allValues: false) }
        var schema: JSONObject = JSONObject()
        schema["type"] = "object"
        schema["additionalProperties"] = false
        schema["properties"] = .object(properties)
        let required = definition.fields.filter { $0.isRequired && !$0.isReadOnly }.map { JSON.string($0.name) }
        if purpose == .create, !required.isEmpty { schema["required"] = .array(required) }
        return .object(schema)
    }

    private var page: JSON {
        [
            "type": "object", "required": ["data", "page"],
            "properties": [
                "data": ["type": "array", "items": reference()],
                "page": [
                    "type": "object", "required": ["next", "limit"],
                    "properties": [
                        "next": ["type": ["string", "null"]], "limit": ["type": "integer"], "total": ["type": "integer"],
                        "total_relation": ["type": "string", "enum": ["exact", "at_least"]],
                    ],
                ],
            ],
        ]
    }

    private var batchInput: JSON {
        [
            "type": "object", "required": ["operations"], "additionalProperties": false,
            "properties": [
                "atomic": ["type": "boolean", "default": false],
                "operations": [
                    "type": "array", "minItems": 1, "maxItems": .number(BatchReader.maximumOperations),
                    "items": [
                        "type": "object", "required": ["op"], "additionalProperties": false,
                        "properties": [
                            "op": ["type": "string", "enum": ["create", "update", "delete"]],
                            "id": ["type": "string", "format": "uuid"], "version": ["type": "integer"],
                            "body": ["anyOf": [reference("Create"), reference("Patch")]],
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
                            "body": ["anyOf": [reference(), ["$ref": "#/components/schemas/Problem"]]],
                        ],
                    ],
                ]
            ],
        ]
    }

    // MARK: Operations

    private static let key = Operation.Parameter(
        Idempotency.headerName, in: .header, schema: ["type": "string", "minLength": 1, "maxLength": 255],
        "A repeat with the same key gets the first answer; kept for 24 hours.")
    private static let ifMatch = Operation.Parameter(
        "If-Match", in: .header, schema: ["type": "string"], "The ETag that the record must still have.")
    private static let fields = Operation.Parameter(
        "fields", in: .query, schema: ["type": "string"], "The members to answer, joined by commas.")

    private static let inputErrors: [ErrorCode] = [
        .invalidJSON, .unknownMember, .unknownParameter, .invalidParameter, .unsupportedMediaType, .bodyTooLarge, .validationFailed,
        .referenceNotFound,
    ]
    private static let keyErrors: [ErrorCode] = [.idempotencyKeyReused, .idempotencyInProgress, .invalidParameter]

    private var limitErrors: [ErrorCode] { definition.planLimit == nil ? [] : [.planLimitReached] }

    func list(parameters reader: ListReader) -> Operation {
        Operation(
            id: "list\(plural)", summary: "List \(definition.name).", tag: definition.name,
            parameters: reader.parameterNames.map(parameter), responses: [.init(200, "A page.", schema: reference("Page"))],
            errors: [.invalidParameter, .unknownParameter, .invalidCursor])
    }

    private func parameter(_ name: String) -> Operation.Parameter {
        func make(_ schema: JSON, _ description: String) -> Operation.Parameter { .init(name, in: .query, schema: schema, description) }
        switch name {
        case "limit": return make(["type": "integer", "minimum": 1, "maximum": 200, "default": 50], "Records on a page.")
        case "after": return make(["type": "string"], "The cursor `next` of the page before.")
        case "sort":
            let names = definition.sortable.flatMap { [JSON.string($0.name), .string("-\($0.name)")] }
            return make(
                ["type": "string", "enum": .array(names), "default": "-created_at"],
                "The order; records without a value come last going up and first going down.")
        case "fields": return Self.fields
        case "count": return make(["type": "string", "enum": ["exact", "estimate"]], "Adds page.total; an estimate counts up to 10,000.")
        case "deleted": return make(["type": "string", "enum": ["only"]], "The deleted records instead of the live ones.")
        case "q": return make(["type": "string", "maxLength": 200], "Words, \"phrases\" and -exclusions; the last word may be unfinished.")
        case "tag": return make(["type": "string"], "Records with any of these tags, joined by commas.")
        case "created_after", "created_before", "updated_after", "updated_before":
            return make(["type": "string", "format": "date-time"], "Exclusive.")
        default: return make(["type": "string"], "Records with any of these values, joined by commas.")
        }
    }

    var get: Operation {
        Operation(
            id: "get\(type)", summary: "Read a \(definition.singular).", tag: definition.name,
            parameters: [
                Self.fields, .init("If-None-Match", in: .header, schema: ["type": "string"], "Answers 304 when it names the version."),
            ],
            responses: [.init(200, "The \(definition.singular).", schema: reference()), .init(304, "Not changed.")],
            errors: [.notFound, .invalidParameter, .unknownParameter])
    }

    var create: Operation {
        Operation(
            id: "create\(type)", summary: "Create a \(definition.singular).", tag: definition.name, parameters: [Self.key],
            body: reference("Create"), responses: [.init(201, "The new \(definition.singular).", schema: reference())],
            errors: Self.inputErrors + Self.keyErrors + limitErrors + [.alreadyExists])
    }

    var update: Operation {
        Operation(
            id: "update\(type)", summary: "Change a \(definition.singular) (merge patch, RFC 7396).", tag: definition.name,
            parameters: [Self.ifMatch, Self.key], body: reference("Patch"),
            responses: [.init(200, "The changed \(definition.singular).", schema: reference())],
            errors: Self.inputErrors + Self.keyErrors + [.notFound, .versionMismatch, .alreadyExists])
    }

    var delete: Operation {
        Operation(
            id: "delete\(type)", summary: "Delete a \(definition.singular); it can be restored.", tag: definition.name,
            parameters: [Self.ifMatch, Self.key], responses: [.init(204, "Deleted.")],
            errors: Self.keyErrors + [.notFound, .versionMismatch, .unknownParameter])
    }

    var restore: Operation {
        Operation(
            id: "restore\(type)", summary: "Restore a deleted \(definition.singular).", tag: definition.name,
            parameters: [Self.ifMatch, Self.key], responses: [.init(200, "The restored \(definition.singular).", schema: reference())],
            errors: Self.keyErrors + limitErrors + [
                .notFound, .versionMismatch, .conflict, .alreadyExists, .invalidJSON, .unknownMember, .unknownParameter,
                .unsupportedMediaType, .validationFailed,
            ])
    }

    var batch: Operation {
        Operation(
            id: "batch\(plural)", summary: "Up to \(BatchReader.maximumOperations) writes, all or none or each by itself.",
            tag: definition.name, parameters: [Self.key], body: reference("Batch"),
            responses: [.init(200, "The results in the order of the operations.", schema: reference("BatchResults"))],
            errors: Self.inputErrors + Self.keyErrors + limitErrors + [.notFound, .versionMismatch, .alreadyExists])
    }
}

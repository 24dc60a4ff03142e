import Core

extension Field {
    /// JSON Schema (draft 2020-12, as OpenAPI 3.1 has it).
    ///
    /// - Parameter allValues: whether an enumeration lists also what a body may not give.
    func schema(allValues: Bool) -> JSON {
        var schema = kind.schema(allValues: allValues)
        if isNullable {
            schema["type"] = schema["type"].map { .array([$0, "null"]) }
            if let values = schema["enum"]?.array { schema["enum"] = .array(values + [.null]) }
        }
        if case .value(let json) = defaultValue { schema["default"] = json }
        if isReadOnly { schema["readOnly"] = true }
        if !description.isEmpty { schema["description"] = .string(description) }
        if let example = example ?? kind.example { schema["examples"] = [example] }
        return .object(schema)
    }
}

extension FieldKind {
    /// What the form alone suggests.
    fileprivate var example: JSON? {
        switch self {
        case .email: "n.okafor@kestrel.example"
        case .phone: "+49 40 5550101"
        case .url: "https://kestrel.example"
        case .tags: ["emea", "priority"]
        case .custom: ["industry": "logistics"]
        default: nil
        }
    }

    fileprivate func schema(allValues: Bool) -> JSONObject {
        let json: JSON =
            switch self {
            case .text(let maximum), .longText(let maximum): ["type": "string", "maxLength": .number(maximum)]
            case .email: ["type": "string", "format": "email", "maxLength": 254]
            case .phone: ["type": "string", "maxLength": 40]
            case .url: ["type": "string", "format": "uri", "maxLength": 2000]
            case .integer(let range): ["type": "integer", "minimum": .number(range.lowerBound), "maximum": .number(range.upperBound)]
            case .enumeration(let values, let settable):
                ["type": "string", "enum": .array((allValues ? values : settable).map { .string($0) })]
            case .timestamp: ["type": "string", "format": "date-time"]
            case .date: ["type": "string", "format": "date"]
            case .boolean: ["type": "boolean"]
            case .tags(let maximumCount, let maximumLength):
                [
                    "type": "array", "maxItems": .number(maximumCount), "uniqueItems": true,
                    "items": ["type": "string", "minLength": 1, "maxLength": .number(maximumLength)],
                ]
            case .object(let fields):
                [
                    "type": "object", "additionalProperties": false,
                    "properties": .object(
                        fields.reduce(into: JSONObject()) { $0[$1.name] = $1.schema(allValues: allValues) }),
                ]
            case .custom:
                [
                    "type": "object", "maxProperties": .number(Self.maximumCustomKeys),
                    "propertyNames": ["type": "string", "pattern": "^[a-z0-9_]{1,64}$"],
                    "additionalProperties": ["type": ["string", "number", "boolean", "null"]],
                ]
            case .reference: ["type": "string", "format": "uuid"]
            }
        return json.object ?? JSONObject()
    }
}

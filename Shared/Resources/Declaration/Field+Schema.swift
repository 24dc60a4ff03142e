import Core

extension Field {
    /// JSON Schema (draft 2020-12, as OpenAPI 3.1 has it).
    ///
    /// - Parameter allValues: whether an enumeration lists also what a body may not give.
    func schema(allValues: Bool) -> JSON {
        var schema = kind.schema(allValues: allValues, isRequired: isRequired)
        if isNullable {
            schema["type"] = schema["type"].map { .array([$0, "null"]) }
            if let values = schema["enum"]?.array { schema["enum"] = .array(values + [.null]) }
        }
        if case .value(let json) = defaultValue { schema["default"] = json }
        if isReadOnly { schema["readOnly"] = true }
        let sentences = [description, kind.rule].filter { !$0.isEmpty }
        if !sentences.isEmpty { schema["description"] = .string(sentences.joined(separator: " ")) }
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

    /// What the schema's words cannot say.
    fileprivate var rule: String {
        switch self {
        case .phone: "As people write it, with three digits at least; a pause, an extension or letters may be in it."
        case .url: "An absolute http or https address."
        case .tags: "Labels that differ only in case or in blanks around them are one; a label has no comma."
        case .custom: "A null or an empty text removes a field; a number is zero or of a size from 1e-308 to 1e308."
        default: ""
        }
    }

    fileprivate func schema(allValues: Bool, isRequired: Bool) -> JSONObject {
        func text(_ pattern: String, maximum: Int) -> JSON {
            ["type": "string", "maxLength": .number(maximum), "pattern": .string(pattern)]
        }
        let json: JSON =
            switch self {
            case .text(let maximum): text(PlainText.pattern(.line, isRequired: isRequired), maximum: maximum)
            case .longText(let maximum): text(PlainText.pattern(.lines, isRequired: isRequired), maximum: maximum)
            case .email: isRequired ? BodySchema.email : BodySchema.optionalEmail
            case .phone: text(PhoneNumber.pattern, maximum: PhoneNumber.maximumLength)
            case .url: text(WebAddress.pattern, maximum: WebAddress.maximumLength)
            case .integer(let range): ["type": "integer", "minimum": .number(range.lowerBound), "maximum": .number(range.upperBound)]
            case .enumeration(let values, let settable):
                ["type": "string", "enum": .array((allValues ? values : settable).map { .string($0) })]
            case .timestamp: ["type": "string", "format": "date-time"]
            case .date: ["type": "string", "format": "date"]
            case .boolean: ["type": "boolean"]
            case .tags(let maximumCount, let maximumLength):
                [
                    "type": "array", "maxItems": .number(maximumCount),
                    "items": text(PlainText.pattern(.line, isRequired: true, without: ","), maximum: maximumLength),
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
                    "additionalProperties": BodySchema.scalar(maximum: Self.maximumCustomText),
                ]
            case .reference: ["type": "string", "format": "uuid"]
            }
        return json.object ?? JSONObject()
    }
}

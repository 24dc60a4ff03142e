/// Parts of JSON Schema for what bodies have in common; each says what the check of the same name takes.
public enum BodySchema {
    /// ``PlainText`` that must show something.
    public static func text(maximum: Int) -> JSON {
        [
            "type": "string", "minLength": 1, "maxLength": .number(maximum), "pattern": .string(PlainText.pattern(.line, isRequired: true)),
            "description": "It must show something; blanks around it are dropped.",
        ]
    }

    /// ``EmailAddress``.
    public static let email: JSON = ["type": "string", "format": "idn-email", "maxLength": .number(EmailAddress.maximumLength)]

    /// ``EmailAddress``, or a text that shows nothing.
    public static let optionalEmail: JSON = [
        "type": "string", "maxLength": .number(EmailAddress.maximumLength),
        "anyOf": [["format": "idn-email"], ["pattern": .string(PlainText.blankPattern)]],
    ]

    /// ``JSON/checkedScalar(maximum:)``.
    public static func scalar(maximum: Int) -> JSON {
        var schema: JSONObject = JSONObject()
        schema["type"] = ["string", "number", "boolean", "null"]
        schema["maxLength"] = .number(maximum)
        schema["pattern"] = .string(PlainText.pattern(.lines))
        for limit in JSON.numberLimits { schema[limit.name] = limit.value }
        schema["description"] = "A number is zero or of a size from 1e-308 to 1e308."
        return .object(schema)
    }
}

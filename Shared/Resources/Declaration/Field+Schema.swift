import Core

extension Field {
    /// JSON Schema (draft 2020-12, as OpenAPI 3.1 has it).
    ///
    /// - Parameter allValues: whether states are listed that no new record can have.
    func schema(allValues: Bool) -> JSON {
        var schema = type.schema(isRequired, allValues).object ?? JSONObject()
        if isNullable {
            schema["type"] = schema["type"].map { .array([$0, "null"]) }
            if let values = schema["enum"]?.array { schema["enum"] = .array(values + [.null]) }
        }
        if case .value(let json) = defaultValue { schema["default"] = json }
        if isReadOnly { schema["readOnly"] = true }
        let sentences = [description, type.rule, isUnique ? "Unique among the tenant's live records." : ""].filter { !$0.isEmpty }
        if !sentences.isEmpty { schema["description"] = .string(sentences.joined(separator: " ")) }
        if let example = example ?? type.example { schema["examples"] = [example] }
        return .object(schema)
    }
}

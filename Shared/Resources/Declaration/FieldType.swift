import Core
import Postgres

/// What the values of one kind are: how they are given, kept and answered, and what the public document says of them.
struct FieldType: Sendable {
    /// The names of the column types that fit, as `format_type` prints them.
    let columnTypes: [String]
    /// How values look in Postgres' text format, and so how they become JSON.
    let format: CellFormat
    /// Whether values are texts of any kind.
    var isText = false
    /// Whether a value may be larger than a few kilobytes.
    var isWide = false
    /// Whether values are of the composite type `record_reference`.
    var isRelated = false
    /// What a record without a value has, where it never has null.
    var empty: String?
    var isCollection: Bool { empty != nil }
    /// How a filter may compare the values.
    var operators = FilterOperator.ofChoices
    /// All the values that there are, where these are few.
    var choices: [String]?
    /// The function in SQL that gives what is compared of a text, where that is not the text itself.
    var comparedBy: String?
    /// JSON Schema; states are listed all, or those that a new record can have.
    let schema: @Sendable (_ isRequired: Bool, _ allValues: Bool) -> JSON
    /// What the schema's words cannot say.
    var rule = ""
    /// What the form alone suggests.
    var example: JSON?
    /// What a filter has, as it was meant where a plus was left bare.
    var inQuery: @Sendable (String) -> String = { $0 }
    /// A scalar of a body that is no string, as it is kept.
    var checkedJSON: (@Sendable (JSON) throws(ValueFault) -> JSON)?
    /// The value as it is kept and as Postgres reads it; empty for a text that shows nothing.
    var checkedText: @Sendable (String) throws(ValueFault) -> String = { _ throws(ValueFault) in throw .format("an object") }

    /// Checks a scalar of a body and gives it as it is kept: null for a text that shows nothing. Objects, tags and custom fields have
    /// checks of their own (``BodyReader``).
    ///
    /// - Throws: ``ValueFault`` naming what was expected.
    func checked(_ json: JSON) throws(ValueFault) -> JSON {
        if let checkedJSON { return try checkedJSON(json) }
        guard let given = json.string else { throw .type("a string", json) }
        let text = try checkedText(given)
        return text.isEmpty ? .null : .string(text)
    }

    /// Checks a scalar given as text, as a filter has it.
    ///
    /// - Throws: ``ValueFault``, also for a text that shows nothing: no record has such a value.
    func scalar(text given: String) throws(ValueFault) -> SQLValue {
        let text = try checkedText(inQuery(given))
        if text.isEmpty { throw ValueFault(.tooShort, "Expected a value, or several joined by commas.") }
        return .text(text)
    }
}

extension FieldKind {
    /// The only place where a kind that is one value is told from others; what is made of several is ``BodyReader``'s too.
    var type: FieldType {
        switch self {
        case .text(let maximum): .lines(.line, maximum: maximum)
        case .longText(let maximum): .lines(.lines, maximum: maximum)
        case .form(let form):
            FieldType(
                columnTypes: ["text"], format: .text, isText: true, operators: FilterOperator.ofTexts,
                schema: { isRequired, _ in
                    FieldType.schema(PlainText.pattern(.line, isRequired: isRequired), maximum: form.maximum)
                }, rule: form.rule, example: .string(form.example),
                checkedText: { text throws(ValueFault) in
                    let text = try PlainText.checked(text, as: .line, maximum: form.maximum)
                    return text.isEmpty ? text : try form.checked(text)
                })
        case .email:
            FieldType(
                columnTypes: ["text"], format: .text, isText: true, operators: FilterOperator.ofTexts, comparedBy: "email_key",
                schema: { isRequired, _ in isRequired ? BodySchema.email : BodySchema.optionalEmail }, example: "n.okafor@kestrel.example",
                checkedText: { text throws(ValueFault) in try EmailAddress.checked(text)?.text ?? "" })
        case .phone:
            FieldType(
                columnTypes: ["text"], format: .text, isText: true, operators: [.equal],
                schema: { _, _ in FieldType.schema(PhoneNumber.pattern, maximum: PhoneNumber.maximumLength) },
                rule: "As people write it, with three digits at least; a pause, an extension or letters may be in it.",
                example: "+49 40 5550101", inQuery: PhoneNumber.inQuery, checkedText: PhoneNumber.checked)
        case .e164:
            FieldType(
                columnTypes: ["text"], format: .plain, schema: { _, _ in FieldType.schema("^\\+[1-9][0-9]{2,14}$", maximum: 16) },
                rule:
                    "Without a calling code it is read as one of the tenant's country; an extension is left out. Null when it cannot be read.",
                example: "+49405550101")
        case .url:
            FieldType(
                columnTypes: ["text"], format: .text, isText: true, operators: FilterOperator.ofTexts,
                schema: { _, _ in FieldType.schema(WebAddress.pattern, maximum: WebAddress.maximumLength) },
                rule: "An absolute http or https address.", example: "https://kestrel.example", checkedText: WebAddress.checked)
        case .hostName:
            FieldType(
                columnTypes: ["text"], format: .text, isText: true, operators: FilterOperator.ofTexts,
                schema: { _, _ in FieldType.schema(HostName.pattern, maximum: HostName.maximumLength) },
                rule: "A host name, kept in lower case.", example: "kestrel.example", checkedText: HostName.checked)
        case .integer(let range): .integer(range)
        case .currency:
            FieldType(
                columnTypes: ["text"], format: .plain, choices: Currency.codes,
                schema: { _, _ in ["type": "string", "enum": .array(Currency.codes.map { .string($0) })] },
                rule: "A code of ISO 4217.", example: "EUR", checkedText: Currency.checked)
        case .amount(let currency): .integer(0...Self.maximumAmount, rule: "In \(currency).")
        case .decimal(let format): .decimal(format)
        case .list(let fields, let maximum, let key): .list(fields, maximum, key: key)
        case .enumeration(let values): .choice(values)
        case .states(let machine): .states(machine)
        case .timestamp: .timestamp()
        case .since(let field, let values):
            .timestamp(rule: "When \(field) came to be \(StateMachine.any(of: values)); null while it is anything else.")
        case .date:
            FieldType(
                columnTypes: ["date"], format: .plain, operators: FilterOperator.ofOrdered,
                schema: { _, _ in ["type": "string", "format": "date"] },
                checkedText: { text throws(ValueFault) in
                    guard Timestamp.isDate(text) else { throw .format("a date such as 2026-01-31") }
                    return text
                })
        case .boolean:
            FieldType(
                columnTypes: ["boolean"], format: .boolean, choices: ["true", "false"], schema: { _, _ in ["type": "boolean"] },
                checkedJSON: { json throws(ValueFault) in
                    guard json.bool != nil else { throw .type("a boolean", json) }
                    return json
                },
                checkedText: { text throws(ValueFault) in
                    guard text == "true" || text == "false" else { throw .format("true or false") }
                    return text
                })
        case .tags(let maximumCount, let maximumLength):
            FieldType(
                columnTypes: ["text[]"], format: .textArray, isText: true, empty: "{}", operators: FilterOperator.ofCollections,
                schema: { _, _ in
                    let items = FieldType.schema(PlainText.pattern(.line, isRequired: true, without: ","), maximum: maximumLength)
                    return ["type": "array", "maxItems": .number(maximumCount), "items": items]
                },
                rule: "Labels that differ only in case or in blanks around them are one; a label has no comma.",
                example: ["emea", "priority"],
                checkedText: FieldType.lines(.line, maximum: maximumLength).checkedText)
        case .object(let fields):
            FieldType(
                columnTypes: ["jsonb"], format: .raw, operators: [],
                schema: { _, allValues in
                    let properties = fields.reduce(into: JSONObject()) { $0[$1.name] = $1.schema(allValues: allValues) }
                    return ["type": "object", "additionalProperties": false, "properties": .object(properties)]
                })
        case .members(let maximumCount):
            FieldType(
                columnTypes: ["uuid[]"], format: .textArray, isText: true, empty: "{}", operators: [.equal],
                schema: { _, _ in
                    ["type": "array", "maxItems": .number(maximumCount), "items": FieldKind.reference(.member).type.schema(true, true)]
                },
                rule: "Ids of members, each kept once.", checkedText: FieldKind.reference(.member).type.checkedText)
        case .custom:
            FieldType(
                columnTypes: ["jsonb"], format: .raw, isWide: true, empty: "{}", operators: [.equal],
                schema: { _, _ in
                    [
                        "type": "object", "maxProperties": .number(Self.maximumCustomKeys),
                        "propertyNames": ["type": "string", "pattern": "^[a-z0-9_]{1,64}$"],
                        "additionalProperties": BodySchema.scalar(maximum: Self.maximumCustomText),
                    ]
                },
                rule: "A null or an empty text removes a field; a number is zero or of a size from 1e-308 to 1e308.",
                example: ["industry": "logistics"])
        case .reference(let target):
            FieldType(
                columnTypes: ["uuid"], format: .plain, schema: { _, _ in ["type": "string", "format": "uuid"] }, rule: target.rule,
                checkedText: { text throws(ValueFault) in
                    guard let id = RecordID(text) else { throw .format("an id (UUID)") }
                    return id.description
                })
        case .related(let types, let onDelete):
            FieldType(
                columnTypes: ["record_reference"], format: .related, isRelated: true, operators: [.equal, .null],
                schema: { _, _ in RelatedRecord.schema(types) }, rule: onDelete.rule,
                example: ["type": .string(types[0]), "id": "01a20922-d6ba-7e1d-b402-13919357caf0"],
                checkedText: { text throws(ValueFault) in try RelatedRecord(filter: text, among: types).text })
        }
    }
}

extension FieldType {
    /// What an index knows of the column.
    func key(of column: String) -> String { isRelated ? "(\(column)).id" : column }

    /// The value where a statement has it, with its type where the server would not infer it.
    func placed(_ value: SQLValue) -> SQL { isRelated ? "\(value)::record_reference" : "\(value)" }
}

extension FieldKind.Target {
    /// For the public document.
    fileprivate var rule: String {
        switch self {
        case .member: ""
        case .resource(let name, let onDelete): "The id of one of the \(name.replacing("_", with: " ")). \(onDelete.rule)"
        case .row(let table): "The id of a \(table)."
        case .parent(let onDelete): "No record is above itself, and none has more than 49 above it. \(onDelete.rule)"
        }
    }
}

extension FieldKind.OnDelete {
    fileprivate var rule: String {
        switch self {
        case .refuse: "That cannot be deleted as long as it is referred to."
        case .clear: "Null once that is deleted."
        case .keep: "Kept when that is deleted."
        }
    }
}

extension FieldType {
    fileprivate static func schema(_ pattern: String, maximum: Int) -> JSON {
        ["type": "string", "maxLength": .number(maximum), "pattern": .string(pattern)]
    }

    fileprivate static func lines(_ form: PlainText.Form, maximum: Int) -> FieldType {
        FieldType(
            columnTypes: ["text"], format: .text, isText: true, isWide: form == .lines, operators: FilterOperator.ofTexts,
            schema: { isRequired, _ in schema(PlainText.pattern(form, isRequired: isRequired), maximum: maximum) },
            checkedText: { text throws(ValueFault) in try PlainText.checked(text, as: form, maximum: maximum) })
    }

    fileprivate static func decimal(_ format: DecimalFormat) -> FieldType {
        FieldType(
            columnTypes: ["numeric"], format: .plain, operators: [],
            schema: { _, _ in ["type": "string", "pattern": .string(format.pattern)] },
            rule: "A decimal number as text, exact. \(format.rule)", example: .string(format.example), checkedText: format.checked)
    }

    fileprivate static func list(_ fields: [Field], _ maximum: Int, key: String?) -> FieldType {
        FieldType(
            columnTypes: ["jsonb"], format: .raw, isWide: true, empty: "[]", operators: [],
            schema: { _, allValues in
                var items: JSONObject = JSONObject()
                items["type"] = "object"
                items["additionalProperties"] = false
                items["properties"] = .object(fields.reduce(into: JSONObject()) { $0[$1.name] = $1.schema(allValues: allValues) })
                let required = fields.filter(\.isRequired).map { JSON.string($0.name) }
                if !required.isEmpty { items["required"] = .array(required) }
                return ["type": "array", "maxItems": .number(maximum), "items": .object(items)]
            },
            rule: key.map { "One for each \($0); a change replaces all of them." } ?? "A change replaces all of them.")
    }

    fileprivate static func timestamp(rule: String = "") -> FieldType {
        FieldType(
            columnTypes: ["timestamp(3) with time zone"], format: .timestamp, operators: FilterOperator.ofOrdered,
            schema: { _, _ in ["type": "string", "format": "date-time"] }, rule: rule, inQuery: Timestamp.inQuery,
            checkedText: { text throws(ValueFault) in
                guard let instant = Timestamp(text) else { throw .format("a time such as 2026-01-31T09:30:00.000Z") }
                return instant.description
            })
    }

    fileprivate static func choice(_ values: [String]) -> FieldType {
        FieldType(
            columnTypes: ["text"], format: .plain, choices: values,
            schema: { _, _ in ["type": "string", "enum": .array(values.map { .string($0) })] },
            checkedText: { text throws(ValueFault) in
                if values.contains(text) { return text }
                throw ValueFault(
                    .notAllowed, "Expected one of \(values.joined(separator: ", ")).\(Suggestion.hint(for: text, among: values))")
            })
    }

    fileprivate static func states(_ machine: StateMachine) -> FieldType {
        FieldType(
            columnTypes: ["text"], format: .plain, choices: machine.states,
            schema: { _, allValues in
                let transitions = machine.states.reduce(into: JSONObject()) {
                    $0[$1] = .array(machine.successors(of: $1).map { .string($0) })
                }
                return [
                    "type": "string", "enum": .array((allValues ? machine.states : machine.start).map { .string($0) }),
                    "x-transitions": .object(transitions),
                ]
            },
            rule: machine.rule, checkedText: choice(machine.states).checkedText)
    }

    fileprivate static func integer(_ range: ClosedRange<Int64>, rule: String = "") -> FieldType {
        /// - Parameter value: `nil` for a whole number of more than 64 bits.
        @Sendable func checked(_ value: Int64?) throws(ValueFault) -> Int64 {
            if let value, range.contains(value) { return value }
            throw ValueFault(.outOfRange, "Expected \(range.lowerBound) to \(range.upperBound).")
        }
        return FieldType(
            columnTypes: ["integer", "bigint", "smallint"], format: .raw, operators: FilterOperator.ofOrdered,
            schema: { _, _ in ["type": "integer", "minimum": .number(range.lowerBound), "maximum": .number(range.upperBound)] }, rule: rule,
            checkedJSON: { json throws(ValueFault) in
                guard json.isWholeNumber else { throw .type("a whole number", json) }
                return .number(try checked(json.integer))
            },
            checkedText: { text throws(ValueFault) in
                guard let value = Int64(text) else { throw .format("a whole number") }
                return String(try checked(value))
            })
    }
}

import Core
import Foundation

/// Holds values to a JSON Schema (draft 2020-12), as far as the schemas of `/openapi.json` use it.
public final class JSONSchema {
    /// A keyword that this does not know: the test would believe what it did not look at.
    public struct UnknownKeyword: Error { public var keyword: String }

    private let schemas: JSON
    private var patterns: [String: NSRegularExpression] = [:]

    /// - Parameter schemas: what `#/components/schemas/<name>` refers to.
    public init(schemas: JSON = .object(JSONObject())) { self.schemas = schemas }

    /// The schema itself, or what it refers to.
    public func resolved(_ schema: JSON) -> JSON {
        guard let reference = schema["$ref"]?.string else { return schema }
        return resolved(schemas[String(reference.split(separator: "/").last ?? "")] ?? .null)
    }

    public func accepts(_ value: JSON, _ schema: JSON) throws -> Bool {
        for member in resolved(schema).object?.members ?? [] {
            guard try holds(member.name, member.value, of: value, in: resolved(schema)) else { return false }
        }
        return true
    }

    private func holds(_ keyword: String, _ rule: JSON, of value: JSON, in schema: JSON) throws -> Bool {
        switch keyword {
        case "description", "examples", "default", "readOnly", "title", "x-transitions": return true
        case "type": return (rule.array ?? [rule]).contains { $0.string.map { isOf($0, value) } ?? false }
        case "enum": return rule.array?.contains(value) == true
        case "anyOf": return try rule.array?.contains { try accepts(value, $0) } == true
        case "oneOf": return try rule.array?.filter { try accepts(value, $0) }.count == 1
        case "minLength", "maxLength", "pattern", "format": return try value.string.map { try holds(keyword, rule, ofText: $0) } ?? true
        case "minimum": return number(value).map { $0 >= number(rule) ?? .nan } ?? true
        case "maximum": return number(value).map { $0 <= number(rule) ?? .nan } ?? true
        case "minItems": return value.array.map { $0.count >= Int(rule.integer ?? 0) } ?? true
        case "maxItems": return value.array.map { $0.count <= Int(rule.integer ?? 0) } ?? true
        case "items": return try value.array?.allSatisfy { try accepts($0, rule) } ?? true
        case "maxProperties": return value.object.map { $0.members.count <= Int(rule.integer ?? 0) } ?? true
        case "propertyNames": return try value.object?.names.allSatisfy { try accepts(.string($0), rule) } ?? true
        case "required": return value.object.map { object in rule.array?.allSatisfy { object[$0.string ?? ""] != nil } == true } ?? true
        case "properties":
            return try value.object?.members.allSatisfy { try rule[$0.name].map { [value = $0.value] in try accepts(value, $0) } ?? true }
                ?? true
        case "additionalProperties":
            let known = schema["properties"]?.object?.names ?? []
            return try value.object?.members.allSatisfy { member in
                if known.contains(member.name) { return true }
                return try rule.bool ?? accepts(member.value, rule)
            } ?? true
        default: throw UnknownKeyword(keyword: keyword)
        }
    }

    private func holds(_ keyword: String, _ rule: JSON, ofText text: String) throws -> Bool {
        switch (keyword, rule.string) {
        case ("minLength", _): return text.unicodeScalars.count >= Int(rule.integer ?? 0)
        case ("maxLength", _): return text.unicodeScalars.count <= Int(rule.integer ?? 0)
        case ("format", "uuid"): return RecordID(text) != nil
        case ("format", "date"): return Timestamp.isDate(text)
        case ("format", "date-time"): return Timestamp(text) != nil
        case ("format", "idn-email"): return EmailAddress(text) != nil
        case ("pattern", let pattern?):
            return try expression(pattern).firstMatch(in: text, range: NSRange(location: 0, length: text.utf16.count)) != nil
        default: throw UnknownKeyword(keyword: "\(keyword) \(rule)")
        }
    }

    private func expression(_ pattern: String) throws -> NSRegularExpression {
        if let known = patterns[pattern] { return known }
        // In ECMAScript `$` is the very end, here it may have a line end behind it.
        let made = try NSRegularExpression(pattern: pattern.replacing("$", with: "\\z"))
        patterns[pattern] = made
        return made
    }

    private func isOf(_ type: String, _ value: JSON) -> Bool {
        switch (type, value) {
        case ("null", .null), ("boolean", .bool), ("string", .string), ("number", .number), ("array", .array), ("object", .object): true
        case ("integer", .number): value.isWholeNumber
        default: false
        }
    }

    private func number(_ value: JSON) -> Double? { if case .number(let text) = value { Double(text) } else { nil } }
}

/// Values around the limits of a schema and beside them, the same in each run.
public struct SchemaValues {
    private let schema: JSONSchema
    private var random: UInt64

    public init(schema: JSONSchema, seed: UInt64) {
        self.schema = schema
        random = seed
    }

    /// Bodies that differ from one that is taken in one member each, in one that is missing, or in one too many.
    public mutating func bodies(_ base: JSON, of given: JSON, leaving: Set<String> = []) -> [JSON] {
        let object = schema.resolved(given)
        var bodies: [JSON] = [base, .null, [], "x", 1, true, .object(JSONObject())]
        func changed(_ name: String, _ value: JSON?) -> JSON {
            var body = base.object ?? JSONObject()
            body[name] = value
            return .object(body)
        }
        for property in object["properties"]?.object?.members ?? [] where !leaving.contains(property.name) {
            if base[property.name] != nil { bodies.append(changed(property.name, nil)) }
            bodies += values(of: property.value).map { changed(property.name, $0) }
        }
        return bodies + [changed("unknown", 1), changed("", .null)]
    }

    /// Values of the schema's type at and beyond its limits, and of other types.
    mutating func values(of given: JSON) -> [JSON] {
        let schema = schema.resolved(given)
        let types = (schema["type"]?.array ?? [schema["type"] ?? .null]).compactMap(\.string)
        var values: [JSON] = [.null, true, 5, "x", [], .object(JSONObject())]
        if types.contains("string") { values += texts(schema) }
        if types.contains("integer") || types.contains("number") { values += numbers(schema) }
        if types.contains("array") { values += arrays(schema) }
        if types.contains("object") { values += objects(schema) }
        return values
    }

    private static let texts = [
        "", " ", "  Trim me  ", "\u{200B}", "\u{2800}", "a\nb", "a\tb", "a\n", "\u{202E}evil", "\u{2068}a\u{2069}", "a\u{2069}b",
        "a\u{9B}b",
        "a\u{0}b", "a\u{7F}", "a,b", "é", "e\u{301}", "😀", "👩\u{200D}👧", "\u{FEFF}a", "a\u{FEFF}b", "a\u{2028}b", "می\u{200C}خواهم", "東京",
        "https://kestrel.example/a?b#c", "http://a@b.example", "ftp://a.example", " https://a.example ", "https://", "kestrel.example",
        "+49 40 5550101", "０４０-１２３４", "555-CALL-NOW", "12", "call me", "+123456789,123", "anna@kestrel.example", "x@münchen.example",
        "a b@c.example", "nobody", " anna@kestrel.example\n", "de", "de-AT", "deutsch", "EUR", "eur", "EURO", "kestrel", "-kestrel",
        "xn--a",
        "01a20922-d6ba-7e1d-b402-13919357caf0", "01a20922", "true", "42", "new", "New",
    ]

    private mutating func texts(_ schema: JSON) -> [JSON] {
        var texts = Self.texts + (schema["enum"]?.array?.compactMap(\.string) ?? [])
        for limit in [schema["minLength"], schema["maxLength"]].compactMap({ $0?.integer }) {
            for length in [limit - 1, limit, limit + 1] where length > 0 { texts += (0..<3).map { _ in text(of: Int(length)) } }
        }
        texts += (0..<20).map { _ in text(of: 1 + Int(next() % 30)) }
        return texts.map { .string($0) }
    }

    /// Characters of one scalar each; those that a composition would join or take apart are left out, and marks that stand alone.
    private static let alphabet = Array("abcXYZ019 .,;:-_/@'\"\\+()&<éßøñ中ひ한жשع€😀\u{A0}\u{200B}\u{200F}\u{3000}\u{2011}".unicodeScalars)

    private mutating func text(of length: Int) -> String {
        var scalars = String.UnicodeScalarView()
        for _ in 0..<length { scalars.append(Self.alphabet[Int(next() % UInt64(Self.alphabet.count))]) }
        return String(scalars)
    }

    private func numbers(_ schema: JSON) -> [JSON] {
        let limits = [schema["minimum"], schema["maximum"]].compactMap { $0?.integer }
        return limits.flatMap { [.number($0), .number($0 &- 1), .number($0 &+ 1), .number("\($0).0"), .number("\($0).5")] }
            + ["0", "-0", "-1", "0.5", "42.0", "4.2e1", "1e21", "-1E+21", "1e-7", "6.02e23", "1e308", "1e309", "-1e309", "1e9999"].map {
                .number($0)
            }
    }

    private mutating func arrays(_ schema: JSON) -> [JSON] {
        let items = schema["items"] ?? .null
        let most = Int(schema["maxItems"]?.integer ?? 3)
        func many(_ count: Int) -> JSON { .array((0..<count).map { .string("item \($0)") }) }
        return values(of: items).map { [$0] } + [many(2), many(most), many(most + 1), ["a", "a", " A "]]
    }

    private mutating func objects(_ schema: JSON) -> [JSON] {
        func object(_ name: String, _ value: JSON) -> JSON {
            var object = JSONObject()
            object[name] = value
            return .object(object)
        }
        var objects = (schema["properties"]?.object?.members ?? []).flatMap { property in
            values(of: property.value).map { object(property.name, $0) }
        }
        if let rest = schema["additionalProperties"], rest.object != nil {
            objects += values(of: rest).map { object("key_1", $0) }
            let most = Int(schema["maxProperties"]?.integer ?? 3)
            for count in [most, most + 1] {
                var many = JSONObject()
                for index in 0..<count { many["key_\(index)"] = .number(index) }
                objects.append(.object(many))
            }
        }
        return objects + ["unknown", "Bad Key", "", "a/b"].map { object($0, 1) } + [object(String(repeating: "k", count: 64), 1)]
            + [object(String(repeating: "k", count: 65), 1)]
    }

    /// SplitMix64.
    private mutating func next() -> UInt64 {
        random &+= 0x9E37_79B9_7F4A_7C15
        var mixed = random
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

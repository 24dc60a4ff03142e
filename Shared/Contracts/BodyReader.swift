import Core

/// Reads the members of a body that is not a resource's, such as a sign-in, and collects all faults before it complains.
///
///     let body = try BodyReader(call.json(), members: ["email", "tenant"])
///     let email = body.email("email")
///     let tenant = body.text("tenant", maximum: 40, isRequired: false)
///     try body.finish()
///
/// After ``finish()`` what is required is there: a fault was noted for each `nil`.
public final class BodyReader {
    /// Shared by a body and the objects inside it.
    private final class Faults {
        var list: [Problem.Fault] = []
    }

    private let object: JSONObject
    private let pointer: String
    private let faults: Faults

    /// Takes the body, noting each member that is not among those named.
    public convenience init(_ body: JSON, members: [String]) { self.init(body, at: "", members: members, faults: Faults()) }

    private init(_ value: JSON, at pointer: String, members: [String], faults: Faults) {
        self.pointer = pointer
        self.faults = faults
        object = value.object ?? JSONObject()
        if value.object == nil {
            faults.list.append(.init(pointer: pointer, code: "invalid_type", detail: "Expected an object, not \(value.kindName)."))
        }
        for name in object.names where !members.contains(name) {
            if faults.list.count >= Problem.maximumFaults { break }
            faults.list.append(
                .init(
                    pointer: "\(pointer)/\(Self.escaped(name))", code: "unknown_member",
                    detail: "There is no member '\(Suggestion.shown(name))'.\(Suggestion.hint(for: name, among: members))"))
        }
    }

    /// RFC 6901, section 3.
    private static func escaped(_ name: String) -> String {
        var text = ""
        for character in Suggestion.shown(name) {
            switch character {
            case "~": text += "~0"
            case "/": text += "~1"
            default: text.append(character)
            }
        }
        return text
    }

    /// Whether the member is there, be it null.
    public func has(_ name: String) -> Bool { object[name] != nil }

    /// Whether the member is there and null: in a merge patch it clears.
    public func isNull(_ name: String) -> Bool { object[name] == .null }

    /// Notes a fault of the member, one that only the caller can see.
    public func fault(_ name: String, _ code: String, _ detail: String) {
        faults.list.append(.init(pointer: "\(pointer)/\(name)", code: code, detail: detail))
    }

    /// The member as it is; an absent one is a fault when it is required, a null one always.
    public func value(_ name: String, isRequired: Bool = true) -> JSON? {
        guard let value = object[name] else {
            if isRequired { fault(name, "required", "'\(name)' is required.") }
            return nil
        }
        if value == .null {
            fault(name, isRequired ? "required" : "not_nullable", "'\(name)' cannot be null.")
            return nil
        }
        return value
    }

    /// The member as a string, exactly as sent.
    public func string(_ name: String, isRequired: Bool = true) -> String? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        guard let text = value.string else {
            fault(name, "invalid_type", "Expected a string, not \(value.kindName).")
            return nil
        }
        return text
    }

    /// A line of text: 1…`maximum` characters after surrounding spaces are dropped, no control characters.
    public func text(_ name: String, maximum: Int, isRequired: Bool = true) -> String? {
        guard let typed = string(name, isRequired: isRequired) else { return nil }
        guard typed.utf8.count <= 16 * maximum else {
            fault(name, "too_long", "At most \(maximum) characters.")
            return nil
        }
        let text = String(typed.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
        if text.isEmpty {
            fault(name, "too_short", "'\(name)' cannot be empty.")
        } else if text.unicodeScalars.count > maximum {
            fault(name, "too_long", "At most \(maximum) characters.")
        } else if text.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
            fault(name, "invalid_format", "'\(name)' cannot contain control characters.")
        } else {
            return text
        }
        return nil
    }

    /// An e-mail address.
    public func email(_ name: String) -> EmailAddress? {
        guard let typed = string(name) else { return nil }
        guard let address = EmailAddress(typed) else {
            fault(name, "invalid_format", "Expected an e-mail address of at most \(EmailAddress.maximumLength) characters.")
            return nil
        }
        return address
    }

    /// A slug that an organisation can take.
    public func slug(_ name: String, isRequired: Bool = true) -> String? {
        guard let slug = string(name, isRequired: isRequired) else { return nil }
        guard Slug.isValid(slug) else {
            fault(name, "invalid_format", "Expected \(Slug.description).")
            return nil
        }
        guard !Slug.reserved.contains(slug) else {
            fault(name, "reserved", "This slug is reserved.")
            return nil
        }
        return slug
    }

    /// One of the names, or a fault that lists them.
    public func choice(_ name: String, of values: [String], isRequired: Bool = true) -> String? {
        guard let text = string(name, isRequired: isRequired) else { return nil }
        guard values.contains(text) else {
            fault(
                name, "invalid_value",
                "Expected one of \(values.joined(separator: ", ")).\(Suggestion.hint(for: text, among: values))")
            return nil
        }
        return text
    }

    public func bool(_ name: String, isRequired: Bool = true) -> Bool? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        guard let bool = value.bool else {
            fault(name, "invalid_type", "Expected a boolean, not \(value.kindName).")
            return nil
        }
        return bool
    }

    /// A whole number in the range.
    public func integer(_ name: String, in range: ClosedRange<Int>, isRequired: Bool = true) -> Int? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        guard let number = value.integer else {
            fault(name, "invalid_type", "Expected a whole number, not \(value.kindName).")
            return nil
        }
        guard let integer = Int(exactly: number), range.contains(integer) else {
            fault(name, "out_of_range", "Expected \(range.lowerBound) to \(range.upperBound).")
            return nil
        }
        return integer
    }

    public func id<Kind>(_ name: String, of kind: Identifier<Kind>.Type = Identifier<Kind>.self) -> Identifier<Kind>? {
        guard let text = string(name) else { return nil }
        guard let id = Identifier<Kind>(text) else {
            fault(name, "invalid_format", "Expected a UUID.")
            return nil
        }
        return id
    }

    /// An object inside; its faults are noted with this body's.
    public func object(_ name: String, members: [String], isRequired: Bool = true) -> BodyReader? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        return BodyReader(value, at: "\(pointer)/\(name)", members: members, faults: faults)
    }

    /// - Throws: ``Problem`` with all faults: `unknown_member` when one of them is such, else `validation_failed`.
    public func finish() throws(Problem) {
        guard !faults.list.isEmpty else { return }
        if let unknown = faults.list.first(where: { $0.code == "unknown_member" }) {
            throw Problem(.unknownMember, unknown.detail, faults: faults.list)
        }
        throw .invalid(faults.list)
    }

    /// ``finish()``, and what was read: for a value that is there unless a fault was noted.
    ///
    /// - Throws: as ``finish()``; `internal` when a value is missing and no fault says so.
    public func require<Value>(_ value: Value?) throws(Problem) -> Value {
        try finish()
        guard let value else { throw .internal("a required member is missing without a fault") }
        return value
    }
}

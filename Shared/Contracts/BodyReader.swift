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
        var list = FaultList()
    }

    private let object: JSONObject
    private let pointer: String
    private let faults: Faults

    /// Takes the body, noting each member that is not among those named.
    ///
    /// - Parameter readOnly: members that the object has and a body cannot set.
    public convenience init(_ body: JSON, members: [String], readOnly: [String] = []) {
        self.init(body, at: "", members: members, readOnly: readOnly, faults: Faults())
    }

    private init(_ value: JSON, at pointer: String, members: [String], readOnly: [String] = [], faults: Faults) {
        self.pointer = pointer
        self.faults = faults
        object = faults.list.members(of: value, at: pointer, known: members, readOnly: readOnly) ?? JSONObject()
    }

    /// Whether the member is there, be it null.
    public func has(_ name: String) -> Bool { object[name] != nil }

    /// Whether the member is there and null: in a merge patch it clears.
    public func isNull(_ name: String) -> Bool { object[name] == .null }

    /// Notes a fault of the member, one that only the caller can see.
    public func fault(_ name: String, _ code: FaultCode, _ detail: String) { fault(name, ValueFault(code, detail)) }

    private func fault(_ name: String, _ fault: ValueFault) { faults.list.add(fault, at: pointer + JSONPointer.segment(name)) }

    /// The member as it is; an absent one is a fault when it is required, a null one always.
    public func value(_ name: String, isRequired: Bool = true) -> JSON? {
        guard let value = object[name] else {
            if isRequired { fault(name, .required, "The member '\(name)' is required.") }
            return nil
        }
        if value == .null {
            nothing(name, isRequired: isRequired)
            return nil
        }
        return value
    }

    private func nothing(_ name: String, isRequired: Bool) {
        fault(name, isRequired ? .required : .notNullable, "The member '\(name)' cannot be null or empty.")
    }

    /// The member as a string, exactly as sent.
    public func string(_ name: String, isRequired: Bool = true) -> String? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        guard let text = value.string else {
            fault(name, .type("a string", value))
            return nil
        }
        return text
    }

    /// A line of text that shows something, as ``PlainText/checked(_:as:maximum:)`` keeps it.
    public func text(_ name: String, maximum: Int, isRequired: Bool = true) -> String? {
        checked(name, isRequired: isRequired) { given throws(ValueFault) in
            let text = try PlainText.checked(given, as: .line, maximum: maximum)
            return text.isEmpty ? nil : text
        }
    }

    /// A line of text that may be cleared: null, and a text that shows nothing, are given as null.
    public func clearableText(_ name: String, maximum: Int) -> Clearable? {
        guard let value = object[name] else { return nil }
        guard let given = value.string else {
            if value == .null { return .cleared }
            fault(name, .type("a string", value))
            return nil
        }
        do {
            let text = try PlainText.checked(given, as: .line, maximum: maximum)
            return text.isEmpty ? .cleared : .text(text)
        } catch {
            fault(name, error)
            return nil
        }
    }

    /// What a body says of a text that may be null.
    public enum Clearable: Sendable, Hashable {
        case text(String)
        case cleared

        public var text: String? { if case .text(let text) = self { text } else { nil } }
    }

    /// The elements of a list, each as it was read; every fault is noted at its element's place.
    public func list<Element>(
        _ name: String, maximum: Int, isRequired: Bool = true, of read: (JSON) throws(ValueFault) -> Element
    ) -> [Element]? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        guard let given = value.array else {
            fault(name, .type("an array", value))
            return nil
        }
        guard given.count <= maximum else {
            fault(name, .tooMany, "Expected at most \(maximum) elements, found \(given.count).")
            return nil
        }
        var elements: [Element] = []
        for (index, element) in given.enumerated() {
            do {
                elements.append(try read(element))
            } catch {
                faults.list.add(error, at: "\(pointer)\(JSONPointer.segment(name))/\(index)")
            }
        }
        return elements
    }

    /// A list of ids, as given.
    public func ids<Kind>(
        _ name: String, of kind: Identifier<Kind>.Type = Identifier<Kind>.self, maximum: Int, isRequired: Bool = true
    ) -> [Identifier<Kind>]? {
        list(name, maximum: maximum, isRequired: isRequired) { json throws(ValueFault) in
            guard let text = json.string else { throw .type("a string", json) }
            guard let id = Identifier<Kind>(text) else { throw .format("an id (UUID)") }
            return id
        }
    }

    /// An e-mail address.
    public func email(_ name: String) -> EmailAddress? { checked(name, isRequired: true, EmailAddress.checked) }

    /// - Parameter check: gives `nil` for a text that shows nothing.
    private func checked<Value>(_ name: String, isRequired: Bool, _ check: (String) throws(ValueFault) -> Value?) -> Value? {
        guard let given = string(name, isRequired: isRequired) else { return nil }
        do {
            if let value = try check(given) { return value }
            nothing(name, isRequired: isRequired)
        } catch {
            fault(name, error)
        }
        return nil
    }

    /// A slug that an organisation can take.
    public func slug(_ name: String, isRequired: Bool = true) -> String? {
        guard let slug = string(name, isRequired: isRequired) else { return nil }
        guard Slug.isValid(slug) else {
            fault(name, .format(Slug.description))
            return nil
        }
        guard !Slug.reserved.contains(slug) else {
            fault(name, .reserved, "This slug is reserved.")
            return nil
        }
        return slug
    }

    /// One of the names, or a fault that lists them.
    public func choice(_ name: String, of values: [String], isRequired: Bool = true) -> String? {
        guard let text = string(name, isRequired: isRequired) else { return nil }
        guard values.contains(text) else {
            fault(
                name, .notAllowed,
                "Expected one of \(values.joined(separator: ", ")).\(Suggestion.hint(for: text, among: values))")
            return nil
        }
        return text
    }

    public func bool(_ name: String, isRequired: Bool = true) -> Bool? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        guard let bool = value.bool else {
            fault(name, .type("a boolean", value))
            return nil
        }
        return bool
    }

    /// A whole number in the range.
    public func integer(_ name: String, in range: ClosedRange<Int>, isRequired: Bool = true) -> Int? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        guard value.isWholeNumber else {
            fault(name, .type("a whole number", value))
            return nil
        }
        guard let number = value.integer, let integer = Int(exactly: number), range.contains(integer) else {
            fault(name, .outOfRange, "Expected \(range.lowerBound) to \(range.upperBound).")
            return nil
        }
        return integer
    }

    public func id<Kind>(_ name: String, of kind: Identifier<Kind>.Type = Identifier<Kind>.self) -> Identifier<Kind>? {
        guard let text = string(name) else { return nil }
        guard let id = Identifier<Kind>(text) else {
            fault(name, .format("an id (UUID)"))
            return nil
        }
        return id
    }

    /// An object inside; its faults are noted with this body's.
    public func object(_ name: String, members: [String], isRequired: Bool = true) -> BodyReader? {
        guard let value = value(name, isRequired: isRequired) else { return nil }
        return BodyReader(value, at: pointer + JSONPointer.segment(name), members: members, faults: faults)
    }

    /// - Throws: ``Problem`` with all faults: `unknown_member` when one of them is such, else `validation_failed`.
    public func finish() throws(Problem) { try faults.list.finish() }

    /// ``finish()``, and what was read: for a value that is there unless a fault was noted.
    ///
    /// - Throws: as ``finish()``; `internal` when a value is missing and no fault says so.
    public func require<Value>(_ value: Value?) throws(Problem) -> Value {
        try finish()
        guard let value else { throw .internal("a required member is missing without a fault") }
        return value
    }
}

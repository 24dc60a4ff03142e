import Core
import Postgres

/// Checks a body against a declaration and reports all faults at once.
struct BodyReader: Sendable {
    enum Purpose: Sendable { case create, patch }

    let definition: ResourceDefinition

    /// - Parameters:
    ///   - pointer: where the body stands in the request, such as `/operations/3/body`.
    ///   - maximumFaults: after so many it stops to look for more.
    /// - Throws: ``Problem`` `unknown_member` when a member is not known, else `validation_failed`; either with the faults.
    func read(
        _ json: JSON, for purpose: Purpose, caller: UserID, pointer: String = "", maximumFaults: Int = Problem.maximumFaults
    ) throws(Problem) -> CheckedBody {
        guard let object = json.object else {
            throw .invalid([.init(pointer: pointer, code: "invalid_type", detail: "Expected an object, found \(json.kindName).")])
        }
        var reading = Reading(purpose: purpose, caller: caller, maximumFaults: maximumFaults)
        reading.names(object, against: definition.fields, alsoReadOnly: ResourceDefinition.commonNames, at: pointer)
        for field in definition.fields where !field.isReadOnly {
            reading.field(field, object[field.name], at: "\(pointer)/\(field.name)")
        }
        return try reading.finish()
    }
}

extension BodyReader {
    /// A name as a segment of a JSON Pointer (RFC 6901), shortened as in the detail.
    static func escaped(_ name: String) -> String {
        Suggestion.shown(name).split(separator: "~", omittingEmptySubsequences: false).joined(separator: "~0")
            .split(separator: "/", omittingEmptySubsequences: false).joined(separator: "~1")
    }
}

/// One body being read: what is found so far, and what is wrong.
private struct Reading {
    let purpose: BodyReader.Purpose
    let caller: UserID
    let maximumFaults: Int
    var changes: [Change] = []
    var members: [MemberReference] = []
    var faults: [Problem.Fault] = []
    var isUnknown = false

    func finish() throws(Problem) -> CheckedBody {
        if isUnknown {
            // Names the member rather than another fault that comes earlier.
            let detail = faults.first { $0.code == "unknown_member" }?.detail ?? "A member is not known."
            throw Problem(.unknownMember, detail, faults: faults)
        }
        if !faults.isEmpty { throw .invalid(faults) }
        return CheckedBody(changes: changes, members: members)
    }

    mutating func fault(_ pointer: String, _ code: String, _ detail: String) {
        guard faults.count < maximumFaults else { return }
        faults.append(.init(pointer: pointer, code: code, detail: detail))
    }

    mutating func names(_ object: JSONObject, against fields: [Field], alsoReadOnly common: [String], at pointer: String) {
        for name in object.names {
            if faults.count >= maximumFaults { return }
            if let field = fields.first(where: { $0.name == name }) {
                if field.isReadOnly { fault("\(pointer)/\(name)", "read_only", "The member '\(name)' cannot be set.") }
            } else if common.contains(name) {
                fault("\(pointer)/\(name)", "read_only", "The member '\(name)' cannot be set.")
            } else {
                isUnknown = true
                let hint = Suggestion.hint(for: name, among: fields.filter { !$0.isReadOnly }.map(\.name))
                fault("\(pointer)/\(BodyReader.escaped(name))", "unknown_member", "There is no member '\(Suggestion.shown(name))'.\(hint)")
            }
        }
    }

    mutating func field(_ field: Field, _ json: JSON?, at pointer: String) {
        do {
            guard let value = try value(of: field, json, at: pointer) else { return }
            changes.append(Change(field: field, value: value))
        } catch let error as ValueFault {
            fault(pointer, error.code, error.detail)
        } catch {
            // Only value faults are thrown; the compiler cannot see it through the closures above.
            fault(pointer, "invalid", "The value is not valid.")
        }
    }

    private mutating func value(of field: Field, _ json: JSON?, at pointer: String) throws -> Change.Value? {
        guard let json else {
            guard purpose == .create else { return nil }
            if field.isRequired { throw ValueFault(code: "required", detail: "The member '\(field.name)' is required.") }
            return .set(try defaultValue(of: field))
        }
        if json == .null {
            switch field.kind {
            case .tags: return .set(.text("{}"))
            case .custom: return .set(.text("{}"))
            default: break
            }
            guard field.isNullable else {
                let code = field.isRequired ? "required" : "not_nullable"
                throw ValueFault(code: code, detail: "The member '\(field.name)' cannot be cleared.")
            }
            return .set(.null)
        }
        switch field.kind {
        case .tags(let maximumCount, let maximumLength):
            return .set(try tags(json, maximumCount: maximumCount, maximumLength: maximumLength, at: pointer).sqlValue)
        case .object(let fields):
            return whole(try object(json, fields, at: pointer), emptyIsNull: true)
        case .custom:
            return whole(try custom(json, at: pointer), emptyIsNull: false)
        default:
            if field.isRequired, let text = json.string, text.allSatisfy(\.isWhitespace) {
                throw ValueFault(code: "required", detail: "The member '\(field.name)' cannot be empty.")
            }
            if case .enumeration(let values, let settable) = field.kind, let text = json.string, values.contains(text),
                !settable.contains(text)
            {
                throw ValueFault(
                    code: "not_allowed", detail: "'\(text)' cannot be set directly. Expected one of \(settable.joined(separator: ", ")).")
            }
            let value = try field.kind.scalar(json)
            if case .reference(.member) = field.kind, let user = json.string.flatMap({ UserID($0) }), user != caller {
                members.append(MemberReference(pointer: pointer, user: user))
            }
            return .set(value)
        }
    }

    private func defaultValue(of field: Field) throws(ValueFault) -> SQLValue {
        switch (field.defaultValue, field.kind) {
        case (.caller, _): return caller.sqlValue
        case (.value(let json), .tags): return (json.array?.compactMap(\.string) ?? []).sqlValue
        case (.value(let json), .custom), (.value(let json), .object): return .text(json.description)
        case (.value(let json), _): return try field.kind.scalar(json)
        case (.null, .tags), (.null, .custom): return .text("{}")
        case (.null, _): return .null
        }
    }

    /// On create there is nothing to merge with, so members that are null are left out.
    private func whole(_ members: JSONObject, emptyIsNull: Bool) -> Change.Value {
        guard purpose == .create else { return .merge(.object(members)) }
        var present = JSONObject()
        for member in members.members where member.value != .null { present[member.name] = member.value }
        return .set(present.isEmpty && emptyIsNull ? .null : .text(JSON.object(present).description))
    }

    private mutating func tags(_ json: JSON, maximumCount: Int, maximumLength: Int, at pointer: String) throws(ValueFault) -> [String] {
        guard let elements = json.array else { throw .type("an array of strings", json) }
        if elements.count > maximumCount {
            throw ValueFault(code: "too_many", detail: "Expected at most \(maximumCount) elements, found \(elements.count).")
        }
        var tags: [String] = []
        for (index, element) in elements.enumerated() {
            do throws(ValueFault) {
                guard let tag = element.string else { throw .type("a string", element) }
                if tag.isEmpty { throw ValueFault(code: "too_short", detail: "A tag cannot be empty.") }
                // A comma separates the values of a filter, so a tag with one could never be asked for.
                if tag.contains(",") { throw ValueFault(code: "invalid_text", detail: "A tag cannot contain a comma.") }
                try FieldKind.checkText(tag, maximum: maximumLength, allowsLines: false)
                if !tags.contains(tag) { tags.append(tag) }
            } catch {
                fault("\(pointer)/\(index)", error.code, error.detail)
            }
        }
        return tags
    }

    private mutating func object(_ json: JSON, _ fields: [Field], at pointer: String) throws(ValueFault) -> JSONObject {
        guard let object = json.object else { throw .type("an object", json) }
        names(object, against: fields, alsoReadOnly: [], at: pointer)
        for field in fields {
            guard let value = object[field.name], value != .null else { continue }
            do throws(ValueFault) {
                _ = try field.kind.scalar(value)
            } catch {
                fault("\(pointer)/\(field.name)", error.code, error.detail)
            }
        }
        return object
    }

    private mutating func custom(_ json: JSON, at pointer: String) throws(ValueFault) -> JSONObject {
        guard let object = json.object else { throw .type("an object", json) }
        if object.members.count > FieldKind.maximumCustomKeys {
            throw ValueFault(code: "too_many", detail: "Expected at most \(FieldKind.maximumCustomKeys) custom fields.")
        }
        for member in object.members {
            let place = "\(pointer)/\(BodyReader.escaped(member.name))"
            do throws(ValueFault) {
                guard FieldKind.isCustomKey(member.name) else { throw .format("a key of 1 to 64 characters a-z, 0-9 and _") }
                try FieldKind.checkCustom(member.value)
            } catch {
                fault(place, error.code, error.detail)
            }
        }
        return object
    }
}

extension FieldKind {
    static func isCustomKey(_ key: String) -> Bool {
        (1...64).contains(key.utf8.count)
            && key.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
                default: false
                }
            }
    }

    fileprivate static func checkCustom(_ value: JSON) throws(ValueFault) {
        switch value {
        case .null, .bool: return
        case .string(let text): try checkText(text, maximum: maximumCustomText, allowsLines: true)
        case .number(let text):
            // jsonb writes exponents out: 1e9999 would become ten thousand digits.
            if text.utf8.count > 32 || text.contains(where: { $0 == "e" || $0 == "E" }) {
                throw ValueFault(code: "out_of_range", detail: "Expected a number of at most 32 characters without exponent.")
            }
        case .array, .object: throw .type("a string, number or boolean", value)
        }
    }
}

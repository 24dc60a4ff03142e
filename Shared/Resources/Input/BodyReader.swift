import Core
import Postgres

/// Checks a body against what the caller may write, and reports all faults at once.
final class BodyReader: Sendable {
    enum Purpose: Sendable { case create, patch }

    let view: ResourceView

    init(view: ResourceView) { self.view = view }

    /// - Parameters:
    ///   - externalID: what the request calls the record by: the body may repeat it, and says no other.
    ///   - pointer: where the body stands in the request, such as `/operations/3/body`.
    ///   - maximumFaults: after so many it stops to look for more.
    /// - Throws: ``Problem`` `unknown_member` when a member is not known, else `validation_failed`; either with the faults.
    func read(
        _ json: JSON, for purpose: Purpose, as context: RequestContext, externalID: String? = nil, pointer: String = "",
        maximumFaults: Int = Problem.maximumFaults
    ) throws(Problem) -> CheckedBody {
        var reading = Reading(
            purpose: purpose, caller: context.user, country: context.country, externalID: externalID,
            faults: FaultList(maximum: maximumFaults))
        if let object = reading.faults.members(of: json, at: pointer, known: view.givable, readOnly: view.notGivable) {
            for field in view.definition.fields {
                if case .e164(of: let name) = field.kind {
                    reading.number(field, of: name)
                } else if !field.isReadOnly {
                    // What the caller cannot give is on create as if he had not given it.
                    let value = view.isGivable(field) ? object[field.name] : nil
                    reading.field(field, value, at: pointer + JSONPointer.segment(field.name))
                }
            }
            reading.requireCurrencies(of: view, at: pointer)
        }
        try reading.faults.finish()
        return CheckedBody(changes: reading.changes, members: reading.references)
    }
}

/// One body being read: what is found so far, and what is wrong.
private struct Reading {
    let purpose: BodyReader.Purpose
    let caller: UserID
    let country: String?
    let externalID: String?
    var faults: FaultList
    var changes: [Change] = []
    var references: [MemberReference] = []

    mutating func field(_ field: Field, _ json: JSON?, at pointer: String) {
        do throws(ValueFault) {
            if let externalID, field.name == ResourceDefinition.externalID.name {
                if let json, try field.type.checked(json) != .string(externalID) {
                    throw ValueFault(.notAllowed, "It is not the external id of the request. Leave it out, or change it by PATCH.")
                }
                if purpose == .create { changes.append(Change(field: field, value: .set(.text(externalID)))) }
                return
            }
            guard let value = try value(of: field, json, at: pointer) else { return }
            changes.append(Change(field: field, value: value))
        } catch {
            faults.add(error, at: pointer)
        }
    }

    /// What a telephone number comes to in E.164, behind the change of the number.
    mutating func number(_ field: Field, of name: String) {
        guard let given = changes.last, given.field.name == name, case .set(let value) = given.value else { return }
        var number = SQLValue.null
        if case .text(let text) = value, let read = PhoneNumber.e164(text, from: country) { number = .text(read) }
        changes.append(Change(field: field, value: .set(number)))
    }

    /// What the member does to the field; `nil` when it does nothing, or when its faults are noted already.
    private mutating func value(of field: Field, _ json: JSON?, at pointer: String) throws(ValueFault) -> Change.Value? {
        guard let json else {
            guard purpose == .create else { return nil }
            if field.isRequired { throw ValueFault(.required, "The member '\(field.name)' is required.") }
            return .set(try defaultValue(of: field))
        }
        switch (field.kind, json) {
        case (_, .null):
            if field.type.isCollection { return .set(Self.emptyCollection) }
            try requireNullable(field)
            return .set(.null)
        case (.tags(let maximumCount, _), _):
            return .set(try tags(json, of: field.type, maximumCount: maximumCount, at: pointer).sqlValue)
        case (.object(let fields), _):
            return object(json, fields, at: pointer).map { whole($0, emptyIsNull: true) }
        case (.related(let types, _), _):
            return RelatedRecord(json, among: types, at: pointer, faults: &faults).map { .set(.text($0.text)) }
        case (.custom, _):
            return whole(try custom(json, at: pointer), emptyIsNull: false)
        case (.states(let machine), .string(let state))
        where purpose == .create && machine.states.contains(state) && !machine.start.contains(state):
            throw ValueFault(.notAllowed, "Nothing starts as \(state). Expected \(StateMachine.any(of: machine.start)).")
        default:
            let value = try field.type.checked(json)
            // A text that shows nothing is no text.
            if value == .null { try requireNullable(field) }
            if case .reference(.member) = field.kind, let user = value.string.flatMap({ UserID($0) }), user != caller {
                references.append(MemberReference(pointer: pointer, user: user))
            }
            return .set(SQLValue(scalar: value))
        }
    }

    /// An amount without a currency says nothing. Where a patch names one of them only, the table's constraint decides.
    mutating func requireCurrencies(of view: ResourceView, at pointer: String) {
        for change in changes where change.value != .set(.null) {
            guard case .amount(let currency) = change.field.kind,
                changes.contains(where: { $0.field.name == currency && $0.value == .set(.null) })
            else { continue }
            let isShown = view.shown.field(currency) != nil
            faults.add(
                isShown ? .currencyMissing : .ruleBroken, at: pointer + JSONPointer.segment(isShown ? currency : change.field.name))
        }
    }

    private func requireNullable(_ field: Field) throws(ValueFault) {
        if field.isNullable { return }
        throw ValueFault(field.isRequired ? .required : .notNullable, "The member '\(field.name)' cannot be null or empty.")
    }

    private func defaultValue(of field: Field) throws(ValueFault) -> SQLValue {
        switch (field.defaultValue, field.kind) {
        case (.caller, _): caller.sqlValue
        case (.value(let json), .tags): (json.array?.compactMap(\.string) ?? []).sqlValue
        case (.value(let json), .custom), (.value(let json), .object): .text(json.description)
        case (.value(let json), _): SQLValue(scalar: try field.type.checked(json))
        case (.null, _): field.type.isCollection ? Self.emptyCollection : .null
        }
    }

    /// The same in `text[]` and in `jsonb`.
    private static let emptyCollection = SQLValue.text("{}")

    /// On create there is nothing to merge with, so members that are null are left out.
    private func whole(_ members: JSONObject, emptyIsNull: Bool) -> Change.Value {
        guard purpose == .create else { return .merge(.object(members)) }
        var present = JSONObject()
        for member in members.members where member.value != .null { present[member.name] = member.value }
        return .set(present.isEmpty && emptyIsNull ? .null : .text(JSON.object(present).description))
    }

    /// Labels that are one to people are kept once, as the first is spelt.
    private mutating func tags(
        _ json: JSON, of type: FieldType, maximumCount: Int, at pointer: String
    ) throws(ValueFault) -> [String] {
        guard let elements = json.array else { throw .type("an array of strings", json) }
        if elements.count > maximumCount {
            throw ValueFault(.tooMany, "Expected at most \(maximumCount) elements, found \(elements.count).")
        }
        var tags: [String] = []
        var labels = Set<String>()
        for (index, element) in elements.enumerated() {
            do throws(ValueFault) {
                guard let tag = try type.checked(element).string else { throw ValueFault(.tooShort, "A tag cannot be empty.") }
                // A comma separates the values of a filter, so a tag with one could never be asked for.
                if tag.utf8.contains(UInt8(ascii: ",")) { throw ValueFault(.invalidText, "A tag cannot contain a comma.") }
                if labels.insert(PlainText.label(tag)).inserted { tags.append(tag) }
            } catch {
                faults.add(error, at: "\(pointer)/\(index)")
            }
        }
        return tags
    }

    private mutating func object(_ json: JSON, _ fields: [Field], at pointer: String) -> JSONObject? {
        guard let given = faults.members(of: json, at: pointer, known: fields.map(\.name)) else { return nil }
        var object = JSONObject()
        for field in fields {
            guard let value = given[field.name] else { continue }
            do throws(ValueFault) {
                object[field.name] = value == .null ? .null : try field.type.checked(value)
            } catch {
                faults.add(error, at: pointer + JSONPointer.segment(field.name))
            }
        }
        return object
    }

    private mutating func custom(_ json: JSON, at pointer: String) throws(ValueFault) -> JSONObject {
        guard let given = json.object else { throw .type("an object", json) }
        if given.members.count > FieldKind.maximumCustomKeys {
            throw ValueFault(.tooMany, "Expected at most \(FieldKind.maximumCustomKeys) custom fields.")
        }
        var object = JSONObject()
        for member in given.members {
            do throws(ValueFault) {
                guard FieldKind.isCustomKey(member.name) else { throw .format("a key of 1 to 64 characters a-z, 0-9 and _") }
                object[member.name] = try member.value.checkedScalar(maximum: FieldKind.maximumCustomText)
            } catch {
                faults.add(error, at: pointer + JSONPointer.segment(member.name))
            }
        }
        return object
    }
}

extension ValueFault {
    static let currencyMissing = ValueFault(.required, "An amount needs a currency.")
    /// A rule that a hidden field may have part in.
    static let ruleBroken = ValueFault(.notAllowed, "The record would break a rule.")
}

extension SQLValue {
    /// A checked scalar: its text, which is the same in JSON and in Postgres' text format.
    init(scalar: JSON) {
        switch scalar {
        case .null: self = .null
        case .string(let text), .number(let text): self = .text(text)
        case .bool, .array, .object: self = .text(scalar.description)
        }
    }
}

import Core
import Postgres

/// What a record takes over from those that are merged into it, in their order (Shared/Decisions/0032):
///
/// - where it has no value, the first that one of them has: a telephone number with what it comes to in E.164, an amount with its currency;
/// - of tags and custom fields those that it lacks, as far as there is room;
/// - of a yes or no the one that is not the default, so that whoever asked to be left alone still is.
///
/// What was chosen stays as it was chosen, and so do states, what the service keeps, and what it is below in a tree.
struct TakeOver {
    /// The columns of a record in Postgres's text format; what is null is absent.
    typealias Values = [String: String]

    private var values: Values
    private let others: [Values]
    private let merged: Set<RecordID>
    private(set) var changes: [Change] = []

    /// - Parameters:
    ///   - chosen: the fields that the request gives.
    ///   - merged: all records that become one: none of them is referred to afterwards.
    init(_ definition: ResourceDefinition, _ survivor: Values, from others: [Values], chosen: Set<String>, among merged: Set<RecordID>) {
        values = survivor
        self.others = others
        self.merged = merged
        for field in definition.fields where !field.isReadOnly && !chosen.contains(field.name) {
            if case .amount(let currency) = field.kind {
                if !chosen.contains(currency), let currency = definition.field(currency) { amount(field, currency, in: definition) }
            } else {
                take(field, in: definition)
            }
        }
    }

    private mutating func take(_ field: Field, in definition: ResourceDefinition) {
        switch field.kind {
        case .reference(.parent), .states, .amount: return
        case .tags(let maximum, _): tags(field, maximum: maximum)
        case .custom: custom(field)
        case .boolean:
            guard case .value(let usual) = field.defaultValue, values[field.name] == Self.text(usual) else { return first(field) }
            if let other = others.lazy.compactMap({ $0[field.name] }).first(where: { $0 != Self.text(usual) }) { set(field, other) }
        case .phone:
            guard values[field.name] == nil, let other = others.first(where: { $0[field.name] != nil }) else { return }
            set(field, other[field.name])
            if let number = definition.field("\(field.name)_e164") { set(number, other[number.name]) }
        default: first(field)
        }
    }

    /// A boolean as Postgres writes it.
    private static func text(_ json: JSON) -> String { json == .bool(true) ? "t" : "f" }

    private mutating func first(_ field: Field) {
        guard values[field.name] == nil else { return }
        let found = others.lazy.compactMap { $0[field.name] }.first { !leadsToMerged($0, by: field) }
        if let found { set(field, found) }
    }

    private func leadsToMerged(_ value: String, by field: Field) -> Bool {
        switch field.kind {
        case .reference: RecordID(value).map(merged.contains) ?? false
        case .related: RelatedRecord(.text(value)).map { merged.contains($0.id) } ?? false
        default: false
        }
    }

    private mutating func amount(_ field: Field, _ currency: Field, in definition: ResourceDefinition) {
        guard values[field.name] == nil else { return }
        // A currency says nothing where there is no amount in it.
        let isUsed = definition.fields.contains { other in
            if case .amount(let name) = other.kind { name == currency.name && values[other.name] != nil } else { false }
        }
        let found = others.first { $0[field.name] != nil && (!isUsed || $0[currency.name] == values[currency.name]) }
        guard let found else { return }
        set(field, found[field.name])
        set(currency, found[currency.name])
    }

    private mutating func tags(_ field: Field, maximum: Int) {
        func tags(of values: Values) -> [String] {
            guard var text = values[field.name] else { return [] }
            return text.withUTF8 { [String](postgresText: $0) } ?? []
        }
        let own = tags(of: values)
        var all = own
        var labels = Set(own.map(PlainText.label))
        for tag in others.flatMap(tags) where all.count < maximum && labels.insert(PlainText.label(tag)).inserted { all.append(tag) }
        if all.count > own.count, case .text(let text) = all.sqlValue { set(field, text) }
    }

    private mutating func custom(_ field: Field) {
        func members(of values: Values) -> JSONObject {
            values[field.name].flatMap { try? JSONParser.parse(Array($0.utf8)) }?.object ?? JSONObject()
        }
        let own = members(of: values)
        var all = own
        for member in others.flatMap({ members(of: $0).members })
        where all.members.count < FieldKind.maximumCustomKeys && all[member.name] == nil {
            all[member.name] = member.value
        }
        if all.members.count > own.members.count { set(field, JSON.object(all).description) }
    }

    private mutating func set(_ field: Field, _ value: String?) {
        if values[field.name] == value { return }
        values[field.name] = value
        changes.removeAll { $0.field.name == field.name }
        changes.append(Change(field: field, value: .set(value.map(SQLValue.text) ?? .null)))
    }
}

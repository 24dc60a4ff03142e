/// What a role takes away of one field. Ordered: the second takes more.
public enum FieldRule: UInt8, Sendable, Comparable, CaseIterable {
    /// It can be read and not be given.
    case readOnly
    /// It is as if it were not there.
    case hidden

    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }

    /// As the API names it.
    public var name: String {
        switch self {
        case .readOnly: "read_only"
        case .hidden: "hidden"
        }
    }

    fileprivate var sign: Character {
        switch self {
        case .readOnly: "~"
        case .hidden: "-"
        }
    }
}

/// The fields that a role takes away, by resource (`leads`) and field; most roles take none.
public struct FieldRules: Sendable {
    /// No rules.
    public static let none = FieldRules([:])
    /// So many at most are given to a role: they travel with each of its requests.
    public static let maximumCount = 100

    public let rules: [String: [String: FieldRule]]
    /// `leads=-email~phone&tickets=-channel`: the names behind a sign for the rule, in a fixed order; empty for no rules. Two with the same
    /// text are the same.
    public let encoded: String

    /// - Precondition: names are of `a-z`, `0-9` and `_`.
    public init(_ rules: [String: [String: FieldRule]]) {
        self.rules = rules.filter { !$0.value.isEmpty }
        encoded = self.rules.sorted { $0.key < $1.key }.map { resource, fields in
            "\(resource)=" + fields.sorted { $0.key < $1.key }.map { "\($0.value.sign)\($0.key)" }.joined()
        }.joined(separator: "&")
    }

    public var isEmpty: Bool { rules.isEmpty }
    public var count: Int { rules.values.reduce(0) { $0 + $1.count } }

    /// The rules for the fields of a resource.
    public subscript(resource: String) -> [String: FieldRule] { rules[resource] ?? [:] }

    /// The names of the fields of a resource that are hidden; what goes with them is not among them.
    public func hidden(in resource: String) -> Set<String> {
        Set(self[resource].lazy.filter { $0.value == .hidden }.map(\.key))
    }

    public var hideAny: Bool { rules.values.contains { $0.values.contains(.hidden) } }

    /// Reads ``encoded``. A field behind a sign that is not known here, of a newer release, is hidden. `nil` when it is not of that form.
    public init?(encoded: some StringProtocol) {
        var rules: [String: [String: FieldRule]] = [:]
        for part in encoded.split(separator: "&", omittingEmptySubsequences: false) where !encoded.isEmpty {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard halves.count == 2, Self.isName(halves[0]), var rest = Optional(halves[1]), !rest.isEmpty else { return nil }
            var fields: [String: FieldRule] = [:]
            while let sign = rest.popFirst() {
                let name = rest.prefix { Self.isName(CollectionOfOne($0)) }
                rest = rest.dropFirst(name.count)
                guard !Self.isName(CollectionOfOne(sign)), !name.isEmpty else { return nil }
                fields[String(name)] = FieldRule.allCases.first { $0.sign == sign } ?? .hidden
            }
            rules[String(halves[0])] = fields
        }
        self.init(rules)
    }

    private static func isName(_ text: some Collection<Character>) -> Bool {
        !text.isEmpty && text.allSatisfy { ("a"..."z").contains($0) || ("0"..."9").contains($0) || $0 == "_" }
    }

    /// `{"leads":{"email":"hidden"}}`.
    public var json: JSON {
        var object = JSONObject()
        for (resource, fields) in rules.sorted(by: { $0.key < $1.key }) {
            var names = JSONObject()
            for (field, rule) in fields.sorted(by: { $0.key < $1.key }) { names[field] = .string(rule.name) }
            object[resource] = .object(names)
        }
        return .object(object)
    }

    /// Reads ``json``, as it was kept: a rule that only a newer release knows hides.
    public init(json: JSON) {
        var rules: [String: [String: FieldRule]] = [:]
        for resource in json.object?.members ?? [] {
            for field in resource.value.object?.members ?? [] {
                rules[resource.name, default: [:]][field.name] = FieldRule.allCases.first { $0.name == field.value.string } ?? .hidden
            }
        }
        self.init(rules)
    }
}

extension FieldRules: Hashable {
    public static func == (left: Self, right: Self) -> Bool { left.encoded == right.encoded }
    public func hash(into hasher: inout Hasher) { hasher.combine(encoded) }
}

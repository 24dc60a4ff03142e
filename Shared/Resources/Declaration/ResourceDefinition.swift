import Core

/// A resource declared once: its names, its fields and their rules. ``Resource`` derives routes, checks, SQL and the public
/// document from it, and ``SchemaCheck`` holds it against its table.
public struct ResourceDefinition: Sendable {
    /// The plural, `exchange_rates`; in paths with hyphens: the routes lie below `/v1/exchange-rates`.
    public let name: String
    /// The singular, `lead`: the table's name, and the aggregate of its events.
    public let singular: String
    public let permissions: PermissionResource
    /// Its own fields, behind each telephone number the same in E.164, then ``externalID``.
    public let fields: [Field]
    /// The field that says whose record it is, for the row scopes `own` and `team`; `created_by` unless given.
    public let owner: String
    /// The limit of the plan that live records count against, such as `leads`; `nil` when there is none.
    public let planLimit: String?
    /// What the table holds its rows to beside their kinds, in words: by the end of the constraint's name, `lost_reason_required` for
    /// `deal_lost_reason_required`. It begins with the field that a refusal points at, the longest name that fits. The table has a constraint of
    /// that name, a unique index of several columns, or a trigger after the change raises `23514` (check_violation) with it;
    /// of a list it may give the part that is wrong as the error's column, `/3/name`.
    public let rules: [String: String]
    /// By what its records are taken for one, the surest first. A resource that says so has its records compared and merged; its table has the
    /// column `merged_into_id uuid`, and the service's schema the tables `merge` and `merge_move`.
    public let duplicates: [DuplicateMatch]
    /// Parameters of its lists beside those that its fields give.
    public let presets: [ListPreset]
    /// What its writes bring about besides; `nil` for nothing.
    let followUp: FollowUp?
    /// Every column of the JSON object, in its order.
    let columns: [Column]

    /// - Parameter fields: its own; those of another definition may be among them.
    /// - Precondition: names are not empty and no field is declared twice or under a name that every record has; each rule begins with a field;
    ///   duplicates are found by declared fields.
    public init(
        _ name: String, singular: String, permissions: PermissionResource, owner: String = "created_by", planLimit: String? = nil,
        rules: [String: String] = [:], duplicates: [DuplicateMatch] = [], presets: [ListPreset] = [], followUp: FollowUp? = nil,
        fields: [Field]
    ) {
        let fields = fields.filter { !$0.isAdded }.flatMap { [$0] + ($0.e164.map { [$0] } ?? []) } + [Self.externalID]
        let names = fields.map(\.name)
        precondition(
            Set(names + Self.commonNames).count == names.count + Self.commonNames.count, "\(name): a field is declared twice")
        precondition(
            (names + Self.commonNames).contains(owner), "\(name): the owner field \(owner) is not declared")
        precondition(
            rules.keys.allSatisfy { rule in names.contains { rule.hasPrefix("\($0)_") } }, "\(name): a rule begins with no field")
        precondition(
            duplicates.flatMap(\.fields).allSatisfy(names.contains), "\(name): duplicates are found by what is not declared")
        precondition(presets.allSatisfy { Set($0.fields).isSubset(of: names) }, "\(name): a preset tells of no field")
        self.init(name, singular, permissions, owner, planLimit, rules, duplicates, presets, followUp, fields)
    }

    private init(
        _ name: String, _ singular: String, _ permissions: PermissionResource, _ owner: String, _ planLimit: String?,
        _ rules: [String: String], _ duplicates: [DuplicateMatch], _ presets: [ListPreset], _ followUp: FollowUp?, _ fields: [Field]
    ) {
        self.name = name
        self.singular = singular
        self.permissions = permissions
        self.fields = fields
        self.owner = owner
        self.planLimit = planLimit
        self.rules = rules
        self.duplicates = duplicates
        self.presets = presets
        self.followUp = followUp
        columns =
            [Column(name: "id", format: .plain), Column(name: "version", format: .raw)]
            + fields.map { Column(name: $0.name, format: $0.type.format, isWide: $0.type.isWide) } + [
                Column(name: "created_at", format: .timestamp), Column(name: "updated_at", format: .timestamp),
                Column(name: "created_by", format: .plain), Column(name: "updated_by", format: .plain),
            ]
    }

    /// The same without some of its fields. Whose record it is, is still told by ``owner``, be that among them.
    func without(_ names: Set<String>) -> ResourceDefinition {
        ResourceDefinition(
            name, singular, permissions, owner, planLimit, rules, duplicates, presets.filter { names.isDisjoint(with: $0.fields) },
            followUp, fields.filter { !names.contains($0.name) })
    }

    public var table: String { singular }
    /// Whether a body can say whose record it is.
    var isGivable: Bool { field(owner)?.isReadOnly == false }
    public var path: String { "/v1/\(name.replacing("_", with: "-"))" }
    /// What people call several records.
    var nouns: String { name.replacing("_", with: " ") }
    /// Whether its records can be merged.
    public var isMergeable: Bool { !duplicates.isEmpty }
    public var isSearchable: Bool { fields.contains { $0.traits.contains(.searchable) } }

    /// The type's name in the public document: `Lead`.
    public var schemaName: String {
        singular.split(separator: "_").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
    }

    /// The number that people call a record by, such as a ticket's, where it has one.
    var number: Field? {
        fields.first { field in
            if case .integer = field.kind { field.traits.contains(.searchable) } else { false }
        }
    }

    public func field(_ name: String) -> Field? { fields.first { $0.name == name } }

    /// What says of another field what that has: a number in E.164, since when a state holds. Whoever does not see that one does not see it.
    public var companions: [String: String] {
        Dictionary(uniqueKeysWithValues: fields.compactMap { field in field.companion.map { (field.name, $0) } })
    }

    /// The names and those of the fields that go with them.
    func withCompanions(_ names: Set<String>) -> Set<String> {
        names.isEmpty ? names : names.union(companions.lazy.filter { names.contains($0.value) }.map(\.key))
    }

    /// The id that another system knows a record by: a field of every resource.
    static let externalID = Field(
        "external_id", .text(max: 255), [.unique, .filterable, .importable],
        "The id that another system knows the record by; compared as it is, capital letters too.", example: "hubspot-4711")

    /// What every record has beside its own fields.
    static let commonNames = ["id", "version", "created_at", "updated_at", "created_by", "updated_by"]

    /// What a list may be sorted by.
    var sortable: [SortOrder] {
        [SortOrder(column: "created_at", isNullable: false), SortOrder(column: "updated_at", isNullable: false)]
            + fields.filter { $0.traits.contains(.sortable) }.map {
                SortOrder(column: $0.name, isNullable: $0.isNullable, isText: $0.type.isText)
            }
    }
}

extension ResourceDefinition: Referable {}

extension FieldKind {
    /// The field whose value it follows.
    var companion: String? {
        switch self {
        case .e164(let name), .since(let name, _): name
        default: nil
        }
    }
}

extension Field {
    /// Whether a definition adds it to those that it is given.
    fileprivate var isAdded: Bool {
        if case .e164 = kind { return true }
        return name == ResourceDefinition.externalID.name
    }

    /// What goes with a telephone number.
    fileprivate var e164: Field? {
        guard case .phone = kind else { return nil }
        return Field("\(name)_e164", .e164(of: name), .readOnly, "The number of \(name) in E.164, however that is written.")
    }
}

import Core

/// One field of a resource: a column of its table and a member of its JSON object, under the same name.
public struct Field: Sendable {
    /// What may be done with a field beyond reading it; none by default.
    public struct Traits: OptionSet, Sendable {
        public let rawValue: UInt8
        public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// Must be given on create, and cannot be cleared.
        public static let required = Traits(rawValue: 1)
        /// Set by the service alone; a body that names it is refused.
        public static let readOnly = Traits(rawValue: 2)
        /// `?<name>=a,b` lists the records with any of these values; so do the operators of the kind, such as `?<name>[gte]=a`.
        public static let filterable = Traits(rawValue: 4)
        /// `?sort=<name>`; needs an index on (tenant_id, <name>, id).
        public static let sortable = Traits(rawValue: 8)
        /// Part of the column `search`, so that `?q=` finds its words.
        public static let searchable = Traits(rawValue: 16)
        /// May be the target of an import's column.
        public static let importable = Traits(rawValue: 32)
        /// No two live records of the tenant have the same value: held by the unique index `<table>_<name>_unique` on (tenant_id, <name>) of
        /// the live rows that have one. A deleted record blocks none.
        public static let unique = Traits(rawValue: 64)
    }

    /// What a record gets on create when the body does not name the field.
    /// Whether the table gives it a value where nobody does, and changes others with it.
    var isSetByTable: Bool { defaultValue == .table }

    public enum Default: Sendable, Hashable {
        case null
        case value(JSON)
        /// The id of whoever creates the record.
        case caller
        /// What the tenant counts in. A record is never without it.
        case tenantCurrency
        /// What the table gives it, by a trigger. A record is never without it.
        case table
        /// The tenant's time zone. A record is never without it.
        case tenantTimeZone
    }

    public let name: String
    public let kind: FieldKind
    let type: FieldType
    public let traits: Traits
    public let defaultValue: Default
    /// A field whose value it tells of: whoever does not see that one does not see this one.
    let companion: String?
    /// For the public document: one sentence.
    public let description: String
    /// For the public document: a value as it would be.
    public let example: JSON?

    /// - Parameters:
    ///   - defaultValue: `.null` unless given; tags and custom fields start empty instead, states with the machine's first.
    ///   - companion: a field whose value it tells of; kinds that follow another field know that one by themselves.
    /// - Precondition: states have no other default, a reference that must be there is not cleared, and no list goes by a decimal number.
    public init(
        _ name: String, _ kind: FieldKind, _ traits: Traits = [], default defaultValue: Default = .null, tellsOf companion: String? = nil,
        _ description: String = "", example: JSON? = nil
    ) {
        self.name = name
        self.kind = kind
        type = kind.type
        self.traits = if case .since = kind { traits.union(.readOnly) } else { traits }
        self.companion = companion ?? kind.companion
        if case .states(let machine) = kind {
            precondition(defaultValue == .null, "\(name): the machine says what a record starts as")
            self.defaultValue = .value(.string(machine.start[0]))
        } else {
            self.defaultValue = defaultValue
        }
        switch kind {
        case .decimal: precondition(traits.isDisjoint(with: [.filterable, .sortable, .unique]), "\(name): no list goes by decimal numbers")
        case .reference(.resource(_, onDelete: .clear)), .reference(.parent(onDelete: .clear)), .related(_, onDelete: .clear):
            precondition(!traits.contains(.required), "\(name): what is required cannot be cleared")
        default: break
        }
        self.description = description
        self.example = example
    }

    public var isReadOnly: Bool { traits.contains(.readOnly) }
    /// Whether every creation sets it: by what the body says of it, or of the field that it goes with.
    var isSetByCreation: Bool { if case .e164 = kind { true } else { !isReadOnly } }
    public var isRequired: Bool { traits.contains(.required) }
    public var isUnique: Bool { traits.contains(.unique) }

    /// Whether a record may be without a value. A field with a value from the start never loses it, it is only changed.
    public var isNullable: Bool {
        if isRequired || type.isCollection { return false }
        switch defaultValue {
        case .value, .tenantCurrency, .tenantTimeZone, .table: return false
        case .null, .caller: return true
        }
    }
}

import Core

/// What a field's values are: which JSON they are given as, which limits hold, and which column type keeps them.
public enum FieldKind: Sendable {
    /// One line of text (``PlainText``), up to `max` Unicode scalars; `text`.
    case text(max: Int)
    /// Text of several lines (``PlainText``), up to `max` Unicode scalars; `text`.
    case longText(max: Int)
    /// One line of text of a form that the declaration brings along; `text`.
    case form(TextForm)
    /// An ``EmailAddress``; `text`.
    case email
    /// A telephone number as people write it (``PhoneNumber``); `text`. Beside it stands a field of the kind ``e164(of:)``, `<name>_e164`,
    /// which every such field has by itself.
    case phone
    /// The number of the named field in E.164, set together with it; null where it cannot be read; `text`.
    case e164(of: String)
    /// An absolute `http` or `https` address (``WebAddress``); `text`.
    case url
    /// A ``HostName``; `text`.
    case hostName
    /// A whole number within the range; `integer` or `bigint`.
    case integer(ClosedRange<Int64>)
    /// A code of ``Currency``; `text`.
    case currency
    /// An amount in the smallest unit of the currency that the named field has, from 0 to ``maximumAmount``; `bigint`. Every record has that
    /// currency, be it without an amount.
    case amount(currency: String)
    /// A decimal number, exact; text in JSON, `numeric` in the table. Whether one is less than another, a filter cannot ask: the comparisons of
    /// `numeric` reach no index under row security.
    case decimal(DecimalFormat)
    /// One of the values; `text` with a check constraint over all of them.
    case enumeration([String])
    /// One of the machine's states, never null; kept as an enumeration is.
    case states(StateMachine)
    /// Since when the named field has had one of the values, null while it has another; kept by the service; `timestamptz(3)`.
    case since(String, in: [String])
    /// An instant, RFC 3339; `timestamptz(3)`.
    case timestamp
    /// A calendar date, `yyyy-mm-dd`; `date`.
    case date
    case boolean
    /// Short labels without repetition, at most `maxCount` of up to `maxLength` Unicode scalars; `text[]`, never null.
    case tags(maxCount: Int, maxLength: Int)
    /// A fixed set of members, merged one level deep by a patch; `jsonb`.
    indirect case object([Field])
    /// Up to `maxCount` objects of the same members, replaced as a whole by a patch, no two with the same value of the member `key`; `jsonb`, an
    /// array, never null.
    indirect case list([Field], maxCount: Int, key: String? = nil)
    /// Members of the tenant, each once, at most `maxCount`; `uuid[]`, never null. Where it is filterable, `search` has each of them as a value of
    /// the field's parameter.
    case members(maxCount: Int)
    /// Members of the tenant's own naming: at most 50 keys `[a-z0-9_]{1,64}` with scalar values; `jsonb`, never null.
    case custom
    /// The id of another record; `uuid`.
    case reference(Target)
    /// A record of one of several resources, these by their singulars: `{"type":"lead","id":…}`. A domain over `record_reference`; for resources of
    /// the same service held by the foreign keys `<table>_<field>_<type>_fkey` of the generated columns `<field>_<type>_id`, for a ``CopiedResource``
    /// by the write's own statement alone, and then with `keep`.
    case related([String], onDelete: OnDelete)

    /// What a reference leads to.
    public enum Target: Sendable, Hashable {
        /// A member of the tenant; looked up in the copy of the members that the service keeps.
        case member
        /// A record of the named resource of the same service; held by the foreign key `<table>_<field>_fkey`.
        case resource(String, onDelete: OnDelete)
        /// The record of the same resource that this one is below; held by a foreign key too, and to a tree by the trigger that
        /// `nested` makes.
        case parent(onDelete: OnDelete)
        /// A row of the named table that is no resource of its own, such as a part of one; held by a foreign key, and never expanded.
        case row(String)
    }

    /// What deleting a record means to those that refer to it.
    public enum OnDelete: Sendable, Hashable {
        /// It is not deleted as long as there are any.
        case refuse
        /// They lose the reference, 1,000 at most: with more it is not deleted.
        case clear
        /// They keep it, and when the record is restored all is as it was.
        case keep
    }

    /// The largest whole number that every reader of JSON keeps exactly (RFC 8259, section 6).
    public static let maximumAmount: Int64 = 9_007_199_254_740_991
    /// The most keys that custom fields may have.
    public static let maximumCustomKeys = 50
    /// The most Unicode scalars of one custom text.
    public static let maximumCustomText = 1000

    /// Whether the name is one that a tenant's own field can have: `[a-z0-9_]{1,64}`.
    static func isCustomKey(_ key: String) -> Bool {
        (1...64).contains(key.utf8.count)
            && key.utf8.allSatisfy {
                switch $0 {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
                default: false
                }
            }
    }
}

/// How a filter compares a field with its values. The name stands in brackets behind the field's, as in `score[gte]=50`; ``equal`` has
/// none.
enum FilterOperator: String, Sendable, CaseIterable {
    /// Any of the values.
    case equal = ""
    /// None of the values; a record without a value counts.
    case not
    case gt
    case gte
    case lt
    case lte
    /// Begins with any of the values, without regard to case, accents and signs.
    case prefix
    /// Whether there is no value, `true` or `false`.
    case null

    /// Of values that are told apart and no more: names, ids, yes and no.
    static let ofChoices: [FilterOperator] = [.equal, .not, .null]
    /// Of values that come before and after each other: numbers, dates, times.
    static let ofOrdered: [FilterOperator] = [.equal, .not, .gt, .gte, .lt, .lte, .null]
    static let ofTexts: [FilterOperator] = [.equal, .not, .prefix, .null]
    static let ofCollections: [FilterOperator] = [.equal, .not]

    /// The comparison in SQL; `nil` for what is no range.
    var sign: String? {
        switch self {
        case .gt: ">"
        case .gte: ">="
        case .lt: "<"
        case .lte: "<="
        case .equal, .not, .prefix, .null: nil
        }
    }
}

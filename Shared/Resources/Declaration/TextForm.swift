import Core

/// What texts of a form that only some resource has look like, for a field of the kind ``FieldKind/form(_:)``.
public struct TextForm: Sendable {
    /// Unicode scalars of a text.
    let maximum: Int
    /// For the public document.
    let rule: String
    let example: String
    /// The text as it is kept.
    let checked: @Sendable (String) throws(ValueFault) -> String

    public init(maximum: Int, rule: String, example: String, checked: @escaping @Sendable (String) throws(ValueFault) -> String) {
        self.maximum = maximum
        self.rule = rule
        self.example = example
        self.checked = checked
    }
}

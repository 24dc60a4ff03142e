import Core

/// Telephone numbers without a calling code are those of the tenant's country.
extension Country {
    /// Whether it is the code of a country with telephones.
    static func isValid(_ code: String) -> Bool { PhoneNumber.countries.contains(code) }

    /// What the tenant says, or else its locale, as `de-AT` does; `nil` when neither does.
    static func of(_ country: String?, locale: String) -> String? {
        country ?? locale.split(separator: "-").dropFirst().lazy.map { $0.uppercased() }.first(where: isValid)
    }
}

/// The currencies that amounts are in: ISO 4217, as its maintenance agency publishes it.
public enum Currency {
    /// List one, published 2026-01-01 (SIX Group, `list-one.xml`): what is in use, with funds codes, by the number of digits of the smallest
    /// unit. Metals, units of account and codes for tests have none, so an amount cannot be counted in them.
    private static let published: [(digits: Int, codes: String)] = [
        (0, "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"),
        (
            2,
            """
            AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP \
            CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD \
            KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR \
            PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU \
            UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
            """
        ),
        (3, "BHD IQD JOD KWD LYD OMR TND"),
        (4, "CLF UYW"),
    ]

    private static let digits: [String: Int] = Dictionary(
        uniqueKeysWithValues: published.flatMap { entry in entry.codes.split(separator: " ").map { (String($0), entry.digits) } })

    /// Every code, sorted.
    public static let codes: [String] = digits.keys.sorted()

    /// How many digits follow the decimal point, 2 for EUR: an `amount_minor` of 1250 is 12.50. `nil` for what is no code of the list.
    public static func minorDigits(of code: String) -> Int? { digits[code] }

    /// An amount for people, such as `1,250.00`.
    ///
    /// - Parameter minor: its digits, in the smallest unit of the currency.
    public static func text(ofMinor minor: String, in code: String) -> String {
        let sign = minor.hasPrefix("-") ? "-" : ""
        let fraction = minorDigits(of: code) ?? 0
        let given = minor.dropFirst(sign.count)
        let digits = String(repeating: "0", count: max(0, fraction + 1 - given.count)) + given
        var whole = String(digits.dropLast(fraction))
        // From the end, so that the places before stay where they are.
        for place in stride(from: whole.count - 3, to: 0, by: -3) {
            whole.insert(",", at: whole.index(whole.startIndex, offsetBy: place))
        }
        return sign + whole + (fraction > 0 ? "." + digits.suffix(fraction) : "")
    }

    /// What a tenant counts in until it says another.
    public static let initial = "USD"

    /// The text, if it has the form of a currency's code; else `nil`. What comes from elsewhere is read by this: it goes into the signed
    /// context, whose separators must not be in it.
    public static func code(_ text: some StringProtocol) -> String? {
        text.utf8.count == 3 && text.utf8.allSatisfy((UInt8(ascii: "A")...UInt8(ascii: "Z")).contains) ? String(text) : nil
    }

    /// The code as given.
    ///
    /// - Throws: ``ValueFault`` `not_allowed` for any other text, also for one in lower case, with the nearest code.
    public static func checked(_ given: String) throws(ValueFault) -> String {
        if digits[given] != nil { return given }
        throw ValueFault(
            .notAllowed, "Expected a currency of ISO 4217 such as EUR.\(Suggestion.hint(for: given.prefix(64).uppercased(), among: codes))")
    }
}

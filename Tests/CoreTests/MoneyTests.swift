import Core
import Testing

@Suite struct MoneyTests {
    @Test func codesAreThoseOfThePublishedListWithTheirDigits() throws {
        #expect(Currency.codes.count == 165)
        #expect(Currency.codes.allSatisfy { $0.count == 3 && $0.uppercased() == $0 })
        for (code, digits) in [("EUR", 2), ("JPY", 0), ("KWD", 3), ("CLF", 4), ("UGX", 0), ("ISK", 0)] {
            #expect(Currency.minorDigits(of: code) == digits)
            #expect(try Currency.checked(code) == code)
        }
    }

    /// Withdrawn, without a smallest unit, for tests, in lower case, and none at all.
    @Test(arguments: ["BGN", "DEM", "XAU", "XXX", "XTS", "eur", " EUR", ""])
    func whatIsNoCurrencyIsRefused(text: String) {
        #expect(Currency.minorDigits(of: text) == nil)
        #expect(throws: ValueFault.self) { try Currency.checked(text) }
    }

    @Test(
        arguments: [
            ("0", "EUR", "0.00"), ("5", "EUR", "0.05"), ("-123456", "EUR", "-1,234.56"), ("1000", "JPY", "1,000"), ("999", "JPY", "999"),
            ("5", "KWD", "0.005"), ("9223372036854775807000", "CLF", "922,337,203,685,477,580.7000"),
        ])
    func anAmountIsWrittenWithTheDigitsOfItsCurrency(minor: String, code: String, text: String) {
        #expect(Currency.text(ofMinor: minor, in: code) == text)
    }

    @Test func theNearestCodeIsNamed() {
        let fault = #expect(throws: ValueFault.self) { try Currency.checked("eur") }
        #expect(fault?.detail.hasSuffix("Did you mean 'EUR'?") == true)
    }
}

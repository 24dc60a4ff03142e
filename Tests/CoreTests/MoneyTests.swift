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

    @Test func theNearestCodeIsNamed() {
        let fault = #expect(throws: ValueFault.self) { try Currency.checked("eur") }
        #expect(fault?.detail.hasSuffix("Did you mean 'EUR'?") == true)
    }
}

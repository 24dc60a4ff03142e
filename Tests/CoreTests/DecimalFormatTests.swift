import Core
import Foundation
import Testing

@Suite struct DecimalFormatTests {
    static let rate = DecimalFormat.positive(whole: 3, fraction: 4, example: "1.0842")

    @Test(arguments: [("1", "1"), ("1.0842", "1.0842"), ("1.5000", "1.5"), ("999.9999", "999.9999"), ("0.0001", "0.0001"), ("10.0", "10")])
    func aNumberIsKeptInItsOneSpelling(given: String, kept: String) throws {
        #expect(try Self.rate.checked(given) == kept)
    }

    @Test(arguments: [
        ("0", "0"), ("0.00", "0"), ("19", "19"), ("7.75", "7.75"), ("99.9999", "99.9999"), ("100", "100"), ("100.0000", "100"),
    ])
    func aPercentageIsFromZeroToAHundred(given: String, kept: String) throws {
        #expect(try DecimalFormat.percentage.checked(given) == kept)
    }

    private static let texts = [
        "", " ", "0", "0.0", "0.0001", "00", "01", "1", "1.", ".5", "-1", "+1", "1e3", "1,5", "1.2.3", " 1", "1 ", "１", "NaN", "Infinity",
        "9", "10", "99", "99.9999", "99.99999", "100", "100.0", "100.0000", "100.00000", "100.0001", "101", "999", "999.9999", "1000",
        "1000000000000000000000000",
    ]

    /// Goal: the published pattern and the check say the same.
    @Test func thePatternAllowsWhatIsTaken() throws {
        for format in [Self.rate, .percentage] {
            let pattern = try NSRegularExpression(pattern: format.pattern)
            for text in Self.texts {
                let matches = pattern.firstMatch(in: text, range: NSRange(location: 0, length: text.utf16.count)) != nil
                #expect(((try? format.checked(text)) != nil) == matches, "\(text) \(format.pattern)")
            }
        }
    }
}

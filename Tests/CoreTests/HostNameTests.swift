import Core
import Foundation
import Testing

@Suite struct HostNameTests {
    private static let longLabel = String(repeating: "a", count: 63)

    @Test(arguments: [
        ("kestrel.example", "kestrel.example"), ("  Kestrel.EXAMPLE\u{200B}", "kestrel.example"), ("a.b", "a.b"),
        ("xn--mnchen-3ya.example", "xn--mnchen-3ya.example"), ("3com.example", "3com.example"), (longLabel + ".de", longLabel + ".de"),
        ("", ""),
    ])
    func aNameIsKeptInLowerCase(given: String, kept: String) throws {
        #expect(try HostName.checked(given) == kept)
        #expect(try Self.fits(given))
    }

    @Test(arguments: [
        "kestrel", "https://kestrel.example", "kestrel.example/", "kestrel.example.", ".example", "a..example", "-a.example", "a-.example",
        "10.0.0.1", "kestrel.example:80", "münchen.example", "a b.example", "anna@kestrel.example", longLabel + "a.de", "ａ.example",
    ])
    func whatIsNoNameIsRefused(text: String) throws {
        #expect(throws: ValueFault.self) { try HostName.checked(text) }
        #expect(try !Self.fits(text))
    }

    private static func fits(_ text: String) throws -> Bool {
        let expression = try NSRegularExpression(pattern: HostName.pattern.replacing("$", with: "\\z"))
        return expression.firstMatch(in: text, range: NSRange(location: 0, length: text.utf16.count)) != nil
    }
}

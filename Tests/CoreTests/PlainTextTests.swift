import Core
import Foundation
import Testing

/// A pattern as other programs read the published schemas. In ECMAScript `$` is the very end, here it may have a line end behind it.
private struct SchemaPattern {
    let expression: NSRegularExpression

    init(_ pattern: String) throws { expression = try NSRegularExpression(pattern: pattern.replacing("$", with: "\\z")) }

    func takes(_ text: String) -> Bool {
        expression.firstMatch(in: text, range: NSRange(location: 0, length: text.utf16.count)) != nil
    }
}

@Suite struct PlainTextTests {
    @Test(arguments: [
        ("  Trim me  ", "Trim me"), ("\t\u{A0}\u{FEFF}Anna\u{3000}\u{200B}\r\n", "Anna"), ("Re\u{301}ne\u{301}e", "Rénée"),
        // A name with marks of its direction, as a mail program pastes it.
        ("\u{2068}Anna\u{2069}", "Anna"), ("\u{202A}C:\\Temp", "C:\\Temp"), ("\u{200E}Anna\u{200F}", "Anna"),
        ("byte\u{FEFF}order", "byteorder"), ("e\u{FEFF}\u{301}", "é"),
        // What joins and varies letters stays, inside and where it ends a word.
        ("می\u{200C}خواهم", "می\u{200C}خواهم"), ("രാമന\u{D4D}\u{200D}", "രാമന\u{D4D}\u{200D}"), ("क\u{94D}\u{200D}ष", "क\u{94D}\u{200D}ष"),
        ("👩\u{200D}👩\u{200D}👧", "👩\u{200D}👩\u{200D}👧"), ("❤\u{FE0F}", "❤\u{FE0F}"), ("สวัส\u{200B}ดี", "สวัส\u{200B}ดี"),
        ("אבג\u{200F} (1)", "אבג\u{200F} (1)"), ("", ""), ("O'Hara", "O'Hara"), ("🏳\u{FE0F}", "🏳\u{FE0F}"),
    ])
    func aLineIsTrimmedAndComposed(given: String, kept: String) throws {
        let text = try PlainText.checked(given, as: .line, maximum: 100)
        #expect(Array(text.unicodeScalars) == Array(kept.unicodeScalars))
        #expect(try Array(PlainText.checked(text, as: .line, maximum: 100).unicodeScalars) == Array(text.unicodeScalars))
    }

    @Test(arguments: [
        " ", "\u{200B}", "\u{2800}", "\u{2800} \u{2800}", "\u{301}", "\u{301}\u{302}", "\u{200D}", "\u{FEFF}", "\u{AD}", "\u{3164}",
        "\u{115F}\u{1160}", "\u{FE0F}", "\u{2066}\u{2069}", "\u{E0041}\u{E007F}", "\u{180E}", "\u{2028}", "\u{85}", "\t\n\r\n",
    ])
    func whatShowsNothingIsNothing(given: String) throws {
        for form in [PlainText.Form.line, .lines] { #expect(try PlainText.checked(given, as: form, maximum: 100) == "") }
    }

    @Test(
        arguments: [
            "a\u{0}b", "\u{1B}[31mred", "a\u{7F}", "a\u{9B}b", "\u{202E}evil", "a\u{202D}b",
        ] + [0xFDD0, 0xFFFF, 0x1FFFE].compactMap { Unicode.Scalar($0 as UInt32) }.map { "a\($0)" })
    func controlsOverridesAndNoncharactersAreRefused(given: String) {
        for form in [PlainText.Form.line, .lines] {
            let fault = #expect(throws: ValueFault.self) { try PlainText.checked(given, as: form, maximum: 100) }
            #expect(fault?.code == .invalidText)
        }
    }

    @Test(arguments: ["a\nb", "a\tb", "a\u{85}b", "a\u{2028}b", "a\u{202A}b\u{202C}", "a\u{2067}b\u{2069}", "a\u{2069}b"])
    func aLineHasNoLineEndsAndNoFormattingOfItsDirection(given: String) throws {
        #expect(throws: ValueFault.self) { try PlainText.checked(given, as: .line, maximum: 100) }
        _ = try PlainText.checked(given, as: .lines, maximum: 100)
    }

    @Test func everyLineEndIsKeptAsOne() throws {
        let given = "a\r\nb\rc\nd\u{B}e\u{C}f\u{85}g\u{2028}h\u{2029}\n\ti\r\n"
        #expect(try PlainText.checked(given, as: .lines, maximum: 100) == "a\nb\nc\nd\ne\nf\ng\nh\n\n\ti")
    }

    @Test func lengthIsCountedInScalarsAsGivenAndAsKept() throws {
        #expect(try PlainText.checked(String(repeating: "😀", count: 10), as: .line, maximum: 10).count == 10)
        // The second grows when it is composed: Unicode keeps U+0958 apart.
        for given in [
            String(repeating: "é", count: 11), String(repeating: "\u{958}", count: 10), String(repeating: "a", count: 11), "a          ",
        ] {
            let fault = #expect(throws: ValueFault.self) { try PlainText.checked(given, as: .line, maximum: 10) }
            #expect(fault?.code == .tooLong)
        }
    }

    @Test func theFaultNamesTheCharacterAndItsPlace() {
        let fault = #expect(throws: ValueFault.self) { try PlainText.checked("ab\u{202E}c", as: .line, maximum: 10) }
        #expect(fault?.detail == "The character U+202E, number 3 of the text, is not allowed here.")
    }

    @Test(arguments: [("VIP", "vip"), ("Über", "u\u{308}ber"), ("a\u{200B}b", "ab"), ("two words", "TWO WORDS")])
    func labelsThatAreOneToPeopleAreOne(one: String, other: String) { #expect(PlainText.label(one) == PlainText.label(other)) }

    /// Each character alone, at an end and inside: the pattern of the schema takes what the check takes.
    @Test(arguments: [PlainText.Form.line, .lines])
    func thePatternTakesWhatTheCheckTakes(form: PlainText.Form) throws {
        let pattern = try SchemaPattern(PlainText.pattern(form))
        let required = try SchemaPattern(PlainText.pattern(form, isRequired: true))
        var faults: [String] = []
        for value in (0...0xFFFF as ClosedRange<UInt32>) {
            guard let scalar = Unicode.Scalar(value) else { continue }
            for text in ["\(scalar)", "a\(scalar)", "\(scalar)a", "a\(scalar)b"] {
                let kept = try? PlainText.checked(text, as: form, maximum: 10)
                if pattern.takes(text) != (kept != nil) {
                    faults.append("\(form) U+\(String(value, radix: 16)) in \(text.utf8.count)")
                }
                // That a mark alone shows nothing, a pattern cannot say.
                if text.unicodeScalars.contains("a"), required.takes(text) != (kept != nil) {
                    faults.append("required \(form) U+\(String(value, radix: 16))")
                }
            }
        }
        #expect(faults.prefix(20) == [])
        #expect(pattern.takes(""))
        #expect(!required.takes(""))
        #expect(!required.takes(" \u{2800} "))
    }
}

@Suite struct FormattedTextTests {
    @Test(arguments: [
        ("+123456789,123", "+123456789,123"), ("０４０-１２３４", "０４０-１２３４"), ("555-CALL-NOW", "555-CALL-NOW"),
        (" +49 40 555\u{A0}0101\n", "+49 40 555\u{A0}0101"), ("\u{202D}+49 (40) 5550101\u{202C}", "+49 (40) 5550101"),
        ("+49\u{200B}40 5550101 ext. 7", "+4940 5550101 ext. 7"), ("٠١٢٣٤٥", "٠١٢٣٤٥"), ("+1‑555‑0100;ext=5", "+1‑555‑0100;ext=5"),
        ("112", "112"), ("", ""), (" ", ""),
    ])
    func aTelephoneNumberIsKeptAsGiven(given: String, kept: String) throws {
        #expect(try PhoneNumber.checked(given) == kept)
        let pattern = try SchemaPattern(PhoneNumber.pattern)
        #expect(pattern.takes(given))
    }

    @Test(arguments: ["call me", "12", "1\u{0}234", "123\n456", String(repeating: "1", count: 41)])
    func whatHoldsNoNumberIsNone(given: String) throws {
        #expect(throws: ValueFault.self) { try PhoneNumber.checked(given) }
        let pattern = try SchemaPattern(PhoneNumber.pattern)
        #expect(!pattern.takes(given) || given.count > PhoneNumber.maximumLength)
    }

    @Test(arguments: [
        "https://kestrel.example", "HTTP://kestrel.example:80/a?b=c#d", " https://münchen.example/ä ", "https://a.example/x@y", "",
        "https://kestrel.example?x",
    ])
    func aWebAddressIsTaken(given: String) throws {
        _ = try WebAddress.checked(given)
        let pattern = try SchemaPattern(WebAddress.pattern)
        #expect(pattern.takes(given))
    }

    @Test(arguments: [
        "ftp://x", "https://", "https:///x", "https://a@b.example", "javascript:alert(1)", "https://a b", "https://a/\"", "https://:80",
        "https://a\u{202E}b", "kestrel.example",
    ])
    func anythingElseIsNoWebAddress(given: String) throws {
        #expect(throws: ValueFault.self) { try WebAddress.checked(given) }
        let pattern = try SchemaPattern(WebAddress.pattern)
        #expect(!pattern.takes(given))
    }
}

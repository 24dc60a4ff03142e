import Core
import Foundation
import Testing

@Suite struct PhoneNumberTests {
    /// Numbers of all countries as they are written there and elsewhere, right and wrong, against what libphonenumber reads: made by
    /// Tests/phone-metadata.
    @Test func numbersAreReadAsLibphonenumberReadsThem() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "phones.tsv")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        #expect(lines.count > 4000)
        var wrong: [String] = []
        for line in lines {
            let columns = line.split(separator: "\t").map(String.init)
            let read = PhoneNumber.e164(columns[1], from: columns[0] == "-" ? nil : columns[0]) ?? "-"
            if read != columns[2] { wrong.append("\(line), not \(read)") }
        }
        #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(40).joined(separator: "\n"))")
    }

    @Test(arguments: [
        ("+81 3-1234-5678", nil, "+81312345678"), ("03-1234-5678", "JP", "+81312345678"), ("０３－１２３４－５６７８", "JP", "+81312345678"),
        ("010 81 3 1234 5678", "JP", "+81312345678"), ("03-1234-5678", nil, nil), ("555-CALL-NOW", "US", "+15552255669"),
        ("+123456789,123", "US", nil), ("+49 (0)40 5550101 ext. 7", nil, "+49405550101"), ("+49 40 5550101,,7#", nil, "+49405550101"),
        ("٠٣١٢٣٤٥٦٧٨", "JP", "+81312345678"), ("+39 06 69812345", nil, "+390669812345"), ("112", "DE", nil), ("", "DE", nil),
        ("+49405550101", "ZZ", "+49405550101"), ("040 5550101", "ZZ", nil),
    ])
    func aNumberIsReadWithItsCountry(given: String, country: String?, read: String?) {
        #expect(PhoneNumber.e164(given, from: country) == read)
    }

    @Test func nothingThatIsTakenForANumberIsTooMuchToRead() throws {
        let signs = Array("0123456789+-x#,;: ()./~*abз٣①\u{301}\u{1F4DE}")
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let text = String((0..<Int.random(in: 1...40, using: &generator)).map { _ in signs.randomElement(using: &generator) ?? "0" })
            guard let checked = try? PhoneNumber.checked(text),
                let read = PhoneNumber.e164(checked, from: ["DE", "AR", "US"].randomElement())
            else {
                continue
            }
            #expect(read.first == "+" && (4...16).contains(read.count), "\(text)")
            #expect(PhoneNumber.e164(read, from: nil) == read, "\(text)")
        }
    }
}

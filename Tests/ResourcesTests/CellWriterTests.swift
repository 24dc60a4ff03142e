import Testing

@testable import Resources

@Suite struct CellWriterTests {
    @Test(arguments: [
        ("2026-01-31 09:30:00+00", #""2026-01-31T09:30:00.000Z""#), ("2026-01-31 09:30:00.1+00", #""2026-01-31T09:30:00.100Z""#),
        ("2026-01-31 09:30:00.123+00", #""2026-01-31T09:30:00.123Z""#),
    ])
    func aTimestampBecomesRFC3339WithThreeDigits(cell: String, json: String) {
        #expect(write(cell, as: .timestamp) == json)
    }

    @Test(arguments: [
        ("{}", "[]"), ("{a}", #"["a"]"#), ("{a,\"b c\",\"\"}", #"["a","b c",""]"#),
        (#"{"x\"y","back\\slash","a,b"}"#, #"["x\"y","back\\slash","a,b"]"#),
        ("{\"line\nbreak\",é}", #"["line\nbreak","é"]"#), (#"{"NULL"}"#, #"["NULL"]"#),
    ])
    func anArrayBecomesAnArrayOfStrings(cell: String, json: String) {
        #expect(write(cell, as: .textArray) == json)
    }

    @Test func textIsEscapedAsJSONDemandsAndNoMore() {
        #expect(write("a\"b\\c\n\t\u{1}/é", as: .text) == #""a\"b\\c\n\t\u0001/é""#)
        #expect(write("", as: .text) == #""""#)
        #expect(write("{\"a\": 1}", as: .raw) == "{\"a\": 1}")
        #expect(write("t", as: .boolean) == "true")
        #expect(write("false", as: .boolean) == "false")
        #expect(write(nil, as: .text) == "null")
    }

    private func write(_ cell: String?, as format: CellFormat) -> String {
        var output: [UInt8] = []
        if let cell {
            Array(cell.utf8).withUnsafeBufferPointer { CellWriter.append($0, as: format, to: &output) }
        } else {
            CellWriter.append(nil, as: format, to: &output)
        }
        return String(decoding: output, as: UTF8.self)
    }
}

import Core
import Testing

@Suite struct JSONTests {
    @Test(arguments: [
        #"{"a":1,"b":[true,false,null],"c":"x"}"#, "[]", "{}", #""é😀""#, "-0.5e10", #"{"a":{"b":{"c":[1,2,{"d":null}]}}}"#,
        "123456789012345678901234567890",
    ])
    func whatIsReadIsWrittenAgainUnchanged(_ text: String) throws {
        #expect(try JSONParser.parse(text).description == text)
    }

    @Test func escapesAreReadAndOnlyNecessaryOnesWritten() throws {
        let json = try JSONParser.parse(#""\u00e9\ud83d\ude00\n\/\u0001""#)
        #expect(json == .string("é😀\n/\u{1}"))
        #expect(json.description == #""é😀\n/\u0001""#)
    }

    /// Class A31: text that one parser takes one way and another another way.
    @Test(arguments: [
        "", " ", "{", "[1,]", "{\"a\":1,}", "{'a':1}", "[1 2]", "01", "+1", "1.", ".5", "1e", "NaN", "Infinity", "tru", "nul",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\\x\"", "\"a\nb\"", "\"abc", "1 2", "{} {}", "{\"a\" 1}", "{1:2}",
        "/* c */ 1", "\u{FEFF}1",
    ])
    func malformedTextIsRefused(_ text: String) {
        #expect(throws: Problem.self) { try JSONParser.parse(text) }
    }

    @Test func invalidUTF8IsRefused() {
        #expect(throws: Problem.self) { try JSONParser.parse([0x22, 0xFF, 0x22]) }
        #expect(throws: Problem.self) { try JSONParser.parse([0x22, 0xC0, 0x80, 0x22]) }
        #expect(throws: Problem.self) { try JSONParser.parse([0x22, 0xED, 0xA0, 0x80, 0x22]) }
    }

    @Test func aMemberThatOccursTwiceIsNamedWithItsPlace() {
        let problem = #expect(throws: Problem.self) { try JSONParser.parse(#"{"a":[{"b/c":1,"b/c":2}]}"#) }
        #expect(problem?.code == .invalidJSON)
        #expect(problem?.faults.first?.pointer == "/a/0/b~1c")
        #expect(problem?.faults.first?.code == "duplicate_member")
    }

    @Test func depthValuesAndDigitsAreBounded() {
        let deep = String(repeating: "[", count: 100_000)
        #expect(throws: Problem.self) { try JSONParser.parse(deep) }
        #expect(throws: Problem.self) { try JSONParser.parse(String(repeating: "9", count: 1_000_000)) }
        #expect(throws: Problem.self) { try JSONParser.parse("[" + String(repeating: "1,", count: 200_000) + "1]") }
    }

    @Test func numbersKeepTheirDigitsAndIntegersAreExact() throws {
        #expect(try JSONParser.parse("9223372036854775807").integer == .max)
        #expect(try JSONParser.parse("9223372036854775808").integer == nil)
        #expect(try JSONParser.parse("1.0").integer == nil)
        #expect(try JSONParser.parse("1e400").description == "1e400")
    }
}

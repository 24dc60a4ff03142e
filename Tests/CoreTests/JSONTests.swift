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
        #expect(problem?.faults.first?.code == .duplicateMember)
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
        #expect(try JSONParser.parse("1e400").description == "1e400")
    }

    @Test(arguments: [
        ("42.0", 42), ("4.2e1", 42), ("420e-1", 42), ("-0", 0), ("0e999999999999999999999", 0), ("0.000e5", 0), ("1E3", 1000),
        ("-9.223372036854775808e18", Int64.min), ("9223372036854775807.000", .max), ("92233720368547758070e-1", .max),
    ])
    func aWholeNumberIsOneHoweverItIsSpelt(text: String, value: Int64) throws {
        #expect(try JSONParser.parse(text).integer == value)
        #expect(try JSONParser.parse(text).isWholeNumber)
    }

    @Test(arguments: ["4.25", "1e-1", "9.223372036854775808e18", "1e19", "1e999999999999999999999", "1e-999999999999999999999"])
    func otherNumbersAreNoInteger(text: String) throws { #expect(try JSONParser.parse(text).integer == nil) }

    @Test(arguments: [
        "1e-7", "1e21", "6.02e23", "1e308", "-1e308", "1e-308", "0", "-0.0e99999", "123456789012345678901234567890.5",
        "0.0000000000000000000000000000000000000000000000000000000000000000000000000012",
    ])
    func anOrdinaryNumberIsKept(text: String) throws {
        let kept = try JSONParser.parse(text).checkedScalar(maximum: 10)
        #expect(kept.canonical == (try JSONParser.parse(text)).canonical)
    }

    /// Postgres writes exponents out: `1e9999` would become ten thousand digits.
    @Test(arguments: [
        "1e309", "1.1e308", "-1e9999", "1e-309", "9e-309", "1e99999999999999999999", "1.\(String(repeating: "1", count: 150))e-300",
    ])
    func aNumberThatWouldBeWrittenOutAtLengthIsNot(text: String) throws {
        let fault = #expect(throws: ValueFault.self) { try JSONParser.parse(text).checkedScalar(maximum: 10) }
        #expect(fault?.code == .outOfRange)
    }

    @Test func oneValueHasOneCanonicalForm() throws {
        let one = try JSONParser.parse(#"{"b":[1.0,{"y":"\u00e9","x":-0}],"a":6.02e23}"#)
        let other = try JSONParser.parse(#" {"a" : 602e21, "b":[1, {"x":0.0,"y":"é"} ]}"#)
        #expect(one != other)
        #expect(one.canonical.bytes == other.canonical.bytes)
        #expect(one.canonical.description == #"{"a":602e21,"b":[1,{"x":0,"y":"é"}]}"#)
    }

    @Test(arguments: [
        ("a/b~c", "/a~1b~0c"), ("", "/"), ("é", "/é"), (String(repeating: "n", count: 99), "/" + String(repeating: "n", count: 64)),
    ])
    func aPointerSegmentIsEscapedAndShort(name: String, segment: String) { #expect(JSONPointer.segment(name) == segment) }
}

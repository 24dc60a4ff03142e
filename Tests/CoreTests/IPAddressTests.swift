import Core
import Testing

@Suite struct IPAddressTests {
    @Test(arguments: [
        ("192.0.2.7", "192.0.2.7"), ("::ffff:192.0.2.7", "192.0.2.7"), ("2001:DB8:0:0::1", "2001:db8::1"), ("fe80::1%eth0", "fe80::1"),
        ("0.0.0.0", "0.0.0.0"), ("::", "::"), ("2001:db8:1111:2222:3333:4444:255.255.255.255", "2001:db8:1111:2222:3333:4444:ffff:ffff"),
    ])
    func anAddressIsReadAndWritten(text: String, written: String) throws {
        #expect(try #require(IPAddress(text)).text == written)
    }

    @Test(arguments: [
        "", "%", "192.0.2", "192.0.2.256", "192.0.2.07", "192.0.2.7:80", "[2001:db8::1]", "2001:db8:::1", " 192.0.2.7", "192.0.2.7\0",
        "unknown", String(repeating: "1", count: 100),
    ])
    func whatIsNoAddressIsNone(text: String) { #expect(IPAddress(text) == nil) }

    @Test func addressesAreCountedByWhatOneCustomerHas() throws {
        func key(_ text: String) throws -> String { try #require(IPAddress(text)).limitKey }
        #expect(try key("192.0.2.7") == "192.0.2.7")
        #expect(try key("::ffff:192.0.2.7") == "192.0.2.7")
        #expect(try key("2001:db8::1") == key("2001:db8:0:0:9::2"))
        #expect(try key("2001:db8::1") != key("2001:db8:0:1::1"))
        #expect(try key("1:2:3:4::5") == "0001000200030004/64")
    }
}

import Core
import Testing

@Suite struct IdentifierTests {
    @Test func aNewIdIsVersion7AndReadsBack() throws {
        let id = TenantID()
        let text = id.description
        #expect(text.count == 36)
        #expect(Array(text)[14] == "7")
        #expect("89ab".contains(Array(text)[19]))
        #expect(TenantID(text) == id)
        #expect(TenantID(text.uppercased()) == id)
    }

    @Test func laterIdsSortLater() {
        let earlier = RecordID(at: Timestamp(milliseconds: 1_700_000_000_000))
        let later = RecordID(at: Timestamp(milliseconds: 1_700_000_000_001))
        #expect(earlier < later)
        #expect(earlier.description < later.description)
    }

    /// Several threads at once, many ids in each millisecond: in every thread they rise, and no two are the same.
    @Test func idsOfOneProcessRiseInTheOrderTheyAreMade() async {
        let count = 20_000
        let threads = await withTaskGroup(of: [RecordID].self) { group in
            for _ in 0..<4 { group.addTask { (0..<count).map { _ in RecordID() } } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        for ids in threads { #expect(zip(ids, ids.dropFirst()).allSatisfy { $0 < $1 }) }
        #expect(Set(threads.joined().map(\.high)).count == 4 * count)
        #expect(threads.joined().allSatisfy { $0.high >> 12 & 0xF == 7 && $0.low >> 62 == 2 })
        // What they ran ahead of the clock is little, and of different kinds they are in one order.
        let before = TenantID()
        #expect(Int64(before.high >> 16) < Timestamp.now.milliseconds + 1000)
        #expect(before.description < RecordID().description)
    }

    @Test(arguments: [
        "", "x", "018f3d5e-0000-7000-8000-00000000000", "018f3d5e-0000-7000-8000-0000000000000", "018f3d5e00007000800000000000000000000",
        "{18f3d5e-0000-7000-8000-000000000000", "018f3d5e-0000-7000-8000-00000000000g", "018f3d5e_0000_7000_8000_000000000000",
    ])
    func anythingElseIsNoId(_ text: String) { #expect(RecordID(text) == nil) }

    @Test func base64urlHasOneSpelling() {
        for length in 0..<40 {
            let bytes = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 37 + length) }
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
        #expect(Base64URL.decode("QQ") == [0x41])
        for other in ["QR", "QQ==", "Q", "Q+", "QQ\n", "QUE="] { #expect(Base64URL.decode(other) == nil, "\(other)") }
    }
}

@Suite struct TimestampTests {
    @Test(arguments: [
        ("2026-01-31T09:30:00.000Z", 1_769_851_800_000), ("1970-01-01T00:00:00.000Z", 0), ("2024-02-29T23:59:59.999Z", 1_709_251_199_999),
        ("1969-12-31T23:59:59.999Z", -1), ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
    ])
    func writesAndReads(_ text: String, _ milliseconds: Int64) {
        #expect(Timestamp(milliseconds: milliseconds).description == text)
        #expect(Timestamp(text)?.milliseconds == milliseconds)
    }

    @Test func readsOffsetsAndFractions() {
        #expect(Timestamp("2026-01-31T10:30:00+01:00")?.description == "2026-01-31T09:30:00.000Z")
        #expect(Timestamp("2026-01-31T09:30:00.1Z")?.description == "2026-01-31T09:30:00.100Z")
        #expect(Timestamp("2026-01-31T09:30:00.123456789Z")?.description == "2026-01-31T09:30:00.123Z")
    }

    @Test(arguments: [
        "2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2026-01-31", "2026-01-31T24:00:00Z", "2026-01-31T09:30:60Z",
        "2026-01-31 09:30:00Z",
        "2026-01-31T09:30:00", "2026-01-31T09:30:00.Z", "2025-02-29T00:00:00Z", "0000-01-01T00:00:00Z", "2026-01-31T09:30:00+1:00", "now",
        "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
    ])
    func anythingElseIsNoTime(_ text: String) { #expect(Timestamp(text) == nil) }

    @Test func everyNumberOfMillisecondsCanBeWritten() {
        #expect(Timestamp(milliseconds: .min).description == "0001-01-01T00:00:00.000Z")
        #expect(Timestamp(milliseconds: .max).description == "9999-12-31T23:59:59.999Z")
    }
}

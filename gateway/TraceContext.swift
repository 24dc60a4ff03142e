/// The trace that a request belongs to (W3C Trace Context) and the gateway's span in it.
struct TraceContext {
    var traceHigh: UInt64 = 0
    var traceLow: UInt64 = 0
    var span: UInt64 = 0
    var isSampled = true

    /// A new trace.
    init(random: inout FastRandom) { self.init(inbound: UnsafeRawBufferPointer(start: nil, count: 0), random: &random) }

    /// Goes on with a valid inbound `traceparent`, or starts a new trace.
    init(inbound: UnsafeRawBufferPointer, random: inout FastRandom) {
        span = random.next() | 1
        // 00-<32 hex>-<16 hex>-<2 hex>
        if inbound.count == 55, inbound[0] == UInt8(ascii: "0"), inbound[1] == UInt8(ascii: "0"), inbound[2] == UInt8(ascii: "-"),
            inbound[35] == UInt8(ascii: "-"), inbound[52] == UInt8(ascii: "-"), let high = Self.hex(inbound, 3..<19),
            let low = Self.hex(inbound, 19..<35), let parent = Self.hex(inbound, 36..<52), let flags = Self.hex(inbound, 53..<55),
            high | low != 0, parent != 0
        {
            traceHigh = high
            traceLow = low
            isSampled = flags & 1 == 1
        } else {
            traceHigh = random.next()
            traceLow = random.next() | 1
        }
    }

    private static func hex(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64? {
        var value: UInt64 = 0
        for index in range {
            switch bytes[index] {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(bytes[index] - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(bytes[index] - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    func write(into writer: inout HeadWriter) {
        writer.put("traceparent: 00-")
        writer.put(hex: traceHigh)
        writer.put(hex: traceLow)
        writer.put("-")
        writer.put(hex: span)
        writer.put(isSampled ? "-01\r\n" : "-00\r\n")
    }
}

/// Whether the bytes may be kept as a request id: `[A-Za-z0-9._-]{1,64}`.
func isRequestID(_ bytes: UnsafeRawBufferPointer) -> Bool {
    guard (1...64).contains(bytes.count) else { return false }
    return bytes.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}

/// Random numbers for identifiers that need be unlike each other but not secret (xoshiro256**, seeded by the system).
struct FastRandom {
    private var state: (UInt64, UInt64, UInt64, UInt64)

    init() {
        var system = SystemRandomNumberGenerator()
        state = (system.next() | 1, system.next(), system.next(), system.next())
    }

    mutating func next() -> UInt64 {
        func rotate(_ value: UInt64, _ count: UInt64) -> UInt64 { value << count | value >> (64 - count) }
        let result = rotate(state.1 &* 5, 7) &* 9
        let shifted = state.1 << 17
        state.2 ^= state.0
        state.3 ^= state.1
        state.1 ^= state.2
        state.0 ^= state.3
        state.2 ^= shifted
        state.3 = rotate(state.3, 45)
        return result
    }
}

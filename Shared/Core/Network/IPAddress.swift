#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An IPv4 or IPv6 address as 16 bytes; IPv4 in its mapped form, so that both are compared alike.
public struct IPAddress: Hashable, Sendable {
    public let high: UInt64
    public let low: UInt64

    /// The 16 bytes of an IPv6 address as two numbers.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    public init(v4: UInt32) { self.init(high: 0, low: 0xFFFF_0000_0000 | UInt64(v4)) }

    /// `nil` for anything but an address; a zone is dropped.
    public init?(_ text: some StringProtocol) {
        var text = String(text)
        guard let address = text.withUTF8({ IPAddress(ascii: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = address
    }

    /// The same for text that is in memory as it came.
    public init?(ascii text: UnsafeRawBufferPointer) {
        let text = text.prefix { $0 != UInt8(ascii: "%") }
        // The longest text of an address, with the NUL behind it.
        let room = Int(INET6_ADDRSTRLEN)
        guard !text.isEmpty, text.count < room, !text.contains(0) else { return nil }
        let address = withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { memory -> IPAddress? in
            memory.copyBytes(from: text)
            memory[text.count] = 0
            return IPAddress(terminated: memory.assumingMemoryBound(to: CChar.self))
        }
        guard let address else { return nil }
        self = address
    }

    private init?(terminated text: UnsafeMutableBufferPointer<CChar>) {
        guard let text = text.baseAddress else { return nil }
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            self.init(v4: UInt32(bigEndian: v4.s_addr))
            return
        }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        self = withUnsafeBytes(of: &v6) {
            IPAddress(
                high: UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    public var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }

    /// What a limit per address counts: an IPv4 address, and of an IPv6 one the /64 that one customer has to himself.
    public var limitKey: String {
        if isV4 { return text }
        let digits = String(high, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits + "/64"
    }

    /// The address as text, IPv4 without its mapping.
    public var text: String {
        if isV4 { return (0..<4).map { String(low >> UInt64(24 - 8 * $0) & 255) }.joined(separator: ".") }
        var address = in6_addr()
        withUnsafeMutableBytes(of: &address) {
            $0.storeBytes(of: high.bigEndian, as: UInt64.self)
            $0.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(AF_INET6, &address, &buffer, socklen_t(buffer.count)) != nil else { return "" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// An IPv4 or IPv6 address as 16 bytes; IPv4 in its mapped form, so that both are compared alike.
struct IPAddress: Hashable, Sendable {
    let high: UInt64
    let low: UInt64

    /// `nil` for anything but an address; a zone is dropped.
    init?(_ text: some StringProtocol) {
        let text = String(text.prefix { $0 != "%" })
        var v4 = in_addr()
        if inet_pton(AF_INET, text, &v4) == 1 {
            high = 0
            low = 0xFFFF_0000_0000 | UInt64(UInt32(bigEndian: v4.s_addr))
            return
        }
        var v6 = in6_addr()
        guard inet_pton(AF_INET6, text, &v6) == 1 else { return nil }
        (high, low) = withUnsafeBytes(of: &v6) {
            (UInt64(bigEndian: $0.loadUnaligned(as: UInt64.self)), UInt64(bigEndian: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        }
    }

    var isV4: Bool { high == 0 && low >> 32 == 0xFFFF }

    /// What a limit per address counts: the address, and for IPv6 the /64 that one client has to himself.
    var limitKey: String { isV4 ? String(low, radix: 16) : "\(String(high, radix: 16))/64" }

    /// The address as text, IPv4 without its mapping.
    var text: String {
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

/// A range of addresses in CIDR form.
public struct AddressRange: Sendable, Hashable {
    private let network: IPAddress
    private let bits: Int

    /// Reads `10.0.0.0/8`, `fd00::/8`, or a single address; `nil` for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count <= 2, let network = IPAddress(parts[0]) else { return nil }
        let width = network.isV4 ? 32 : 128
        guard let prefix = parts.count == 2 ? Int(parts[1]) : width, (0...width).contains(prefix) else { return nil }
        self.network = network
        bits = 128 - width + prefix
    }

    func contains(_ address: IPAddress) -> Bool {
        func mask(_ bits: Int) -> UInt64 { bits <= 0 ? 0 : bits >= 64 ? .max : ~0 << UInt64(64 - bits) }
        return (address.high ^ network.high) & mask(bits) == 0 && (address.low ^ network.low) & mask(bits - 64) == 0
    }
}

/// Whose request it is, by address: the peer's, or, when a trusted proxy sends it, the last address in `X-Forwarded-For` that is
/// not a trusted proxy itself. What stands before it was written by the client and is not believed.
enum ClientAddress {
    static func resolve(peer: IPAddress, forwardedFor: String?, trusted: [AddressRange]) -> IPAddress {
        func isTrusted(_ address: IPAddress) -> Bool { trusted.contains { $0.contains(address) } }
        guard let forwardedFor, isTrusted(peer) else { return peer }
        var client = peer
        for entry in forwardedFor.split(separator: ",").reversed() {
            guard let address = IPAddress(entry.filter { $0 != " " }) else { break }
            client = address
            if !isTrusted(address) { break }
        }
        return client
    }
}

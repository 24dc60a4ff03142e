import Core

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

/// The field that proxies write the addresses of their clients into. Only the one of the settings is read: a proxy passes on what a
/// client wrote into the other.
public enum ForwardedField: String, Sendable {
    case xForwardedFor = "x-forwarded-for"
    /// RFC 7239.
    case forwarded
}

/// Which proxies stand before the gateway, and whose request it is by what they wrote.
struct TrustedProxies: Sendable {
    var networks: [AddressRange] = []
    /// How many there are; 0 where their networks tell them from clients.
    var hops = 0
    var field = ForwardedField.xForwardedFor

    /// More proxies in a row than anybody has; a client may write thousands of addresses that look like those of proxies.
    private static let longestChain = 32

    /// Whether the peer is in the networks of the proxies.
    func contains(_ peer: IPAddress) -> Bool { networks.contains { $0.contains(peer) } }

    /// Whether the peer passes for a proxy: where they are only counted, everybody does.
    func believes(_ peer: IPAddress) -> Bool { contains(peer) || hops > 0 && networks.isEmpty }

    /// Whose request it is, by address.
    ///
    /// Every proxy adds the address that it was spoken to from, so the list is read from its end. With ``hops`` it is the address that
    /// stands so many places from there, and the peer's where there are fewer or it is none; with networks the first one that is
    /// outside of them, or the last before something that is no address. What stands before it was written by the client. Where both are
    /// given, the networks say from which peers the list is believed, and the hops what is taken out of it.
    ///
    /// - Parameter bytes: The buffer that the head's slices are of.
    func client(of head: RequestHead, _ bytes: UnsafeRawBufferPointer, peer: IPAddress) -> IPAddress {
        let lines = field == .forwarded ? head.forwarded : head.forwardedFor
        guard !lines.isEmpty, believes(peer) else { return peer }
        var entries = ForwardedEntries(lines: lines[...], bytes: bytes, field: field)
        if hops > 0 {
            for _ in 1..<hops { guard entries.next() != nil else { return peer } }
            return entries.next().flatMap { entries.address(in: $0) } ?? peer
        }
        var client = peer
        for _ in 0..<Self.longestChain {
            guard let entry = entries.next(), let address = entries.address(in: entry) else { break }
            client = address
            if !contains(address) { break }
        }
        return client
    }
}

/// The elements of a list that may stand in several lines (RFC 9110, 5.6.1), the last one first. Read from its end a line gives what
/// the nearest proxy wrote, whatever quotes and commas stand before it.
private struct ForwardedEntries {
    var lines: ArraySlice<Slice>
    let bytes: UnsafeRawBufferPointer
    let field: ForwardedField
    /// What is left of the present line.
    private var rest: Range<Int>?

    init(lines: ArraySlice<Slice>, bytes: UnsafeRawBufferPointer, field: ForwardedField) {
        self.lines = lines
        self.bytes = bytes
        self.field = field
    }

    /// Empty elements are left out.
    mutating func next() -> Range<Int>? {
        while let range = rest ?? lines.popLast().map({ Int($0.start)..<$0.end }) {
            let start = lastElement(in: range)
            rest = start > range.lowerBound ? range.lowerBound..<start - 1 : nil
            let element = bytes.trimmed(start..<range.upperBound)
            if !element.isEmpty { return element }
        }
        return nil
    }

    /// Where the last element starts. One with an open quote takes in all before it, and so has no address.
    private func lastElement(in range: Range<Int>) -> Int {
        var isQuoted = false
        for position in range.reversed() {
            switch bytes[position] {
            case UInt8(ascii: ",") where !isQuoted: return position + 1
            case UInt8(ascii: "\"") where field == .forwarded && !isEscaped(position, in: range): isQuoted.toggle()
            default: break
            }
        }
        return range.lowerBound
    }

    private func isEscaped(_ position: Int, in range: Range<Int>) -> Bool {
        var start = position
        while start > range.lowerBound, bytes[start - 1] == UInt8(ascii: "\\") { start -= 1 }
        return (position - start) % 2 == 1
    }

    /// The address that an element names. Names that hide one have none: `unknown`, and those with an underscore (RFC 7239, 6.3).
    func address(in element: Range<Int>) -> IPAddress? {
        let node = field == .forwarded ? self.node(in: element) : element
        return node.flatMap { Self.address(of: UnsafeRawBufferPointer(rebasing: bytes[$0])) }
    }

    /// The value of `for` in pairs with semicolons between them (RFC 7239, section 4); `nil` unless there is exactly one.
    private func node(in element: Range<Int>) -> Range<Int>? {
        var found: Range<Int>?
        var start = element.lowerBound
        while start < element.upperBound {
            guard let end = pairEnd(from: start, to: element.upperBound) else { return nil }
            let pair = bytes.trimmed(start..<end)
            start = end + 1
            if pair.isEmpty { continue }
            guard let equals = bytes.firstIndex(of: UInt8(ascii: "="), from: pair.lowerBound, to: pair.upperBound) else { return nil }
            guard UnsafeRawBufferPointer(rebasing: bytes[pair.lowerBound..<equals]).isName("for") else { continue }
            guard found == nil else { return nil }
            let value = equals + 1..<pair.upperBound
            let isQuoted = value.count >= 2 && bytes[value.lowerBound] == UInt8(ascii: "\"")
            found = isQuoted ? value.lowerBound + 1..<value.upperBound - 1 : value
        }
        return found
    }

    /// `nil` when a quote is not closed.
    private func pairEnd(from start: Int, to end: Int) -> Int? {
        var position = start
        var isQuoted = false
        while position < end {
            switch bytes[position] {
            case UInt8(ascii: ";") where !isQuoted: return position
            case UInt8(ascii: "\\") where isQuoted: position += 1
            case UInt8(ascii: "\""): isQuoted.toggle()
            default: break
            }
            position += 1
        }
        return isQuoted ? nil : end
    }

    /// An address with or without brackets and port: `192.0.2.1:4711`, `[2001:db8::1]`, `[2001:db8::1]:443`, `2001:db8::1`.
    private static func address(of node: UnsafeRawBufferPointer) -> IPAddress? {
        func part(_ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: node[range]) }
        if node.first == UInt8(ascii: "[") {
            guard let end = node.firstIndex(of: UInt8(ascii: "]"), from: 1, to: node.count), isPort(part(end + 1..<node.count)) else {
                return nil
            }
            return IPAddress(ascii: part(1..<end))
        }
        guard let colon = node.firstIndex(of: UInt8(ascii: ":"), from: 0, to: node.count),
            node.firstIndex(of: UInt8(ascii: ":"), from: colon + 1, to: node.count) == nil
        else { return IPAddress(ascii: node) }
        return isPort(part(colon..<node.count)) ? IPAddress(ascii: part(0..<colon)) : nil
    }

    /// Nothing, or a colon with up to five digits, or with a name that hides them.
    private static func isPort(_ text: UnsafeRawBufferPointer) -> Bool {
        guard let colon = text.first else { return true }
        guard colon == UInt8(ascii: ":"), text.count > 1 else { return false }
        if text[1] == UInt8(ascii: "_") { return true }
        return text.count <= 6 && text.dropFirst().allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    }
}

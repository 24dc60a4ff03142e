import Contracts

/// Whether what the request says of its tenant agrees with its token. The token decides; the header and the subdomain may repeat it.
struct TenantResolution: Sendable {
    /// `.example.com`, or `nil` when subdomains mean nothing.
    private let suffix: [UInt8]?

    init(baseDomain: String?) { suffix = baseDomain.map { Array(".\($0)".utf8) } }

    /// - Parameters:
    ///   - tenant: The value of `X-Tenant`, empty when absent.
    ///   - host: The value of `Host`.
    func agrees(slug: [UInt8], tenant: UnsafeRawBufferPointer, host: UnsafeRawBufferPointer) -> Bool {
        if !tenant.isEmpty, !tenant.equals(slug) { return false }
        guard let suffix else { return true }
        let name = host.prefix { $0 != UInt8(ascii: ":") }
        guard name.count > suffix.count, Self.equalsIgnoringCase(name.suffix(suffix.count), suffix) else { return true }
        let subdomain = name.dropLast(suffix.count)
        // Such as `api`: no tenant can have one of these.
        if Slug.reserved.contains(String(decoding: subdomain, as: UTF8.self).lowercased()) { return true }
        return Self.equalsIgnoringCase(subdomain, slug)
    }

    private static func equalsIgnoringCase(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        func lower(_ byte: UInt8) -> UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte }
        return left.count == right.count && zip(left, right).allSatisfy { lower($0) == lower($1) }
    }
}

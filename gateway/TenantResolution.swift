import Contracts
import Core

/// Which tenant a request names by its subdomain or by `X-Tenant`. Where there is a token it decides, and they may repeat it; where there
/// is none, as at sign-in, the service is told what they name.
struct TenantResolution: Sendable {
    /// What a request without a token names.
    enum Name: Equatable {
        case none
        /// A slug in lower case.
        case tenant([UInt8])
        /// Header and subdomain disagree, or no tenant can have such a name.
        case impossible
    }

    /// `.example.com`, or `nil` when subdomains mean nothing.
    private let suffix: [UInt8]?

    /// - Parameter baseDomain: The domain with or without dots at its ends; nothing but dots is none.
    init(baseDomain: String?) {
        let labels = baseDomain?.split(separator: ".") ?? []
        suffix = labels.isEmpty ? nil : Array(".\(labels.joined(separator: "."))".utf8)
    }

    static let mismatch = Problem(.tenantMismatch, "The token belongs to another tenant than the request names.")
    static let impossible = Problem(.tenantMismatch, "X-Tenant and the host name two tenants, or one that cannot be.")

    /// - Parameters:
    ///   - tenant: The value of `X-Tenant`, empty when absent.
    ///   - host: The value of `Host`.
    func agrees(slug: [UInt8], tenant: UnsafeRawBufferPointer, host: UnsafeRawBufferPointer) -> Bool {
        if !tenant.isEmpty, !Self.equalsIgnoringCase(tenant, slug) { return false }
        guard let subdomain = subdomain(of: host) else { return true }
        return Self.equalsIgnoringCase(subdomain, slug) || Self.isHostOfAll(subdomain)
    }

    /// What a request without a token names; see ``agrees(slug:tenant:host:)``.
    func named(tenant: UnsafeRawBufferPointer, host: UnsafeRawBufferPointer) -> Name {
        let byHost = subdomain(of: host).flatMap { Self.isHostOfAll($0) ? nil : $0.map(Self.lowercased) }
        let byField = tenant.isEmpty ? nil : tenant.map(Self.lowercased)
        guard let name = byField ?? byHost else { return .none }
        guard byHost == nil || byHost == name, Slug.isValid(String(decoding: name, as: UTF8.self)) else { return .impossible }
        return .tenant(name)
    }

    /// The line that tells a service what the request names (``Call/namedTenant``).
    static func write(_ name: Name, into writer: inout HeadWriter) {
        guard case .tenant(let slug) = name else { return }
        writer.put("Martlet-Tenant: ")
        writer.put(slug)
        writer.put("\r\n")
    }

    private func subdomain(of host: UnsafeRawBufferPointer) -> Swift.Slice<UnsafeRawBufferPointer>? {
        guard let suffix else { return nil }
        var name = host.prefix { $0 != UInt8(ascii: ":") }
        // The same name, as the root of all may be written (RFC 1034, section 3.1).
        while name.last == UInt8(ascii: ".") { name.removeLast() }
        guard name.count > suffix.count, Self.equalsIgnoringCase(name.suffix(suffix.count), suffix) else { return nil }
        return name.dropLast(suffix.count)
    }

    /// Such as `api`: no tenant can have one of these but the platform's own.
    private static func isHostOfAll(_ subdomain: Swift.Slice<UnsafeRawBufferPointer>) -> Bool {
        let name = String(decoding: subdomain.map(lowercased), as: UTF8.self)
        return Slug.reserved.contains(name) && name != Slug.platform
    }

    private static func equalsIgnoringCase(_ left: some Collection<UInt8>, _ right: some Collection<UInt8>) -> Bool {
        left.count == right.count && zip(left, right).allSatisfy { lowercased($0) == lowercased($1) }
    }

    private static func lowercased(_ byte: UInt8) -> UInt8 {
        (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte
    }
}

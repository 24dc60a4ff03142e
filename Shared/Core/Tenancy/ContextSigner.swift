import Crypto
import Synchronization

/// Signs and verifies the header `Martlet-Context`, by which the gateway tells a service who calls, and services tell each other.
///
/// The value is `v1;<key id>;<claims>;<request id>;<deadline>;<address>;<mac>`. The claims are `-` (nobody), `s,<service>`,
/// `u,<tenant>,<user>,<session>,<role>,<permissions>,<scopes>,<plan>,<limits>[,<country>,,<currency>,<zone>[,<month>]]`, or the same of a member from whom
/// fields are hidden, `r,…,<country>,<fields>,<currency>,<zone>[,<month>]`: whoever does not know of rules refuses it. The month
/// that the fiscal year begins with is left out where it is January. They stay the same for a token and can be kept.
/// The MAC is HMAC-SHA256 (RFC 2104) over all before it and the request line's method and target, so a value serves one
/// request only, and only until its deadline.
///
/// While releases are exchanged, a reader meets values of a newer one. New claims go behind those of today, new parts of the value
/// before the MAC: what stands behind those known is left out, as is a limit that cannot be read. A caller of another kind than those
/// known is refused, as it must not pass for one of them.
public struct ContextSigner: Sendable {
    public static let headerName = "Martlet-Context"

    private struct Key: Sendable {
        let id: String
        let key: SymmetricKey
        /// The two hashes of HMAC (RFC 2104) with the key taken in already; copies of them start each value of
        /// ``ContextSigner/authenticationCode(of:)``, at a third of the cost of `HMAC`, which does that work anew.
        let inner: SHA256
        let outer: SHA256

        init(id: String, bytes: [UInt8]) {
            self.id = id
            key = SymmetricKey(data: bytes)
            var block = bytes.count > SHA256.blockByteCount ? Array(SHA256.hash(data: bytes)) : bytes
            block += [UInt8](repeating: 0, count: SHA256.blockByteCount - block.count)
            var inner = SHA256()
            inner.update(data: block.map { $0 ^ 0x36 })
            self.inner = inner
            var outer = SHA256()
            outer.update(data: block.map { $0 ^ 0x5C })
            self.outer = outer
        }

        /// HMAC-SHA256 (RFC 2104) over the parts one after another.
        func authenticationCode(of parts: [UnsafeRawBufferPointer]) -> SHA256Digest {
            var inner = inner
            for part in parts { inner.update(bufferPointer: part) }
            let digest = inner.finalize()
            var outer = outer
            digest.withUnsafeBytes { outer.update(bufferPointer: $0) }
            return outer.finalize()
        }
    }

    private let keys: [Key]
    private let known = KnownCallers()

    /// Reads `id:hex[,id:hex…]`; the first key signs, all verify, so that a key can be replaced without a gap.
    ///
    /// - Throws: ``ContextKeyError`` when the text is not of that form or a key is shorter than 32 bytes.
    public init(keys text: String) throws(ContextKeyError) {
        var keys: [Key] = []
        for part in text.split(separator: ",") {
            let halves = part.split(separator: ":", maxSplits: 1)
            guard halves.count == 2, let bytes = Hex.decode(halves[1]), bytes.count >= 32, !halves[0].contains(";") else {
                throw ContextKeyError()
            }
            keys.append(Key(id: String(halves[0]), bytes: bytes))
        }
        guard !keys.isEmpty else { throw ContextKeyError() }
        self.keys = keys
    }

    /// Keys for another purpose, one from each context key (HKDF, RFC 5869), so that no MAC made for one purpose serves another.
    func derivedKeys(for purpose: String) -> [SymmetricKey] {
        keys.map { HKDF<SHA256>.deriveKey(inputKeyMaterial: $0.key, info: Array("martlet \(purpose)".utf8), outputByteCount: 32) }
    }

    /// The claims part for a member, to be kept with the token that it came from.
    public static func claims(of context: RequestContext) -> String {
        let limits = context.limits.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: "&")
        let claims = [
            context.fields.isEmpty ? "u" : "r", context.tenant.description, context.user.description, context.session?.description ?? "-",
            context.role,
            context.permissions.encoded, context.scopes.encoded, context.plan, limits.isEmpty ? "-" : limits,
            context.country.flatMap { Country.code($0) } ?? "-", context.fields.encoded, Currency.code(context.currency) ?? "-",
            TimeZoneName.form(context.timeZone) ?? "-",
        ].joined(separator: ",")
        return context.fiscalYearStarts == FiscalYear.initial ? claims : "\(claims),\(context.fiscalYearStarts)"
    }

    public static let anonymousClaims = "-"

    /// The header's value.
    public func sign(_ caller: Caller, method: String, target: String) -> String {
        let claims =
            switch caller {
            case .anonymous: Self.anonymousClaims
            case .member(let context): Self.claims(of: context)
            case .service(let context): "s,\(context.service)"
            }
        return sign(claims: claims, edge: caller.edge, method: method, target: target)
    }

    /// The header's value for claims made before with ``claims(of:)``.
    public func sign(claims: String, edge: EdgeContext, method: String, target: String) -> String {
        var value = "v1;\(keys[0].id);\(claims);\(edge.requestID);\(edge.deadline.milliseconds);\(edge.address);"
        var signed = "\(value)\(method) \(target)"
        let mac = signed.withUTF8 { authenticationCode(of: UnsafeRawBufferPointer($0)) }
        value.append(Base64URL.encode(mac))
        return value
    }

    /// The id of the key that signs.
    public var keyID: String { keys[0].id }

    /// The MAC of bytes that spell a value up to its last semicolon and then the request line's method and target, for a
    /// caller that writes the header straight into its buffer. The 32 bytes go after the semicolon as base64url.
    public func authenticationCode(of input: UnsafeRawBufferPointer) -> SHA256Digest {
        keys[0].authenticationCode(of: [input])
    }

    /// Reads a header's value.
    ///
    /// - Throws: ``Problem`` `unauthenticated` when it is absent, malformed, signed with an unknown key, made for another
    ///   request, or past its deadline. The public text is the same for all.
    public func verify(_ value: String?, method: String, target: String, now: Timestamp = .now) throws(Problem) -> Caller {
        func refuse(_ context: String) -> Problem {
            Problem(.unauthenticated, "The request did not come through the gateway.", context: context)
        }
        guard var value else { throw refuse("no context") }
        guard value.utf8.count <= 4096 else { throw refuse("malformed context") }
        // Every request of a service comes through here: the fields are found in the bytes, once.
        let fields = value.withUTF8 { bytes -> Fields? in
            var cuts: [Int] = []
            cuts.reserveCapacity(8)
            for (index, byte) in bytes.enumerated() where byte == UInt8(ascii: ";") { cuts.append(index) }
            guard cuts.count >= 6, let last = cuts.last, bytes[..<cuts[0]].elementsEqual("v1".utf8) else { return nil }
            func text(_ field: Int) -> String { String(decoding: bytes[cuts[field - 1] + 1..<cuts[field]], as: UTF8.self) }
            return Fields(
                signed: last + 1, keyID: text(1), claims: text(2), requestID: text(3), deadline: Int64(text(4)), address: text(5),
                mac: Base64URL.decode(String(decoding: bytes[(last + 1)...], as: UTF8.self)))
        }
        guard let fields, let mac = fields.mac else { throw refuse("malformed context") }
        guard let key = keys.first(where: { $0.id == fields.keyID }) else { throw refuse("unknown context key") }
        var request = "\(method) \(target)"
        let expected = value.withUTF8 { value in
            request.withUTF8 { request in
                key.authenticationCode(of: [
                    UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(value)[..<fields.signed]), UnsafeRawBufferPointer(request),
                ])
            }
        }
        // Compares every byte, so that the time does not tell where the difference is.
        guard mac.count == SHA256.byteCount, zip(mac, expected).reduce(0, { $0 | ($1.0 ^ $1.1) }) == 0 else {
            throw refuse("wrong context signature")
        }
        guard let milliseconds = fields.deadline else { throw refuse("malformed context") }
        let edge = EdgeContext(requestID: fields.requestID, deadline: Timestamp(milliseconds: milliseconds), address: fields.address)
        guard edge.deadline > now else { throw refuse("context past its deadline") }
        guard let caller = known.caller(claims: fields.claims, edge: edge) else { throw refuse("malformed context claims") }
        return caller
    }

    private struct Fields {
        /// Bytes before the MAC.
        var signed: Int
        var keyID: String
        var claims: String
        var requestID: String
        var deadline: Int64?
        var address: String
        var mac: [UInt8]?
    }

    /// Callers by their claims, which are the same for every request with one token: reading them is most of the work.
    private final class KnownCallers: Sendable {
        private static let capacity = 1000
        private let callers = Mutex<[String: Caller]>([:])

        /// Only for claims whose signature was verified.
        func caller(claims: String, edge: EdgeContext) -> Caller? {
            if let known = callers.withLock({ $0[claims] }) { return known.with(edge) }
            guard let caller = ContextSigner.caller(claims: claims[...], edge: edge) else { return nil }
            callers.withLock { callers in
                if callers.count >= Self.capacity { callers.removeAll(keepingCapacity: true) }
                callers[claims] = caller
            }
            return caller
        }
    }

    private static func caller(claims: Substring, edge: EdgeContext) -> Caller? {
        if claims == anonymousClaims { return .anonymous(edge) }
        let fields = claims.split(separator: ",", omittingEmptySubsequences: false)
        if fields.count >= 2, fields[0] == "s" {
            return .service(SystemContext(service: String(fields[1]), edge: edge))
        }
        guard fields.count >= 9, fields[0] == "u" || fields[0] == "r" && fields.count > 10, let tenant = TenantID(fields[1]),
            let user = UserID(fields[2]),
            let permissions = PermissionSet(encoded: fields[5]), let scopes = RowScopes(encoded: fields[6]),
            let rules = fields.count > 10 ? FieldRules(encoded: fields[10]) : FieldRules.none
        else { return nil }
        var limits: [String: Int] = [:]
        if fields[8] != "-" {
            for pair in fields[8].split(separator: "&") {
                let halves = pair.split(separator: "=")
                if halves.count == 2, let number = Int(halves[1]) { limits[String(halves[0])] = number }
            }
        }
        return .member(
            RequestContext(
                tenant: tenant, user: user, session: SessionID(fields[3]), role: String(fields[4]), permissions: permissions,
                scopes: scopes, fields: rules, plan: String(fields[7]), limits: limits,
                country: fields.count > 9 ? Country.code(fields[9]) : nil,
                currency: fields.count > 11 ? Currency.code(fields[11]) ?? Currency.initial : Currency.initial,
                timeZone: fields.count > 12 ? TimeZoneName.form(fields[12]) ?? TimeZoneName.initial : TimeZoneName.initial,
                fiscalYearStarts: fields.count > 13
                    ? Int(fields[13]).flatMap { FiscalYear.start($0) } ?? FiscalYear.initial : FiscalYear.initial,
                edge: edge))
    }
}

/// The setting that holds the context keys is malformed.
public struct ContextKeyError: Error, CustomStringConvertible {
    public var description: String { "expected id:hex[,id:hex…] with at least 32 bytes (64 hexadecimal digits) a key" }
}

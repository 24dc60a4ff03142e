import Crypto

/// Signs and verifies the header `Martlet-Context`, by which the gateway tells a service who calls, and services tell each other.
///
/// The value is `v1;<key id>;<claims>;<request id>;<deadline>;<address>;<mac>`. The claims are `-` (nobody), `s,<service>`, or
/// `u,<tenant>,<user>,<session>,<role>,<permissions>,<scopes>,<plan>,<limits>`, which stay the same for a token and can be kept.
/// The MAC is HMAC-SHA256 (RFC 2104) over all before it and the request line's method and target, so a value serves one
/// request only, and only until its deadline.
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
    }

    private let keys: [Key]

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
        return [
            "u", context.tenant.description, context.user.description, context.session?.description ?? "-", context.role,
            context.permissions.encoded, context.scopes.encoded, context.plan, limits.isEmpty ? "-" : limits,
        ].joined(separator: ",")
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
        let mac = Self.mac(of: value, method: method, target: target, key: keys[0].key)
        value.append(Base64URL.encode(mac))
        return value
    }

    /// The id of the key that signs.
    public var keyID: String { keys[0].id }

    /// The MAC of bytes that spell a value up to its last semicolon and then the request line's method and target, for a
    /// caller that writes the header straight into its buffer. The 32 bytes go after the semicolon as base64url.
    public func authenticationCode(of input: UnsafeRawBufferPointer) -> SHA256Digest {
        var inner = keys[0].inner
        inner.update(bufferPointer: input)
        let digest = inner.finalize()
        var outer = keys[0].outer
        digest.withUnsafeBytes { outer.update(bufferPointer: $0) }
        return outer.finalize()
    }

    private static func mac(of value: String, method: String, target: String, key: SymmetricKey) -> HMAC<SHA256>.MAC {
        var input = value
        input.append(method)
        input.append(" ")
        input.append(target)
        return input.withUTF8 { HMAC<SHA256>.authenticationCode(for: UnsafeRawBufferPointer($0), using: key) }
    }

    /// Reads a header's value.
    ///
    /// - Throws: ``Problem`` `unauthenticated` when it is absent, malformed, signed with an unknown key, made for another
    ///   request, or past its deadline. The public text is the same for all.
    public func verify(_ value: String?, method: String, target: String, now: Timestamp = .now) throws(Problem) -> Caller {
        func refuse(_ context: String) -> Problem {
            Problem(.unauthenticated, "The request did not come through the gateway.", context: context)
        }
        guard let value else { throw refuse("no context") }
        guard value.utf8.count <= 4096, let cut = value.lastIndex(of: ";") else { throw refuse("malformed context") }
        let signed = String(value[...cut])
        let parts = signed.split(separator: ";", omittingEmptySubsequences: false)
        guard parts.count == 7, parts[0] == "v1", let mac = Base64URL.decode(value[value.index(after: cut)...]) else {
            throw refuse("malformed context")
        }
        guard let key = keys.first(where: { $0.id == parts[1] }) else { throw refuse("unknown context key") }
        var input = signed
        input.append(method)
        input.append(" ")
        input.append(target)
        // Compares in constant time.
        let isValid = input.withUTF8 {
            HMAC<SHA256>.isValidAuthenticationCode(mac, authenticating: UnsafeRawBufferPointer($0), using: key.key)
        }
        guard isValid else { throw refuse("wrong context signature") }
        guard let milliseconds = Int64(parts[4]) else { throw refuse("malformed context") }
        let edge = EdgeContext(requestID: String(parts[3]), deadline: Timestamp(milliseconds: milliseconds), address: String(parts[5]))
        guard edge.deadline > now else { throw refuse("context past its deadline") }
        guard let caller = Self.caller(claims: parts[2], edge: edge) else { throw refuse("malformed context claims") }
        return caller
    }

    private static func caller(claims: Substring, edge: EdgeContext) -> Caller? {
        if claims == anonymousClaims { return .anonymous(edge) }
        let fields = claims.split(separator: ",", omittingEmptySubsequences: false)
        if fields.count == 2, fields[0] == "s" {
            return .service(SystemContext(service: String(fields[1]), edge: edge))
        }
        guard fields.count == 9, fields[0] == "u", let tenant = TenantID(fields[1]), let user = UserID(fields[2]),
            let permissions = PermissionSet(encoded: fields[5]), let scopes = RowScopes(encoded: fields[6])
        else { return nil }
        var limits: [String: Int] = [:]
        if fields[8] != "-" {
            for pair in fields[8].split(separator: "&") {
                let halves = pair.split(separator: "=")
                guard halves.count == 2, let number = Int(halves[1]) else { return nil }
                limits[String(halves[0])] = number
            }
        }
        return .member(
            RequestContext(
                tenant: tenant, user: user, session: SessionID(fields[3]), role: String(fields[4]), permissions: permissions,
                scopes: scopes, plan: String(fields[7]), limits: limits, edge: edge))
    }
}

/// The setting that holds the context keys is malformed.
public struct ContextKeyError: Error, CustomStringConvertible {
    public var description: String { "expected id:hex[,id:hex…] with at least 32 bytes (64 hexadecimal digits) a key" }
}

import Crypto

/// Signs the header `Martlet-Context` for one process that is called: by it the gateway tells a service who calls, and services tell each other.
///
/// The value is `v2;<key id>;<caller>;<claims>;<request id>;<deadline>;<address>;<body>;<mac>`. The caller is the process that signs. The claims
/// are `-` (nobody), `s` (the caller itself), `u,<tenant>,<user>,<session>,<role>,<permissions>,<scopes>,<plan>,<limits>[,<country>,,<currency>,<zone>[,<month>]]`,
/// or the same of a member from whom fields are hidden, `r,…,<country>,<fields>,<currency>,<zone>[,<month>]`: whoever does not know of rules
/// refuses it. The month that the fiscal year begins with is left out where it is January. They stay the same for a token and can be kept.
/// The body is described by ``ContextBody``.
///
/// The MAC is HMAC-SHA256 (RFC 2104), with a key that only the two processes have, over all before it and the request line's method and
/// target. So a value serves, at the process that it was made for, the one request that it was made for: the same method, target and body.
/// That request it serves as often as it is sent, until the deadline; other header fields are not covered (Shared/Decisions/0037).
///
/// While releases are exchanged, a reader meets values of a newer one. New claims go behind those of today, new parts of the value
/// before the MAC: what stands behind those known is left out, as is a limit that cannot be read. A caller of another kind than those
/// known is refused, as it must not pass for one of them.
public struct ContextSigner: Sendable {
    public static let headerName = "Martlet-Context"

    /// How far ahead a deadline may be at most: the longest time that a gateway can be set to give a request.
    public static let longestLife = Duration.seconds(600)

    private let key: ContextKey

    /// What every value begins with, up to the claims: `v2;<key id>;<caller>;`.
    public let prefix: [UInt8]

    init(key: ContextKey) {
        self.key = key
        prefix = Array("v2;".utf8) + key.name + [UInt8(ascii: ";")]
    }

    /// The header's value. Of a service only the kind is told: its name is that of the key.
    public func sign(_ caller: Caller, method: String, target: String, body: ContextBody = .none) -> String {
        let claims =
            switch caller {
            case .anonymous: Self.anonymousClaims
            case .member(let context): Self.claims(of: context)
            case .service: Self.serviceClaims
            }
        return sign(claims: claims, edge: caller.edge, method: method, target: target, body: body)
    }

    /// The header's value for claims made before with ``claims(of:)``.
    public func sign(claims: String, edge: EdgeContext, method: String, target: String, body: ContextBody = .none) -> String {
        var value = String(decoding: prefix, as: UTF8.self)
        value += "\(claims);\(edge.requestID);\(edge.deadline.milliseconds);\(edge.address);\(body);"
        var line = "\(method) \(target)"
        let mac = value.withUTF8 { value in
            line.withUTF8 { line in
                authenticationCode(of: UnsafeRawBufferPointer(value), requestLine: UnsafeRawBufferPointer(line))
            }
        }
        value.append(Base64URL.encode(mac))
        return value
    }

    /// For a caller that writes the header straight into its buffer, without a text: the MAC, whose 32 bytes go behind the value as base64url.
    ///
    /// - Parameters:
    ///   - value: ``prefix``, the parts up to and with the body's (see ``ContextBody``), each with its semicolon.
    ///   - requestLine: method, space and target, as they are sent.
    public func authenticationCode(of value: UnsafeRawBufferPointer, requestLine: UnsafeRawBufferPointer) -> SHA256Digest {
        key.authenticationCode { hash in
            hash.update(bufferPointer: value)
            hash.update(bufferPointer: requestLine)
        }
    }
}

/// What a signed context says of the body of its request.
public enum ContextBody: Sendable, Equatable, CustomStringConvertible {
    /// There is none; the part is empty.
    case none
    /// The SHA-256 of all of it, without framing; the part is its base64url, 43 characters.
    case digest([UInt8])
    /// It was not there when the request was sent on; the part is `-`. Only a route that takes its body as a stream accepts that.
    case streamed

    /// Of a body that is all there.
    public static func whole(_ body: [UInt8]) -> ContextBody { body.isEmpty ? .none : .digest(Array(SHA256.hash(data: body))) }

    init?(part: some Collection<UInt8>) {
        if part.isEmpty {
            self = .none
        } else if part.elementsEqual([UInt8(ascii: "-")]) {
            self = .streamed
        } else {
            guard let bytes = Base64URL.decode(String(decoding: part, as: UTF8.self)), bytes.count == SHA256.byteCount else { return nil }
            self = .digest(bytes)
        }
    }

    public var description: String {
        switch self {
        case .none: ""
        case .digest(let bytes): Base64URL.encode(bytes)
        case .streamed: "-"
        }
    }
}

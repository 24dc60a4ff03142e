import Core
import Crypto

/// The `Idempotency-Key` of one request: a write that carries one takes effect once, and a repeat gets the same answer.
///
/// The key's row is written in the write's own transaction, so there is never a key without its effect nor an effect without its
/// key. A route makes one from its call, adds ``insertion(as:status:body:etag:)`` to its batch, and runs the batch inside
/// ``guarding(_:as:on:_:)``. Keys are kept for 24 hours, for each tenant, caller and route.
public struct IdempotencyKey: Sendable {
    /// 1…255 visible ASCII characters, as it was sent.
    public let key: String
    /// Method and template of the route: `POST /v1/leads`.
    public let route: String
    /// SHA-256 of method, path, query and the value of the body, in hexadecimal; under a key of the route's, an HMAC of that.
    public let fingerprint: String

    public static let headerName = Operation.Parameter.idempotencyKey.name
    /// On an answer that was given before.
    public static let replayed = (name: Operation.Header.replayed.name.lowercased(), value: "true")

    init(key: String, route: String, fingerprint: String) {
        self.key = key
        self.route = route
        self.fingerprint = fingerprint
    }

    /// Reads the key of a request; `nil` when it has none.
    ///
    /// - Parameters:
    ///   - body: the call's body where it has been read already; else it is read here.
    ///   - secret: for a body with a password in it. The fingerprint is made with this key, which is not in the database, so that
    ///     nobody who reads the row can try passwords against it.
    /// - Throws: ``Problem`` `invalid_parameter` for an empty key, one of more than 255 characters, or one with other characters
    ///   than visible ASCII, and for a header that occurs twice.
    public init?(_ call: Call, body: JSON? = nil, fingerprintKey secret: SymmetricKey? = nil) throws(Problem) {
        let values = call.headers.filter { $0.name == "idempotency-key" }
        guard let key = values.first?.value else { return nil }
        guard values.count == 1, (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            let detail = "Expected one Idempotency-Key of 1 to 255 visible ASCII characters."
            throw Problem(
                .invalidParameter, detail, faults: [.init(pointer: Self.headerName, code: .invalidParameter, detail: detail)])
        }
        let digest = Self.digest(of: call, body)
        let fingerprint =
            secret.map { Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(digest), using: $0)) } ?? Hex.encode(digest)
        self.init(key: key, route: "\(call.method.rawValue) \(call.route)", fingerprint: fingerprint)
    }

    private static func digest(of call: Call, _ json: JSON?) -> SHA256.Digest {
        var input: [UInt8] = []
        input.reserveCapacity(call.body.count + 256)
        func add(_ bytes: some Collection<UInt8>) {
            // Lengths keep the parts apart: no two requests give the same input.
            input.append(contentsOf: "\(bytes.count):".utf8)
            input.append(contentsOf: bytes)
        }
        add(call.method.rawValue.utf8)
        add(call.path.utf8)
        for item in call.query.items {
            add(item.name.utf8)
            add(item.value.utf8)
        }
        // A client that repeats may write the same value anew: other blanks, another order of members, é or \u00e9.
        add((json ?? (try? call.json()))?.canonical.bytes ?? call.body)
        return SHA256.hash(data: input)
    }

    /// The key of one operation of a batch whose operations commit by themselves.
    func operation(_ index: Int) -> IdempotencyKey {
        IdempotencyKey(key: "\(key)#\(index)", route: "\(route) operation", fingerprint: fingerprint)
    }
}

extension Call {
    /// Refuses an `Idempotency-Key` where the answer holds secrets: to replay it would mean to store them
    /// (`Shared/Decisions/0007-secrets-are-not-kept-for-a-replay.md`).
    ///
    /// - Throws: ``Problem`` `invalid_parameter`.
    public func refuseIdempotencyKey() throws(Problem) {
        guard header("idempotency-key") != nil else { return }
        let detail = "This route takes no Idempotency-Key: its answer holds secrets, which are not kept for a replay."
        throw Problem(
            .invalidParameter, detail, faults: [.init(pointer: IdempotencyKey.headerName, code: .notAllowed, detail: detail)])
    }
}

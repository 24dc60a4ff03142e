import Core
import Crypto
import Postgres

/// The `Idempotency-Key` of one request: a write that carries one takes effect once, and a repeat gets the same answer.
///
/// The key's row is written in the write's own transaction, so there is never a key without its effect nor an effect without its
/// key. A route makes one from its call, adds ``insertion(as:status:body:)`` to its batch, and runs the batch inside
/// ``guarding(_:on:_:)``. Keys are kept for 24 hours, for each tenant, caller and route.
public struct Idempotency: Sendable {
    /// 1…255 visible ASCII characters, as it was sent.
    public let key: String
    /// Method and template of the route: `POST /v1/leads`.
    public let route: String
    /// SHA-256 of method, path, query and body, in hexadecimal; under a key of the route's, an HMAC of that.
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
    /// - Parameter secret: for a body with a password in it. The fingerprint is made with this key, which is not in the database, so
    ///   that nobody who reads the row can try passwords against it.
    /// - Throws: ``Problem`` `invalid_parameter` for an empty key, one of more than 255 characters, or one with other characters
    ///   than visible ASCII, and for a header that occurs twice.
    public init?(_ call: Call, fingerprintKey secret: SymmetricKey? = nil) throws(Problem) {
        let values = call.headers.filter { $0.name == "idempotency-key" }
        guard let key = values.first?.value else { return nil }
        guard values.count == 1, (1...255).contains(key.utf8.count), key.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            let detail = "Expected one Idempotency-Key of 1 to 255 visible ASCII characters."
            throw Problem(
                .invalidParameter, detail, faults: [.init(pointer: Self.headerName, code: "invalid_parameter", detail: detail)])
        }
        var hash = SHA256()
        func add(_ bytes: some Collection<UInt8>) {
            // Lengths keep the parts apart: no two requests give the same input.
            hash.update(data: Array("\(bytes.count):".utf8))
            hash.update(data: Array(bytes))
        }
        add(call.method.rawValue.utf8)
        add(call.path.utf8)
        for item in call.query.items {
            add(item.name.utf8)
            add(item.value.utf8)
        }
        add(call.body)
        let digest = hash.finalize()
        let fingerprint =
            secret.map { Hex.encode(HMAC<SHA256>.authenticationCode(for: Array(digest), using: $0)) } ?? Hex.encode(digest)
        self.init(key: key, route: "\(call.method.rawValue) \(call.route)", fingerprint: fingerprint)
    }

    /// The key of one operation of a batch whose operations commit by themselves.
    func operation(_ index: Int) -> Idempotency {
        Idempotency(key: "\(key)#\(index)", route: "\(route) operation", fingerprint: fingerprint)
    }

    /// Records the answer of a hand-written route; the last statement of the write's batch.
    ///
    /// - Parameter etag: the header's value, when the answer has one: a replay has it too.
    public func insertion(as context: RequestContext, status: Int, body: [UInt8], etag: String? = nil) -> SQL {
        let answer = [String(decoding: body, as: UTF8.self)] + (etag.map { [$0] } ?? [])
        return """
            insert into idempotency_key (tenant_id, caller, route, key, fingerprint, status, answer) \
            values (\(context.tenant), \(context.user), \(route), \(key), \(fingerprint), \(status), \
            \(answer))
            """
    }

    /// The columns and values before the answer, for an insert that selects from the written row.
    func columns(as context: RequestContext, status: Int) -> SQL {
        """
        insert into idempotency_key (tenant_id, caller, route, key, fingerprint, status, answer) \
        select \(context.tenant)::uuid, \(context.user)::uuid, \(route)::text, \(key)::text, \(fingerprint)::text, \
        \(status)::integer,
        """
    }

    /// Claims the key until the end of the transaction, for a write that records it last: `false` while another transaction has it.
    /// An advisory lock, so that nobody waits.
    func claim(as context: RequestContext) -> SQL {
        let name = [context.tenant.description, context.user.description, route, key].joined(separator: " ")
        return "select pg_try_advisory_xact_lock(hashtextextended(\(name), 0))"
    }

    /// Finds what was answered before: one row for each element of the answer.
    func lookup(as context: RequestContext) -> SQL {
        """
        select stored.fingerprint, stored.status, element.value from idempotency_key as stored \
        left join lateral unnest(stored.answer) with ordinality as element (value, place) on true \
        where stored.tenant_id = \(context.tenant) and stored.caller = \(context.user) and stored.route = \(route) \
        and stored.key = \(key) order by element.place
        """
    }

    /// An answer that was given before.
    struct Stored: Sendable {
        var status: Int
        var cells: [[UInt8]?]
    }

    /// - Throws: ``Problem`` `idempotency_key_reused` when the key came with another request.
    func stored(in result: PostgresResult) throws -> Stored? {
        guard let first = result.first else { return nil }
        guard try first.decode(0, as: String.self) == fingerprint else {
            throw Problem(.idempotencyKeyReused, "This Idempotency-Key was sent before with another request. Use a new key.")
        }
        return Stored(
            status: try first.decode(1),
            cells: result.map { row in row.withBytes(2) { bytes in bytes.map { Array($0) } } })
    }

    /// What a failed write means for a request with this key: the stored answer when an earlier one succeeded, whatever the
    /// failure is (a retry may fail for another reason than its key, as at a limit that it has reached itself).
    func recover(from error: PostgresError, as context: RequestContext, on postgres: PostgresClient) async throws -> Stored? {
        guard error.sqlState != nil else { return nil }
        if let stored = try stored(in: try await postgres.batch(as: context, [lookup(as: context)])[0]) { return stored }
        if error.constraint == "idempotency_key_pkey" { throw Self.inProgress }
        if error.sqlState == "55P03", try await isHeld(as: context, on: postgres) { throw Self.inProgress }
        return nil
    }

    /// Whether a transaction that is still open has written the key. A write that waited too long for a lock asks: it may have
    /// been the key's, or any other that it takes.
    ///
    /// Tries to write the key too, waiting hardly at all, and always fails, so that nothing stays.
    func isHeld(as context: RequestContext, on postgres: PostgresClient) async throws -> Bool {
        do {
            _ = try await postgres.transaction(as: context) { transaction in
                try await transaction.batch([
                    "select set_config('lock_timeout', '10ms', true)", insertion(as: context, status: 200, body: []),
                ])
                throw KeyIsFree()
            }
            return false
        } catch is KeyIsFree {
            return false
        } catch let error as PostgresError {
            // A key that was written in the meantime is told by the next repeat.
            return error.sqlState == "55P03" || error.constraint == "idempotency_key_pkey"
        }
    }

    private struct KeyIsFree: Error {}

    static let inProgress = Problem(
        .idempotencyInProgress, "A request with this Idempotency-Key has not finished. Repeat it in a moment.", retryAfter: 1)

    /// Runs a hand-written route's write, or answers as before when it took effect already.
    ///
    /// - Parameter idempotency: `nil` runs the write as it is.
    /// - Throws: What the write throws; ``Problem`` `idempotency_key_reused`, or `idempotency_in_progress` while another request
    ///   with the key runs.
    public static func guarding(
        _ idempotency: Idempotency?, as context: RequestContext, on postgres: PostgresClient, _ write: () async throws -> Reply
    ) async throws -> Reply {
        do {
            return try await write()
        } catch let error as PostgresError {
            guard let stored = try await idempotency?.recover(from: error, as: context, on: postgres) else { throw error }
            return replay(stored)
        } catch let problem as Problem {
            // A repeat may be refused because the first took effect: what it removed is no longer there.
            guard let idempotency, problem.code.status < 500, let reply = try await idempotency.earlierReply(as: context, on: postgres)
            else { throw problem }
            return reply
        }
    }

    /// What was answered before, if anything: for a route that must not even try its write again.
    ///
    /// - Throws: ``Problem`` `idempotency_key_reused`.
    public func earlierReply(as context: RequestContext, on postgres: PostgresClient) async throws -> Reply? {
        try stored(in: try await postgres.batch(as: context, [lookup(as: context)])[0]).map(Self.replay)
    }

    private static func replay(_ stored: Stored) -> Reply {
        var headers = [replayed]
        if stored.cells.count > 1, let etag = stored.cells[1] { headers.append(("etag", String(decoding: etag, as: UTF8.self))) }
        guard let body = stored.cells.first, let body, !body.isEmpty else { return Reply(status: stored.status, headers: headers) }
        return .json(body, status: stored.status, headers: headers)
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
            .invalidParameter, detail, faults: [.init(pointer: Idempotency.headerName, code: "not_allowed", detail: detail)])
    }
}

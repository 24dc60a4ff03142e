import Core
import Postgres

/// The SQL of the table `idempotency_key`.
extension IdempotencyKey {
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

    /// The same without a body, where the source has a row: for a statement that may do nothing.
    public func insertion(as context: RequestContext, status: Int, from source: SQL) -> SQL {
        columns(as: context, status: "\(status)::integer") + " array['']::text[] from " + source
    }

    /// The same of an answer that the statement makes: expressions on the source's row, where it has one.
    ///
    /// - Parameter version: of the record, for the entity tag.
    public func insertion(as context: RequestContext, status: SQL, body: SQL, version: SQL, from source: SQL) -> SQL {
        columns(as: context, status: status) + " array[" + body + ", '\"' || " + version + " || '\"'] from " + source
    }

    /// The columns and values before the answer, for an insert that selects from the written row.
    func columns(as context: RequestContext, status: SQL) -> SQL {
        """
        insert into idempotency_key (tenant_id, caller, route, key, fingerprint, status, answer) \
        select \(context.tenant)::uuid, \(context.user)::uuid, \(route)::text, \(key)::text, \(fingerprint)::text, \
        \(status),
        """
    }

    /// Claims the key until the end of the transaction, for a write that records it last: `false` while another transaction has it.
    /// An advisory lock, so that nobody waits.
    func claim(as context: RequestContext) -> SQL {
        let name = [context.tenant.description, context.user.description, route, key].joined(separator: " ")
        return "select pg_try_advisory_xact_lock(hashtextextended(\(name), 0))"
    }

    /// Finds what was answered before: one row for each element of the answer, for ``stored(in:)``.
    func lookup(as context: RequestContext) -> SQL {
        """
        select stored.fingerprint, stored.status, element.value from idempotency_key as stored \
        left join lateral unnest(stored.answer) with ordinality as element (value, place) on true \
        where stored.tenant_id = \(context.tenant) and stored.caller = \(context.user) and stored.route = \(route) \
        and stored.key = \(key) order by element.place
        """
    }

    /// - Throws: ``Problem`` `idempotency_key_reused` when the key came with another request.
    func stored(in result: PostgresResult) throws -> StoredAnswer? {
        guard let first = result.first else { return nil }
        guard try first.decode(0, as: String.self) == fingerprint else {
            throw Problem(.idempotencyKeyReused, "This Idempotency-Key was sent before with another request. Use a new key.")
        }
        return StoredAnswer(
            status: try first.decode(1),
            cells: result.map { row in row.withBytes(2) { bytes in bytes.map { Array($0) } } })
    }
}

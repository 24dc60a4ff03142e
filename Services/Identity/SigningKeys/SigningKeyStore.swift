import Contracts
import Core
import Crypto
import Postgres

/// The table of signing keys.
struct SigningKeyStore: Sendable {
    let postgres: PostgresClient
    let seal: KeySeal

    /// How long a new key is published before it signs: longer than any process or gateway keeps a set of keys.
    static let notice: Duration = .seconds(120)

    /// All keys, the newest first.
    ///
    /// - Throws: ``KeySealError``.
    func keys() async throws -> [SigningKey] {
        let rows = try await postgres.batch(
            as: SystemContext(service: "identity"),
            ["select id, sealed_private_key, signs_from from signing_key order by signs_from desc, id desc"])[0]
        return try rows.map { row in
            try seal.open(row.decode("sealed_private_key"), id: row.decode("id"), signsFrom: row.decode("signs_from"))
        }
    }

    /// Makes a key when there is none, or when the newest is older than `period`; removes those whose last token has expired.
    /// The lock makes one key of what several processes try at once.
    ///
    /// - Returns: whether a key was made.
    func rotate(every period: Duration) async throws -> Bool {
        let now = Timestamp.now
        let first = SigningKey(signsFrom: now)
        let next = SigningKey(signsFrom: now.advanced(by: Self.notice))
        let results = try await postgres.batch(
            as: SystemContext(service: "identity"),
            [
                "select pg_advisory_xact_lock(hashtextextended('identity signing keys', 0))",
                try insert(first, where: "not exists (select from signing_key)"),
                try insert(
                    next,
                    where: """
                        exists (select from signing_key)
                        and not exists (select from signing_key where signs_from > \(now.advanced(by: .zero - period)))
                        """),
                // The old key signed until its successor began.
                """
                delete from signing_key as old where exists (
                    select from signing_key as successor
                    where successor.signs_from > old.signs_from and successor.signs_from < \(now.advanced(by: .zero - AccessClaims.longestValidity)))
                """,
            ])
        return results[1].affectedRows + results[2].affectedRows > 0
    }

    private func insert(_ key: SigningKey, where condition: SQL) throws -> SQL {
        """
        insert into signing_key (id, public_key, sealed_private_key, signs_from)
        select \(key.id), \(Base64URL.encode(key.privateKey.publicKey.rawRepresentation)), \(try seal.seal(key)), \(key.signsFrom)
        where \(condition)
        """
    }
}

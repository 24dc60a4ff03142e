import Contracts
import Core
import Postgres
import Resources

/// People and their credentials. They belong to no tenant, so each query runs without one.
struct UserStore: Sendable {
    let postgres: PostgresClient

    /// A user with the hash that a sign-in is checked against.
    struct Account: Sendable {
        let user: User
        let passwordHash: PasswordHash?
    }

    func findAccount(email: EmailAddress, as context: SystemContext) async throws -> Account? {
        try await findAccount(where: "email_key = \(email.key)", as: context)
    }

    func findAccount(_ id: UserID, as context: SystemContext) async throws -> Account? {
        try await findAccount(where: "user_account.id = \(id)", as: context)
    }

    private func findAccount(where condition: SQL, as context: SystemContext) async throws -> Account? {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(User.columns), credential.password_hash
                from user_account left join credential on credential.user_id = user_account.id where \(condition)
                """
            ])[0]
        return try rows.first.map { row in
            Account(
                user: try User(row: row),
                passwordHash: try row.decode("password_hash", as: String?.self).flatMap { PasswordHash($0) })
        }
    }

    func find(_ id: UserID, as context: SystemContext) async throws -> User? {
        let rows = try await postgres.batch(as: context, ["select \(User.columns) from user_account where id = \(id)"])[0]
        return try rows.first.map(User.init)
    }

    /// Changes the caller's name; without one all stays as it is.
    ///
    /// - Parameter answer: makes the body and the tag that a repeat with the key is answered with.
    /// - Throws: ``Problem`` `token_stale` when the user is gone, `version_mismatch`.
    func rename(
        to name: String?, if precondition: Precondition, key: IdempotencyKey?, as context: RequestContext,
        answer: @Sendable (User) -> (body: [UInt8], etag: String)
    ) async throws -> User {
        try await postgres.transaction(as: context) { transaction in
            let found = try await transaction.query("select \(User.columns) from user_account where id = \(context.user) for update")
            guard let row = found.first else { throw Self.gone }
            var user = try User(row: row)
            try precondition.check(user.version)
            if let name {
                let changed = try await transaction.query(
                    """
                    update user_account set name = \(name), version = version + 1, updated_at = now()
                    where id = \(context.user) returning \(User.columns)
                    """)
                guard let row = changed.first else { throw Self.gone }
                let renamed = try User(row: row)
                let event: JSON = ["before": ["name": .string(user.name)], "after": ["name": .string(renamed.name)]]
                try await transaction.query("select emit_event('user.updated', 'user', \(user.id.description), \(event)::jsonb)")
                user = renamed
            }
            if let key {
                let (body, etag) = answer(user)
                try await transaction.query(key.insertion(as: context, status: 200, body: body, etag: etag))
            }
            return user
        }
    }

    static let gone = Problem(.tokenStale, "The account is no longer there.")

    /// Stores a new hash if the old one is still there: a re-hash does not undo a change of password made meanwhile.
    func replaceHash(_ old: PasswordHash, by new: PasswordHash, of id: UserID, as context: SystemContext) async throws -> Bool {
        let result = try await postgres.batch(
            as: context,
            [
                """
                update credential set password_hash = \(new.description)
                where user_id = \(id) and password_hash = \(old.description)
                """
            ])[0]
        return result.affectedRows == 1
    }
}

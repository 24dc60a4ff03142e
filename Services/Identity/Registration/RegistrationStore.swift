import Contracts
import Core
import Postgres

/// A registration under way: the user is written down and cannot sign in yet.
struct PendingRegistration: Sendable {
    /// The organisation that is made, under an id that was chosen before.
    struct Organization: Sendable, Equatable {
        let id: TenantID
        let name: String
        let slug: String
    }

    let user: User
    /// `nil` for one who comes by invitation.
    let organization: Organization?
}

/// Users from their first row to the moment when they can sign in.
struct RegistrationStore: Sendable {
    let postgres: PostgresClient

    /// Writes down user, password and plan.
    ///
    /// - Returns: `nil` when there is a user with this address already.
    func begin(
        email: EmailAddress, name: String, hash: PasswordHash, organization: PendingRegistration.Organization?, as context: SystemContext
    ) async throws -> PendingRegistration? {
        let id = UserID()
        do {
            let results = try await postgres.batch(
                as: context,
                [
                    """
                    insert into user_account (id, email, email_key, name, status)
                    values (\(id), \(email.text), \(email.key), \(name), 'registering') returning \(User.columns)
                    """,
                    "insert into credential (user_id, password_hash) values (\(id), \(hash.description))",
                    """
                    insert into registration (user_id, organization, organization_name, organization_slug)
                    values (\(id), \(organization.map(\.id.sqlValue) ?? .null), \(organization.map(\.name.sqlValue) ?? .null),
                            \(organization.map(\.slug.sqlValue) ?? .null))
                    """,
                ])
            return try results[0].first.map { PendingRegistration(user: try User(row: $0), organization: organization) }
        } catch let error as PostgresError where error.isUniqueViolation && error.constraint == "user_account_email_unique" {
            return nil
        }
    }

    /// The registration under way for an address.
    func find(email: EmailAddress, as context: SystemContext) async throws -> PendingRegistration? {
        try await find(where: "user_account.email_key = \(email.key)", limit: 1, as: context).first
    }

    /// Registrations that nobody finished in time, the oldest first.
    func stale(olderThan age: Duration, limit: Int, as context: SystemContext) async throws -> [PendingRegistration] {
        try await find(where: "registration.created_at < \(Timestamp.now.advanced(by: .zero - age))", limit: limit, as: context)
    }

    private func find(where condition: SQL, limit: Int, as context: SystemContext) async throws -> [PendingRegistration] {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(User.columns), organization, organization_name, organization_slug
                from registration join user_account on user_account.id = registration.user_id
                where \(condition) order by registration.created_at limit \(limit)
                """
            ])[0]
        return try rows.map { row in
            let id = try row.decode("organization", as: TenantID?.self)
            let name = try row.decode("organization_name", as: String?.self)
            let slug = try row.decode("organization_slug", as: String?.self)
            var organization: PendingRegistration.Organization?
            if let id, let name, let slug { organization = .init(id: id, name: name, slug: slug) }
            return PendingRegistration(user: try User(row: row), organization: organization)
        }
    }

    /// The statements after which the user can sign in.
    func finishing(_ user: UserID) -> [SQL] {
        [
            "update user_account set status = 'active', updated_at = now() where id = \(user) and status = 'registering'",
            "delete from registration where user_id = \(user)",
        ]
    }

    func finish(_ user: UserID, as context: SystemContext) async throws {
        _ = try await postgres.batch(as: context, finishing(user))
    }

    /// Removes the user, unless he can sign in by now.
    func abandon(_ user: UserID, as context: SystemContext) async throws {
        _ = try await postgres.batch(as: context, ["delete from user_account where id = \(user) and status = 'registering'"])
    }
}

import Contracts
import Core
import Crypto
import Postgres
import Resources

/// `POST /v1/auth/password/change`: a new password for who knows the present one; the user's other sessions end.
struct PasswordChange: Sendable {
    let users: UserStore
    let sessions: SessionStore
    let hasher: PasswordHasher
    let policy: PasswordPolicy
    let attempts: SignInAttempts
    let revoker: SessionRevoker
    /// Not in the database: see ``IdempotencyKey``.
    let fingerprintKey: SymmetricKey

    var route: Route {
        .member(
            .post, "/v1/auth/password/change",
            Operation(
                id: "changePassword", summary: "Change the password and end all other sessions",
                description: "Each try, wrong or right, counts as one of the five failed sign-ins that an account has in 15 minutes.",
                tag: "auth", parameters: [.idempotencyKey],
                body: [
                    "type": "object", "required": ["current_password", "new_password"], "additionalProperties": false,
                    "properties": [
                        "current_password": ["type": "string"],
                        "new_password": [
                            "type": "string", "minLength": .number(PasswordPolicy.length.lowerBound),
                            "maxLength": .number(PasswordPolicy.length.upperBound),
                        ],
                    ],
                ],
                bodyExample: ["current_password": "rather-long-and-secret", "new_password": "even-longer-and-more-secret"],
                responses: [.init(204, "Changed.")],
                errors: [.conflict]),
            bodyLimit: 16 << 10
        ) { call, member in
            try call.query.allowOnly([String]())
            let key = try IdempotencyKey(call, fingerprintKey: fingerprintKey)
            // A repeat brings the password that was the right one: looked at once more, it would count as a guess.
            if let reply = try await key?.earlierReply(as: member, on: users.postgres) { return reply }
            return try await IdempotencyKey.guarding(key, as: member, on: users.postgres) {
                revoker.announce(try await change(call, key: key, as: member))
                return .noContent
            }
        }
    }

    private func change(_ call: Call, key: IdempotencyKey?, as member: RequestContext) async throws -> [SessionID] {
        let context = call.systemContext
        guard let account = try await users.findAccount(member.user, as: context), let hash = account.passwordHash,
            let email = EmailAddress(account.user.email)
        else { throw Problem(.tokenStale, "The account is no longer there.") }
        let body = BodyReader(try call.json(), members: ["current_password", "new_password"])
        let current = body.string("current_password")
        let new = body.string("new_password")
        if let new, let fault = policy.fault(of: new, email: email) { body.fault("new_password", fault.code, fault.detail) }
        if let new, new == current { body.fault("new_password", .samePassword, "It is the current one.") }
        let (currentPassword, newPassword) = (try body.require(current), try body.require(new))
        var replacement: PasswordHash?
        let isRight = try await attempts.attempt(account: email, address: call.caller.edge.address, isSignIn: false, as: context) {
            guard policy.isPlausible(currentPassword), try await hasher.verify(currentPassword, against: hash, isSignIn: false) else {
                return false
            }
            // Within the attempt: one that there is no room for does not count.
            replacement = try await hasher.hash(newPassword)
            return true
        }
        guard isRight, let replacement else {
            throw Problem.invalid([.init(pointer: "/current_password", code: .wrongPassword, detail: "It is another one.")])
        }
        return try await replace(hash, by: replacement, key: key, as: member)
    }

    /// - Returns: the sessions that it has ended: all of the user's but the one that asks.
    private func replace(
        _ old: PasswordHash, by new: PasswordHash, key: IdempotencyKey?, as member: RequestContext
    ) async throws -> [SessionID] {
        try await users.postgres.transaction(as: member) { transaction in
            let results = try await transaction.batch([
                sessions.lockingOut(member.user),
                // One statement: sessions end if and only if this change is the one that took effect.
                """
                with changed as (
                    update credential set password_hash = \(new.description), changed_at = now()
                    where user_id = \(member.user) and password_hash = \(old.description) returning user_id
                ), ended as (
                    update session set revoked_at = now() from changed
                    where session.user_id = changed.user_id and revoked_at is null
                      and session.id is distinct from \(member.session.map(\.sqlValue) ?? .null)::uuid
                    returning session.id
                )
                select (select count(*) from changed) as changes, array(select id from ended) as sessions
                """,
            ])
            guard let row = results[1].first, try row.decode("changes", as: Int.self) == 1 else {
                throw Problem(.conflict, "The password was changed by another request at the same time.")
            }
            try await transaction.query("select emit_event('security.password_changed', 'user', \(member.user.description), '{}'::jsonb)")
            if let key { try await transaction.query(key.insertion(as: member, status: 204, body: [])) }
            return try row.decode("sessions")
        }
    }
}

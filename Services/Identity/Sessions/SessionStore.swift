import Contracts
import Core
import Postgres
import Resources

/// Sessions and their refresh tokens.
struct SessionStore: Sendable {
    let postgres: PostgresClient

    /// The statements that begin a session if its ground still holds, to be sent with whatever else belongs to the sign-in. The
    /// last of them affects one row, or none when there is no session.
    ///
    /// The user's row is locked by all who begin sessions, and alone by who ends them all (``lockingOut(_:)``): so each of them
    /// either sees the session and ends it, or came first, and then the ground is gone.
    func beginning(
        _ id: SessionID, of user: UserID, in tenant: TenantID, on ground: SessionGround, from client: Client, token: OpaqueToken,
        now: Timestamp = .now
    ) -> [SQL] {
        let expiry = now.advanced(by: Session.lifetime)
        return [
            "select from user_account where id = \(user) for key share",
            """
            with ground as (\(ground.query(of: user))), begun as (
                insert into session (id, user_id, tenant, device, address, expires_at)
                select \(id), \(user), \(tenant), \(client.device), \(client.address), \(expiry) from ground
                returning id
            )
            insert into refresh_token (token_hash, session_id, expires_at) select \(token.hash), id, \(expiry) from begun
            """,
        ]
    }

    /// The statement before those that end all sessions of the user: it waits for sessions that are about to begin, so that the
    /// next statement sees them.
    func lockingOut(_ user: UserID) -> SQL { "select from user_account where id = \(user) for update" }

    /// A refresh token as it was found, with its session.
    struct Found: Sendable {
        let session: Session
        let isUsed: Bool
        /// Whether the session is neither ended nor expired.
        let isLive: Bool
    }

    func find(_ token: OpaqueToken, as context: SystemContext) async throws -> Found? {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(Session.columns), refresh_token.used_at is not null as is_used,
                       session.revoked_at is null and session.expires_at > now() and refresh_token.expires_at > now() as is_live
                from refresh_token join session on session.id = refresh_token.session_id
                where token_hash = \(token.hash)
                """
            ])[0]
        return try rows.first.map {
            Found(session: try Session(row: $0), isUsed: try $0.decode("is_used"), isLive: try $0.decode("is_live"))
        }
    }

    /// Exchanges a token for the next one, in one statement: of two that come with the same token at once, the row lets the
    /// second find it used.
    ///
    /// - Returns: whether this call was the one.
    func rotate(_ old: OpaqueToken, to new: OpaqueToken, as context: SystemContext, now: Timestamp = .now) async throws -> Bool {
        let expiry = now.advanced(by: Session.lifetime)
        let result = try await postgres.batch(
            as: context,
            [
                """
                with spent as (
                    update refresh_token set used_at = now()
                    from session
                    where session.id = refresh_token.session_id and refresh_token.token_hash = \(old.hash)
                      and refresh_token.used_at is null and refresh_token.expires_at > now()
                      and session.revoked_at is null and session.expires_at > now()
                    returning refresh_token.session_id
                ), seen as (
                    update session set last_seen_at = now(), expires_at = \(expiry)
                    from spent where session.id = spent.session_id
                )
                insert into refresh_token (token_hash, session_id, expires_at)
                select \(new.hash), session_id, \(expiry) from spent
                """
            ])[0]
        return result.affectedRows == 1
    }

    /// Ends a session whose token came a second time, and tells its tenant's audit trail.
    ///
    /// - Returns: whether it was still running.
    func endForReuse(_ session: Session, edge: EdgeContext) async throws -> Bool {
        let context = RequestContext(tenant: session.tenant, user: session.user, session: session.id, edge: edge)
        let event: JSON = ["session_id": .string(session.id.description), "address": .string(edge.address)]
        let result = try await postgres.batch(
            as: context,
            [
                """
                with ended as (
                    update session set revoked_at = now() where id = \(session.id) and revoked_at is null returning id
                )
                select emit_event('security.refresh_reused', 'session', id::text, \(event)::jsonb) from ended
                """
            ])[0]
        return !result.isEmpty
    }

    /// Ends sessions of the caller: the one, or all.
    ///
    /// - Returns: those that were running.
    func end(_ choice: Choice, key: IdempotencyKey?, as context: RequestContext) async throws -> [SessionID] {
        var statements = [lockingOut(context.user), ending(choice, of: context.user)]
        if let key { statements.append(key.insertion(as: context, status: 204, body: [])) }
        return try await postgres.batch(as: context, statements)[1].map { try $0.decode("id") }
    }

    /// Ends one of the caller's sessions.
    ///
    /// - Throws: ``Problem`` `not_found` when he has no such running session.
    func end(_ session: SessionID, key: IdempotencyKey?, as context: RequestContext) async throws {
        try await postgres.transaction(as: context) { transaction in
            let ended = try await transaction.query(ending(.one(session), of: context.user))
            guard !ended.isEmpty else { throw Problem.notFound }
            if let key { try await transaction.query(key.insertion(as: context, status: 204, body: [])) }
        }
    }

    /// Which of a user's sessions.
    enum Choice: Sendable {
        case one(SessionID)
        case all
    }

    /// The statement that ends them; it returns the ids.
    func ending(_ choice: Choice, of user: UserID) -> SQL {
        let condition: SQL =
            switch choice {
            case .one(let id): "and id = \(id)"
            case .all: ""
            }
        return "update session set revoked_at = now() where user_id = \(user) and revoked_at is null \(condition) returning id"
    }

    func isLive(_ session: SessionID, of user: UserID, as context: SystemContext) async throws -> Bool {
        let rows = try await postgres.batch(
            as: context,
            ["select from session where id = \(session) and user_id = \(user) and revoked_at is null and expires_at > now()"])[0]
        return !rows.isEmpty
    }

    /// The running sessions of the user, the newest first, those before `cursor`.
    func list(of user: UserID, before cursor: SessionID?, limit: Int, as context: SystemContext) async throws -> [Session] {
        let rows = try await postgres.batch(
            as: context,
            [
                """
                select \(Session.columns) from session
                where user_id = \(user) and revoked_at is null and expires_at > now()
                  and (\(cursor.map(\.sqlValue) ?? .null)::uuid is null or id < \(cursor.map(\.sqlValue) ?? .null)::uuid)
                order by id desc limit \(limit)
                """
            ])[0]
        return try rows.map { try Session(row: $0) }
    }

    /// The tenant that the user signed in to last, if ever.
    func lastTenant(of user: UserID, as context: SystemContext) async throws -> TenantID? {
        let rows = try await postgres.batch(
            as: context, ["select tenant from session where user_id = \(user) order by last_seen_at desc limit 1"])[0]
        return try rows.first?.decode("tenant")
    }

    /// Sessions that ended lately enough for an access token of theirs to be good still.
    func recentlyEnded(within period: Duration = AccessClaims.longestValidity, as context: SystemContext) async throws -> [SessionID] {
        let rows = try await postgres.batch(
            as: context, ["select id from session where revoked_at > \(Timestamp.now.advanced(by: .zero - period))"])[0]
        return try rows.map { try $0.decode("id") }
    }

    /// Removes what is of no use any longer, a thousand rows a table at most.
    ///
    /// - Returns: whether there may be more.
    func removeExpired(as context: SystemContext) async throws -> Bool {
        let results = try await postgres.batch(
            as: context,
            [
                """
                delete from refresh_token where token_hash = any (array(
                    select token_hash from refresh_token where expires_at < now() limit 1000))
                """,
                // An ended session stays a day: its tokens, used again, still tell a theft from a mistake.
                """
                delete from session where id = any (array(
                    select id from session
                    where expires_at < now() - interval '1 day' or revoked_at < now() - interval '1 day' limit 1000))
                """,
            ])
        return results.contains { $0.affectedRows == 1000 }
    }
}

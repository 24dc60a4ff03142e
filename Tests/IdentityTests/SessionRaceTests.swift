import Contracts
import Core
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

/// A session that begins while the user's sessions are being ended: whatever the order, none is left.
@Suite struct SessionRaceTests {
    @Test func aSessionDoesNotBeginWithAPasswordThatIsChangedMeanwhile() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let answer = try await platform.whileLocked(
                Self.row(of: anna),
                then: "update credential set password_hash = password_hash || 'x' where user_id = \(anna.member.user)"
            ) { try await platform.login("anna") }
            #expect(answer.status == 401)
            #expect(answer.code == "unauthenticated")
            #expect(try await platform.runningSessions(of: anna) == 1)
        }
    }

    @Test func aSwitchDoesNotOutliveTheEndOfAllSessions() async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let answer = try await platform.whileLocked(
                Self.row(of: anna), then: "update session set revoked_at = now() where user_id = \(anna.member.user)"
            ) {
                try await platform.identity.send(.post, "/v1/auth/switch", ["tenant": "company-anna"], as: anna.caller)
            }
            #expect(answer.status == 401)
            #expect(answer.code == "token_stale")
            #expect(try await platform.runningSessions(of: anna) == 0)
        }
    }

    @Test(arguments: [false, true])
    func endingAllSessionsWaitsForOneThatIsBeginning(byPassword: Bool) async throws {
        try await IdentityPlatform.run { platform in
            let anna = try await platform.register("anna")
            let answer = try await platform.whileLocked(
                "select from user_account where id = \(anna.member.user) for key share",
                then: """
                    insert into session (id, user_id, tenant, device, address, expires_at)
                    values (\(SessionID()), \(anna.member.user), \(anna.member.tenant), '', '', now() + interval '1 day')
                    """
            ) {
                if byPassword {
                    let body: JSON = [
                        "current_password": .string(IdentityPlatform.password), "new_password": "another long secret",
                    ]
                    return try await platform.identity.send(.post, "/v1/auth/password/change", body, as: anna.caller)
                }
                return try await platform.identity.send(.post, "/v1/auth/logout", ["all": true], as: anna.caller)
            }
            #expect(answer.status == 204)
            #expect(try await platform.runningSessions(of: anna) == (byPassword ? 1 : 0))
        }
    }

    private static func row(of user: SignedIn) -> SQL {
        "select from user_account where id = \(user.member.user) for update"
    }
}

extension IdentityPlatform {
    /// Makes the request while a transaction holds the lock; once the request waits for it, ends the transaction with `change`.
    fileprivate func whileLocked(
        _ lock: SQL, then change: SQL, _ request: @escaping @Sendable () async throws -> APIAnswer
    ) async throws -> APIAnswer {
        var holder = database.superuser
        holder.fastConnections = 0
        holder.bulkConnections = 1
        return try await TestPostgres.withClient(holder) { client in
            let answer = try await client.transaction(as: SystemContext(service: "test")) { transaction in
                try await transaction.query("select set_config('search_path', 'identity', true)")
                try await transaction.query(lock)
                let answer = Task { try await request() }
                do {
                    try await eventually("the request waits for the lock", within: .seconds(15)) {
                        // Within a transaction the server shows the same picture again unless told to forget it.
                        try await !transaction.batch([
                            "select pg_stat_clear_snapshot()",
                            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'",
                        ])[1].isEmpty
                    }
                } catch {
                    answer.cancel()
                    throw error
                }
                try await transaction.query(change)
                return answer
            }
            return try await answer.value
        }
    }

    fileprivate func runningSessions(of user: SignedIn) async throws -> Int {
        let rows = try await database.query(
            in: .identity, ["select count(*) as n from session where user_id = \(user.member.user) and revoked_at is null"])
        return try #require(try rows[0].first?.decode("n", as: Int.self))
    }
}

import Contracts
import Core
import Crypto
import Postgres

/// Holds guessing to limits: failed sign-ins per account and per address.
///
/// An attempt is counted before the password is looked at, and given back when it was right and is for signing in: however many
/// guesses come at the same moment, and to however many processes, no more of them are looked at than the limit.
struct SignInAttempts: Sendable {
    let postgres: PostgresClient
    /// Failures of one account, whether it exists or not.
    let accountLimit: Int
    /// Failures from one address.
    let addressLimit: Int

    static let period: Duration = .seconds(900)
    private static let seconds = Int(period.components.seconds)

    /// Runs a check of a password, counted as a failure unless it says yes (or could not be made at all).
    ///
    /// - Parameter isSignIn: a change of password counts also when the present one was right: each costs two hashes.
    /// - Throws: ``Problem`` `rate_limited` with the seconds until there is an attempt again; and what the check throws.
    func attempt(
        account: EmailAddress, address: String, isSignIn: Bool = true, as context: SystemContext, check: () async throws -> Bool
    ) async throws -> Bool {
        let id = Identifier<Never>()
        let results = try await postgres.batch(
            as: context,
            [
                """
                select wait, is_account from take_sign_in_attempt(
                    \(id), \(Hex.encode(SHA256.hash(data: Array(account.key.utf8)))), \(IPAddress(address)?.limitKey ?? address), \(accountLimit),
                    \(addressLimit), make_interval(secs => \(Self.seconds)))
                """
            ])
        let wait = try results[0].first?.decode("wait", as: Int.self) ?? 0
        guard wait == 0 else {
            let isAccount = try results[0].first?.decode("is_account", as: Bool.self) ?? false
            var problem = Problem(.rateLimited, "Too many attempts. Try again in \(wait) seconds.", retryAfter: wait)
            problem.limit =
                isAccount
                ? .init(name: "sign-in-account", count: accountLimit, period: Self.seconds)
                : .init(name: "sign-in-address", count: addressLimit, period: Self.seconds)
            throw problem
        }
        do {
            guard try await check() else { return false }
        } catch {
            try? await release(id, as: context)
            throw error
        }
        if isSignIn { try await release(id, as: context) }
        return true
    }

    private func release(_ id: Identifier<Never>, as context: SystemContext) async throws {
        _ = try await postgres.batch(as: context, ["delete from sign_in_attempt where id = \(id)"])
    }

    /// Forgets attempts that no longer count.
    ///
    /// - Returns: whether there may be more.
    func removeOld(as context: SystemContext) async throws -> Bool {
        let result = try await postgres.batch(
            as: context,
            [
                """
                delete from sign_in_attempt where id = any (array(
                    select id from sign_in_attempt
                    where occurred_at < \(Timestamp.now.advanced(by: .zero - Self.period)) limit 1000))
                """
            ])[0]
        return result.affectedRows == 1000
    }
}

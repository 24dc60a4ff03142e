import Core
import ServiceRuntime

/// Removes sessions, refresh tokens and counted sign-ins that no longer matter.
struct IdentityHousekeeping: Sendable {
    let sessions: SessionStore
    let attempts: SignInAttempts

    var job: Job {
        .periodic("identity-housekeeping", every: .seconds(300)) { context, _ in
            let hasMoreSessions = try await sessions.removeExpired(as: context)
            let hasMoreAttempts = try await attempts.removeOld(as: context)
            return hasMoreSessions || hasMoreAttempts ? .more() : .done()
        }
    }
}

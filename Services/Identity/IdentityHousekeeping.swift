import Core
import ServiceRuntime

/// Removes sessions, refresh tokens and counted sign-ins that no longer matter.
struct IdentityHousekeeping: Worker {
    let sessions: SessionStore
    let attempts: SignInAttempts

    let name = "identity-housekeeping"
    let interval: Duration = .seconds(300)

    func runOnce() async throws -> Bool {
        let context = SystemContext(service: "identity")
        let hasMoreSessions = try await sessions.removeExpired(as: context)
        let hasMoreAttempts = try await attempts.removeOld(as: context)
        return hasMoreSessions || hasMoreAttempts
    }
}

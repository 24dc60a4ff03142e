import Core
import Postgres

/// What gives somebody the right to a new session; it must still hold at the moment the session begins.
enum SessionGround: Sendable {
    /// The user was made just now, by the same request.
    case registration
    /// The password that was verified against this hash is still the user's.
    case password(PasswordHash)
    /// The session that was switched from still runs.
    case session(SessionID)

    /// A row for as long as the ground holds.
    func query(of user: UserID) -> SQL {
        switch self {
        case .registration: "select from user_account where id = \(user)"
        case .password(let hash):
            "select from credential where user_id = \(user) and password_hash = \(hash.description) for share"
        case .session(let id):
            "select from session where id = \(id) and user_id = \(user) and revoked_at is null and expires_at > now() for share"
        }
    }

    /// The answer when it holds no longer: the same as if it never had.
    var refusal: Problem {
        switch self {
        case .registration: .internal("the user who registered is gone")
        case .password: Login.refusal
        case .session: Problem(.tokenStale, "The session has ended.")
        }
    }
}

import Contracts
import Core
import Logging
import NIOCore
import Redis

/// Tells the gateways at once which sessions have ended. They also poll, so a message that is lost costs seconds.
struct SessionRevoker: Sendable {
    let redis: RedisClient
    let logger: Logger

    func announce(_ sessions: [SessionID]) {
        for session in sessions {
            let logger = logger
            redis.send(["PUBLISH", Revocation.channel, Revocation.session(session).json.description]).whenFailure { error in
                logger.debug("a revocation was not announced; gateways will poll it", metadata: ["error": "\(type(of: error))"])
            }
        }
    }
}

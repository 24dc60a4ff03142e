import Contracts
import Core
import Logging
import NIOCore
import Redis

/// Tells the gateways at once that tokens have become stale. They also poll, so a message that is lost costs seconds.
struct EpochAnnouncer: Sendable {
    let redis: RedisClient
    let logger: Logger

    func announce(_ member: Member) {
        send(.member(tenant: member.tenant, user: member.id, epoch: member.epoch))
    }

    func announce(_ tenant: Tenant) {
        send(tenant.state)
    }

    func announce(_ role: CustomRole, in tenant: TenantID) {
        send(.role(tenant: tenant, name: role.name, epoch: role.epoch))
    }

    private func send(_ revocation: Revocation) {
        let logger = logger
        redis.send(["PUBLISH", Revocation.channel, revocation.json.description]).whenFailure { error in
            logger.debug("a revocation was not announced; gateways will poll it", metadata: ["error": "\(type(of: error))"])
        }
    }
}

import Core
import ServiceRuntime

/// Finishes registrations that were left half-way, by a crash or by a tenant service that gave no answer.
struct RegistrationCompletion: Sendable {
    let store: RegistrationStore
    let tenants: TenantDirectory
    /// Longer than any request works on its registration: what is older has nobody.
    var age: Duration = .seconds(60)

    private static let batchSize = 50

    init(store: RegistrationStore, tenants: TenantDirectory, age: Duration = .seconds(60)) {
        self.store = store
        self.tenants = tenants
        self.age = age
    }

    var job: Job { .periodic("registrations", every: .seconds(15)) { context, _ in try await step(as: context) } }

    private func step(as context: SystemContext) async throws -> JobStep {
        let found = try await store.stale(olderThan: age, limit: Self.batchSize, as: context)
        var failure: (any Error)?
        for pending in found {
            do {
                try await complete(pending, as: context)
            } catch let problem as Problem where problem.code == .internal {
                // One that cannot be finished does not hold up the others. An outage would: it ends the run, to be tried again later.
                failure = problem
            }
        }
        if let failure { throw failure }
        return found.count == Self.batchSize ? .more() : .done()
    }

    private func complete(_ pending: PendingRegistration, as context: SystemContext) async throws {
        if let organization = pending.organization {
            do {
                _ = try await tenants.create(organization, owner: pending.user.person, as: context)
            } catch let problem as Problem where problem.code.status < 500 {
                return try await store.abandon(pending.user.id, as: context)
            }
        } else if try await tenants.memberships(of: pending.user.id, as: context).isEmpty {
            // The token is not kept, so an invitation that was not accepted cannot be any more: the person registers again.
            return try await store.abandon(pending.user.id, as: context)
        }
        try await store.finish(pending.user.id, as: context)
    }
}

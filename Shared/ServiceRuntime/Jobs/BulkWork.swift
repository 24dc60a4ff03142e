import Contracts
import Core
import Operations
import Postgres
import Resources

/// Bulk acts of a service: the routes, and the job that does them.
public struct BulkWork: Sendable {
    public let routes: [Route]
    public let job: Job
}

extension ServiceDependencies {
    /// Lets members change and delete all records of these resources that a filter finds.
    public func bulkActs(of resources: [Resource]) -> BulkWork {
        let kind = JobKind<BulkActs.Work>("bulk-act")
        let acts = BulkActs(
            of: resources, postgres: postgres,
            queue: BulkActs.Queue { work in
                try kind.enqueue(work)
            } cancel: { job, tenant in
                kind.cancel(job, of: tenant)
            })
        let services = services
        let job = kind.job { work, context, run in
            let caller = try await services.rights(of: context)
            return try await acts.step(work, as: caller) { try await run.write($0, as: caller) } ? .done() : .more()
        }
        return BulkWork(routes: acts.routes, job: job)
    }
}

extension ServiceClient {
    /// The member with what he may do now; without any permission when he is none of the tenant any more, or the tenant is suspended.
    ///
    /// - Throws: ``Problem`` `upstream_unavailable` when the tenant service cannot say.
    fileprivate func rights(of context: RequestContext) async throws -> RequestContext {
        let answer = try await call(
            .tenant, .get, "/internal/users/\(context.user)/memberships", as: SystemContext(service: "jobs", edge: context.edge))
        guard answer.status == 200, let list = answer.json["data"]?.array else {
            throw Problem(
                .upstreamUnavailable, "A part of the platform is not available at the moment.", retryAfter: 1)
        }
        guard
            let membership = list.lazy.compactMap(Membership.init).first(where: {
                $0.tenant.id == context.tenant && $0.tenant.isActive
            })
        else { return context }
        return RequestContext(
            tenant: context.tenant, user: context.user, role: membership.role, permissions: membership.permissions,
            scopes: membership.scopes, fields: membership.fields, plan: membership.tenant.plan, limits: membership.limits,
            country: membership.tenant.country, currency: membership.tenant.currency, timeZone: membership.tenant.timeZone,
            fiscalYearStarts: membership.tenant.fiscalYearStarts, edge: context.edge)
    }
}

import Contracts
import Core
import Operations
import ServiceRuntime

/// What identity asks of the tenant service.
struct TenantDirectory: Sendable {
    let services: ServiceClient

    /// The user's active memberships, the oldest first.
    ///
    /// - Throws: ``Problem`` `upstream_unavailable`.
    func memberships(of user: UserID, as context: SystemContext) async throws -> [Membership] {
        let answer = try await services.call(.tenant, .get, "/internal/users/\(user)/memberships", as: context)
        guard answer.status == 200, let list = answer.json["data"]?.array else { throw Self.problem(of: answer) }
        return try list.map(Self.membership)
    }

    /// Makes the tenant with its owner; asking again for the same id gives the same tenant.
    ///
    /// - Throws: ``Problem`` `already_exists` when another tenant has the slug; `upstream_unavailable` when it is not known
    ///   whether the tenant was made.
    func create(_ tenant: TenantID, name: String, slug: String, owner: Person, as context: SystemContext) async throws -> Membership {
        let answer = try await services.call(
            .tenant, .post, "/internal/tenants",
            body: ["id": .string(tenant.description), "name": .string(name), "slug": .string(slug), "owner": owner.json], as: context)
        guard (200...201).contains(answer.status) else { throw Self.problem(of: answer) }
        return try Self.membership(answer.json)
    }

    /// Makes the person a member of the tenant that invited the address.
    ///
    /// - Parameter named: the slug that the tenant must have, if any; one that the gateway has checked.
    /// - Throws: ``Problem`` `not_found` for a token that is not open; `tenant_mismatch`, `plan_limit_reached`; `upstream_unavailable`
    ///   when it is not known whether it was accepted.
    func acceptInvitation(_ token: String, person: Person, named: String?, as context: SystemContext) async throws -> Membership {
        // Not in the body: a tenant service of an older release takes no further member there.
        let path = "/internal/invitations/accept" + (named.map { "?tenant=\($0)" } ?? "")
        let answer = try await services.call(
            .tenant, .post, path, body: ["token": .string(token), "user": person.json], as: context)
        guard answer.status == 200 else { throw Self.problem(of: answer) }
        return try Self.membership(answer.json)
    }

    /// Makes the person a super_admin of the platform's own tenant, which is made when it is not there.
    func appointOperator(_ person: Person, as context: SystemContext) async throws -> Membership {
        let answer = try await services.call(.tenant, .post, "/internal/platform/operators", body: ["user": person.json], as: context)
        guard answer.status == 200 else { throw Self.problem(of: answer) }
        return try Self.membership(answer.json)
    }

    private static func membership(_ json: JSON) throws(Problem) -> Membership {
        guard let membership = Membership(json: json) else {
            throw Problem(.upstreamUnavailable, "A part of the platform gave no usable answer.", context: "malformed membership")
        }
        return membership
    }

    /// The tenant service's own problem when the request was refused; anything else leaves open what happened.
    private static func problem(of answer: ServiceAnswer) -> Problem {
        guard (400..<500).contains(answer.status), let code = answer.json["code"]?.string.flatMap(ErrorCode.init),
            code.status == answer.status, code != .unauthenticated, let detail = answer.json["detail"]?.string
        else {
            return ServiceClient.unavailable("tenant answered \(answer.status)")
        }
        return Problem(code, detail)
    }
}

import Contracts
import Core
import ServiceRuntime

/// What other services and the gateway ask of tenant.
struct InternalRoutes: Sendable {
    let tenants: TenantStore
    let members: MemberStore
    let memberships: MembershipStore
    let roles: RoleStore
    let acceptance: InvitationAcceptance
    let platform: PlatformOperators

    var routes: [Route] { [create, listMemberships, acceptInvitation, appointOperator, allMembers, whoIsMember, gatewayState] }

    /// Makes a tenant with its first administrator. Idempotent by id: identity asks again after a crash.
    private var create: Route {
        .service(.post, "/internal/tenants") { call, context in
            let body = BodyReader(try call.json(), members: ["id", "name", "slug", "owner"])
            let id = body.id("id", of: TenantID.self)
            let name = body.text("name", maximum: 200)
            let slug = body.slug("slug")
            let owner = body.person("owner")
            let tenant = try body.require(id)
            let person = try body.require(owner)
            try await tenants.create(
                name: body.require(name), slug: body.require(slug), plan: PlanCatalogue.initialPlan, owner: person, role: .tenantAdmin,
                as: RequestContext(tenant: tenant, user: person.id, edge: context.edge))
            return .json(try await memberships.require(person.id, in: tenant, as: context).json)
        }
    }

    private var listMemberships: Route {
        .service(.get, "/internal/users/{id}/memberships") { call, context in
            let list = try await memberships.list(of: call.id(), as: context)
            return .json(["data": .array(list.map(\.json))])
        }
    }

    private var acceptInvitation: Route {
        .service(.post, "/internal/invitations/accept") { call, context in
            let body = BodyReader(try call.json(), members: ["token", "user"])
            let token = body.string("token")
            let user = body.person("user")
            let person = try body.require(user)
            let member = try await acceptance.accept(
                body.require(token), person: person, named: call.query["tenant"], edge: context.edge)
            return .json(try await memberships.require(person.id, in: member.tenant, as: context).json)
        }
    }

    private var appointOperator: Route {
        .service(.post, "/internal/platform/operators") { call, context in
            let body = BodyReader(try call.json(), members: ["user"])
            let user = body.person("user")
            let person = try body.require(user)
            let tenant = try await platform.appoint(person, as: context)
            return .json(try await memberships.require(person.id, in: tenant, as: context).json)
        }
    }

    /// Everybody who is or was a member, for services that make a copy of them.
    private var allMembers: Route {
        .service(.get, "/internal/members") { call, context in
            let page = try CopyPage(call)
            return page.reply(try await members.all(page, as: context))
        }
    }

    /// Who the users are in the tenant, those who were removed too; whoever never was a member is left out. For services in whose copy of the
    /// members one is missing.
    private var whoIsMember: Route {
        .service(.post, "/internal/tenants/{tenant}/members") { call, context in
            let given = try call.json()["users"]?.array ?? []
            let users = given.compactMap { $0.string.flatMap { UserID($0) } }
            guard users.count == given.count, (1...200).contains(users.count) else {
                throw Problem.invalid([.init(pointer: "/users", code: .invalidFormat, detail: "Expected 1 to 200 ids.")])
            }
            return .json(["data": .array(try await members.known(among: users, of: call.id("tenant"), as: context))])
        }
    }

    /// What gateways poll: the epochs under which tokens that may still live are stale, and who is suspended.
    private var gatewayState: Route {
        .service(.get, Revocation.statePath) { _, context in
            let states = try await tenants.states(changedWithin: AccessClaims.longestValidity, as: context)
            let memberEpochs = try await members.epochs(changedWithin: AccessClaims.longestValidity, as: context)
            let roleEpochs = try await roles.epochs(changedWithin: AccessClaims.longestValidity, as: context)
            return .json(
                Revocation.state(
                    states + memberEpochs.map { .member(tenant: $0.tenant, user: $0.user, epoch: $0.epoch) }
                        + roleEpochs.map { .role(tenant: $0.tenant, name: $0.name, epoch: $0.epoch) }))
        }
    }
}

extension BodyReader {
    /// A user as ``Person/json`` writes it.
    fileprivate func person(_ name: String) -> Person? {
        guard let object = object(name, members: ["id", "email", "name"]) else { return nil }
        guard let id = object.id("id", of: UserID.self), let email = object.email("email"), let name = object.text("name", maximum: 200)
        else { return nil }
        return Person(id: id, email: email.text, name: name)
    }
}

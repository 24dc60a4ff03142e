import Contracts
import Core
import Resources

/// `POST /v1/auth/register`: a new user, with a new organisation or by an invitation.
///
/// Two services take part, and either may die at any moment. So the user is written down first, together with the id that the
/// organisation will have (``RegistrationStore/begin(email:name:hash:organization:as:)``); then the tenant service is asked,
/// which gives the same answer however often it is; then the user becomes active. ``RegistrationCompletion`` takes up what was left.
struct Registration: Sendable {
    let store: RegistrationStore
    let users: UserStore
    let hasher: PasswordHasher
    let policy: PasswordPolicy
    let signIn: SignIn

    private struct Request {
        let email: EmailAddress
        let password: String
        let name: String
        let organization: (name: String, slug: String)?
        let invitationToken: String?
    }

    var route: Route {
        .anonymous(
            .post, "/v1/auth/register",
            Operation(
                id: "register", summary: "Create an account, with an organisation of its own or by invitation",
                description: """
                    Send either organization, for a tenant of your own on the plan free whose tenant_admin you become, or \
                    invitation_token, to join the tenant that invited this address. A password has 10 to 256 characters, is none of the \
                    common ones and not the address. \(SignIn.namedTenant) It takes no Idempotency-Key, as its answer holds secrets; \
                    one that broke off may be sent again as it was.
                    """,
                tag: "auth",
                body: Self.bodySchema,
                bodyExample: [
                    "email": "n.okafor@kestrel.example", "password": "rather-long-and-secret", "name": "Ngozi Okafor",
                    "organization": ["name": "Kestrel Freight", "slug": "kestrel"],
                ],
                responses: [.init(201, "Registered and signed in.", schema: TokenAnswer.schema)],
                errors: [.alreadyExists, .planLimitReached, .tenantMismatch]),
            bodyLimit: 16 << 10
        ) { call, _ in
            try call.query.allowOnly([String]())
            try call.refuseIdempotencyKey()
            return try await register(try request(call), call: call).reply(status: 201)
        }
    }

    private func request(_ call: Call) throws -> Request {
        let body = BodyReader(try call.json(), members: ["email", "password", "name", "organization", "invitation_token"])
        let email = body.email("email")
        let password = body.string("password")
        let name = body.text("name", maximum: 200)
        if let password, let fault = policy.fault(of: password, email: email) { body.fault("password", fault.code, fault.detail) }
        let organization = body.object("organization", members: ["name", "slug"], isRequired: !body.has("invitation_token"))
        let organizationName = organization?.text("name", maximum: 200)
        let slug = organization?.slug("slug")
        let token = body.text("invitation_token", maximum: 200, isRequired: false)
        if body.has("organization"), body.has("invitation_token") {
            body.fault("invitation_token", .notAllowed, "Send either an organisation or an invitation.")
        }
        let verified = (try body.require(email), try body.require(password), try body.require(name))
        var pair: (name: String, slug: String)?
        if let organizationName, let slug { pair = (organizationName, slug) }
        return Request(email: verified.0, password: verified.1, name: verified.2, organization: pair, invitationToken: token)
    }

    private func register(_ request: Request, call: Call) async throws -> TokenAnswer {
        if let organization = request.organization { try SignIn.require(organization.slug, asNamedBy: call) }
        // No step outlives this: the job that takes up what was left waits longer.
        let deadline = min(call.caller.edge.deadline, Timestamp.now.advanced(by: .seconds(30)))
        var context = call.systemContext
        context.edge.deadline = deadline
        let pending = try await begin(request, as: context)
        let membership: Membership
        do {
            membership = try await join(pending, request: request, named: call.namedTenant, as: context)
        } catch let problem as Problem where problem.code.status < 500 {
            // Refused for good. Anything else leaves open what happened, and is left to the job.
            try await store.abandon(pending.user.id, as: context)
            throw problem
        }
        return try await signIn.begin(
            pending.user, membership, on: .registration, from: Client(call), with: store.finishing(pending.user.id), as: context)
    }

    /// The plan as written down, be it by an earlier try of the same person that got no answer.
    ///
    /// - Throws: ``Problem`` `already_exists` at `/email`. It names no account: who asks is nobody yet.
    private func begin(_ request: Request, as context: SystemContext) async throws -> PendingRegistration {
        let hash = try await hasher.hash(request.password)
        let organization = request.organization.map {
            PendingRegistration.Organization(id: TenantID(), name: $0.name, slug: $0.slug)
        }
        if let pending = try await store.begin(
            email: request.email, name: request.name, hash: hash, organization: organization, as: context)
        {
            return pending
        }
        if let pending = try await store.find(email: request.email, as: context), pending.organization?.slug == organization?.slug,
            pending.organization?.name == organization?.name,
            let account = try await users.findAccount(email: request.email, as: context),
            try await hasher.verify(request.password, against: account.passwordHash)
        {
            return pending
        }
        let detail = "There is an account with this e-mail address."
        throw Problem(.alreadyExists, detail, faults: [.init(pointer: "/email", code: .alreadyExists, detail: detail)])
    }

    /// - Parameter named: the tenant that the request names; an invitation of another one is not accepted.
    private func join(
        _ pending: PendingRegistration, request: Request, named: String?, as context: SystemContext
    ) async throws -> Membership {
        if let organization = pending.organization {
            return try await signIn.tenants.create(organization, owner: pending.user.person, as: context)
        }
        do {
            return try await signIn.tenants.acceptInvitation(
                request.invitationToken ?? "", person: pending.user.person, named: named, as: context)
        } catch let problem as Problem where problem.code == .notFound || problem.code == .forbidden {
            throw Problem.invalid([
                .init(
                    pointer: "/invitation_token", code: .invalidToken,
                    detail: "The invitation is not open: unknown, expired, used, or for another address.")
            ])
        }
    }

    private static let bodySchema: JSON = [
        "type": "object", "required": ["email", "password", "name"], "additionalProperties": false,
        "properties": [
            "email": BodySchema.email,
            "password": [
                "type": "string", "minLength": .number(PasswordPolicy.length.lowerBound),
                "maxLength": .number(PasswordPolicy.length.upperBound),
            ],
            "name": BodySchema.text(maximum: 200),
            "organization": [
                "type": "object", "required": ["name", "slug"], "additionalProperties": false,
                "properties": [
                    "name": BodySchema.text(maximum: 200),
                    "slug": ["type": "string", "pattern": .string(Slug.pattern)],
                ],
            ],
            "invitation_token": BodySchema.text(maximum: 200),
        ],
        "oneOf": [["required": ["organization"]], ["required": ["invitation_token"]]],
    ]
}

extension TenantDirectory {
    /// Makes the planned organisation.
    ///
    /// - Throws: ``Problem`` `already_exists` at `/organization/slug`; `upstream_unavailable` when it is not known what happened.
    func create(_ organization: PendingRegistration.Organization, owner: Person, as context: SystemContext) async throws -> Membership {
        do {
            return try await create(organization.id, name: organization.name, slug: organization.slug, owner: owner, as: context)
        } catch let problem as Problem where problem.code == .alreadyExists {
            let detail = "The slug '\(organization.slug)' is taken."
            throw Problem(
                .alreadyExists, detail, faults: [.init(pointer: "/organization/slug", code: .alreadyExists, detail: detail)])
        }
    }
}

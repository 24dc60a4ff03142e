import Contracts
import Core
import Resources

/// `POST /v1/auth/login`.
struct Login: Sendable {
    let users: UserStore
    let hasher: PasswordHasher
    let policy: PasswordPolicy
    let attempts: SignInAttempts
    let signIn: SignIn

    var route: Route {
        .anonymous(
            .post, "/v1/auth/login",
            Operation(
                id: "login", summary: "Sign in",
                description: """
                    The access token lasts ten minutes; get the next with the refresh token. After 5 failed attempts in 15 minutes for \
                    an account, or 50 from an address, more are refused with rate_limited. Whether an address has an account is not \
                    told. The tenant is the one in the body, or else the one that the host's subdomain or X-Tenant names, or else the \
                    one used last. \(SignIn.namedTenant) It takes no Idempotency-Key, as its answer holds secrets.
                    """,
                tag: "auth",
                body: [
                    "type": "object", "required": ["email", "password"], "additionalProperties": false,
                    "properties": [
                        "email": BodySchema.email, "password": ["type": "string"],
                        "tenant": [
                            "type": "string", "minLength": 1, "maxLength": 40,
                            "description": "Slug; default the tenant that the request names, or else the one used last.",
                        ],
                    ],
                ],
                bodyExample: ["email": "n.okafor@kestrel.example", "password": "rather-long-and-secret"],
                responses: [.init(200, "Signed in.", schema: TokenAnswer.schema)],
                errors: [.unauthenticated, .forbidden, .tenantMismatch, .tenantSuspended]),
            bodyLimit: 16 << 10
        ) { call, _ in
            try call.query.allowOnly([String]())
            try call.refuseIdempotencyKey()
            let body = BodyReader(try call.json(), members: ["email", "password", "tenant"])
            let email = body.email("email")
            let password = body.string("password")
            let tenant = body.text("tenant", maximum: 40, isRequired: false)?.lowercased()
            let (address, secret) = (try body.require(email), try body.require(password))
            if let tenant { try SignIn.require(tenant, asNamedBy: call) }
            return try await login(email: address, password: secret, tenant: tenant ?? call.namedTenant, call: call).reply()
        }
    }

    private func login(email: EmailAddress, password: String, tenant: String?, call: Call) async throws -> TokenAnswer {
        let context = call.systemContext
        let (user, hash) = try await verifiedUser(email: email, password: password, address: call.caller.edge.address, as: context)
        let membership = try await signIn.membership(of: user.id, slug: tenant, as: context)
        return try await signIn.begin(user, membership, on: .password(hash), from: Client(call), as: context)
    }

    /// The user, if the password is his, and the hash that says so. An unknown address takes the same way and the same time, and gets the same answer.
    private func verifiedUser(
        email: EmailAddress, password: String, address: String, as context: SystemContext
    ) async throws -> (User, PasswordHash) {
        var account: UserStore.Account?
        let isRight = try await attempts.attempt(account: email, address: address, as: context) {
            account = try await users.findAccount(email: email, as: context)
            // A password that no account can have is not worth the work, whatever the address.
            guard policy.isPlausible(password) else { return false }
            let isRight = try await hasher.verify(password, against: account?.passwordHash)
            return isRight && account?.user.status == .active && policy.accepts(password)
        }
        guard isRight, let account, let hash = account.passwordHash else {
            throw Self.refusal
        }
        guard hasher.isOutdated(hash) else { return (account.user, hash) }
        let new = try await hasher.hash(password, isSignIn: true)
        if try await users.replaceHash(hash, by: new, of: account.user.id, as: context) { return (account.user, new) }
        // Another sign-in was faster with the new hash, or the password was changed: the hash there now tells which.
        guard let present = try await users.findAccount(account.user.id, as: context)?.passwordHash,
            try await hasher.verify(password, against: present)
        else { throw Self.refusal }
        return (account.user, present)
    }

    static let refusal = Problem(.unauthenticated, "The e-mail address or the password is wrong.")
}

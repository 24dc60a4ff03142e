import Contracts
import Core
import Resources

/// `POST /v1/auth/switch`: tokens for another membership, in a session of its own; the present one goes on.
struct SwitchTenant: Sendable {
    let users: UserStore
    let signIn: SignIn

    var route: Route {
        .member(
            .post, "/v1/auth/switch",
            Operation(
                id: "switchTenant", summary: "Get tokens for another of your tenants",
                description: """
                    The tokens are those of a new session; the present one goes on. Ask by a host of the present tenant, or one that \
                    names none, as with every access token. It takes no Idempotency-Key, as its answer holds secrets.
                    """,
                tag: "auth",
                body: [
                    "type": "object", "required": ["tenant"], "additionalProperties": false,
                    "properties": ["tenant": ["type": "string", "minLength": 1, "maxLength": 40, "description": "Slug."]],
                ],
                bodyExample: ["tenant": "kestrel"],
                responses: [.init(200, "Tokens of a new session.", schema: TokenAnswer.schema)]),
            bodyLimit: 1 << 10
        ) { call, member in
            try call.query.allowOnly([String]())
            try call.refuseIdempotencyKey()
            let body = BodyReader(try call.json(), members: ["tenant"])
            let tenant = body.text("tenant", maximum: 40)?.lowercased()
            let slug = try body.require(tenant)
            let context = call.systemContext
            // An ended session must not beget another, however little of its access token's time is left.
            guard let session = member.session, try await signIn.sessions.isLive(session, of: member.user, as: context),
                let user = try await users.find(member.user, as: context)
            else { throw Problem(.tokenStale, "The session has ended.") }
            let membership = try await signIn.membership(of: user.id, slug: slug, as: context)
            return try await signIn.begin(user, membership, on: .session(session), from: Client(call), as: context).reply()
        }
    }
}

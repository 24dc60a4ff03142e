import Contracts
import Core
import Resources

/// `POST /v1/auth/refresh`: a refresh token for a new pair.
///
/// A token is good once. When it comes again, somebody else has it or its successor, so the session ends at once, for the thief
/// and the victim alike; this also holds for two refreshes at the same moment, of which one wins: clients refresh one at a time.
struct Refresh: Sendable {
    let signIn: SignIn
    let users: UserStore
    let revoker: SessionRevoker

    private static let refusal = Problem(.unauthenticated, "The refresh token is not valid.")

    var route: Route {
        .anonymous(
            .post, "/v1/auth/refresh",
            Operation(
                id: "refresh", summary: "Exchange a refresh token for new tokens",
                description: """
                    A refresh token is good once. One that comes a second time ends the session everywhere, as somebody else must have \
                    it: refresh one at a time, and store the new token before you use it. \(SignIn.namedTenant) That spends no token. \
                    It takes no Idempotency-Key, as its answer holds secrets.
                    """,
                tag: "auth",
                body: [
                    "type": "object", "required": ["refresh_token"], "additionalProperties": false,
                    "properties": ["refresh_token": ["type": "string"]],
                ],
                bodyExample: ["refresh_token": "mr_the-token-of-the-last-answer"],
                responses: [.init(200, "The new tokens; the old refresh token is dead.", schema: TokenAnswer.schema)],
                errors: [.unauthenticated, .forbidden, .tenantMismatch, .tenantSuspended]),
            bodyLimit: 16 << 10
        ) { call, _ in
            try call.query.allowOnly([String]())
            try call.refuseIdempotencyKey()
            let body = BodyReader(try call.json(), members: ["refresh_token"])
            let text = body.string("refresh_token")
            guard let token = OpaqueToken(try body.require(text), prefix: OpaqueToken.refreshPrefix) else { throw Self.refusal }
            return try await refresh(token, call: call).reply()
        }
    }

    private func refresh(_ token: OpaqueToken, call: Call) async throws -> TokenAnswer {
        let context = call.systemContext
        let session = try await usableSession(of: token, edge: call.caller.edge, as: context)
        guard let user = try await users.find(session.user, as: context), user.status == .active else { throw Self.refusal }
        // Asked before the token is spent: a refusal or an outage here leaves it good for another try.
        let membership = try await signIn.membership(of: user.id, in: session.tenant, as: context)
        try SignIn.require(membership.tenant.slug, asNamedBy: call)
        let access = try await signIn.tokens.token(user: user.id, session: session.id, membership: membership)
        let next = OpaqueToken(prefix: OpaqueToken.refreshPrefix)
        guard try await signIn.sessions.rotate(token, to: next, as: context) else {
            // Another call was faster, or the session ended meanwhile; this tells which, and throws.
            _ = try await usableSession(of: token, edge: call.caller.edge, as: context)
            throw Self.refusal
        }
        return TokenAnswer(accessToken: access, refreshToken: next.text, user: user, membership: membership)
    }

    private func usableSession(of token: OpaqueToken, edge: EdgeContext, as context: SystemContext) async throws -> Session {
        guard let found = try await signIn.sessions.find(token, as: context) else { throw Self.refusal }
        if found.isUsed, try await signIn.sessions.endForReuse(found.session, edge: edge) {
            revoker.announce([found.session.id])
        }
        guard !found.isUsed, found.isLive else { throw Self.refusal }
        return found.session
    }
}

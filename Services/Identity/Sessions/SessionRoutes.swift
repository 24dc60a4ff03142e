import Contracts
import Core
import Resources

/// `/v1/sessions`: where the user is signed in, and how to end it.
struct SessionRoutes: Sendable {
    let sessions: SessionStore
    let revoker: SessionRevoker
    let cursors: CursorSigner

    var routes: [Route] { [list, delete, gatewayState] }

    private var list: Route {
        .member(
            .get, "/v1/sessions",
            Operation(
                id: "listSessions", summary: "Your running sessions, the newest first",
                description: """
                    Sessions of all your tenants, each with the device and the address that it was last used from.
                    """,
                tag: "sessions",
                parameters: Paging.parameters,
                responses: [
                    .init(200, "The sessions.", schema: Paging.schema(of: ["$ref": "#/components/schemas/Session"]))
                ])
        ) { call, member in
            let paging = try Paging(call, of: ["sessions", member.user.description], cursors: cursors)
            let before = try paging.position { $0.string.flatMap { SessionID($0) } }
            let found = try await sessions.list(of: member.user, before: before, limit: paging.limit + 1, as: call.systemContext)
            return paging.reply(found, position: { .string($0.id.description) }) { $0.json(isCurrent: $0.id == member.session) }
        }
    }

    private var delete: Route {
        .member(
            .delete, "/v1/sessions/{id}",
            Operation(
                id: "deleteSession", summary: "End one of your sessions everywhere",
                description: "Its tokens are refused by every gateway at once, or within seconds where a message is lost.",
                tag: "sessions", parameters: [.idempotencyKey],
                responses: [.init(204, "Ended.")])
        ) { call, member in
            try call.query.allowOnly([String]())
            try call.refuseBody()
            let id = try call.id(of: SessionID.self)
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: member, on: sessions.postgres) {
                try await sessions.end(id, key: key, as: member)
                revoker.announce([id])
                return .noContent
            }
        }
    }

    /// What gateways poll: sessions ended so lately that an access token of theirs may still live.
    private var gatewayState: Route {
        .service(.get, Revocation.statePath) { _, context in
            .json(Revocation.state(try await sessions.recentlyEnded(as: context).map { .session($0) }))
        }
    }
}

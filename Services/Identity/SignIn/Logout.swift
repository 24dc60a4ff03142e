import Contracts
import Core
import Resources

/// `POST /v1/auth/logout`: ends this session, or all of the user's.
struct Logout: Sendable {
    let sessions: SessionStore
    let revoker: SessionRevoker

    var route: Route {
        .member(
            .post, "/v1/auth/logout",
            Operation(
                id: "logout", summary: "End the session everywhere",
                description: """
                    Its tokens are refused by every gateway at once, or within seconds where a message is lost; with all, those of all \
                    your sessions. The body may be left out.
                    """,
                tag: "auth", parameters: [.idempotencyKey],
                body: [
                    "type": "object", "additionalProperties": false,
                    "properties": ["all": ["type": "boolean", "default": false, "description": "End every session of the user."]],
                ],
                bodyExample: ["all": true], responses: [.init(204, "Ended.")]),
            bodyLimit: 1 << 10
        ) { call, member in
            try call.query.allowOnly([String]())
            let key = try IdempotencyKey(call)
            var isForAll = false
            if !call.body.isEmpty {
                let body = BodyReader(try call.json(), members: ["all"])
                isForAll = body.bool("all", isRequired: false) ?? false
                try body.finish()
            }
            // Without a session in the token there is none to end but all.
            let choice = isForAll ? SessionStore.Choice.all : member.session.map { .one($0) } ?? .all
            return try await IdempotencyKey.guarding(key, as: member, on: sessions.postgres) {
                revoker.announce(try await sessions.end(choice, key: key, as: member))
                return .noContent
            }
        }
    }
}

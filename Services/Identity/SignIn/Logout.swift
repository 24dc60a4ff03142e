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
                id: "logout", summary: "End the session everywhere", tag: "auth",
                body: [
                    "type": "object", "additionalProperties": false,
                    "properties": ["all": ["type": "boolean", "default": false, "description": "End every session of the user."]],
                ],
                responses: [.init(204, "Ended.")], errors: [.validationFailed, .unknownMember, .invalidJSON, .invalidParameter]),
            bodyLimit: 1 << 10
        ) { call, member in
            try call.query.allowOnly([String]())
            try call.refuseIdempotencyKey()
            var isForAll = false
            if !call.body.isEmpty {
                let body = BodyReader(try call.json(), members: ["all"])
                isForAll = body.bool("all", isRequired: false) ?? false
                try body.finish()
            }
            // Without a session in the token there is none to end but all.
            let choice = isForAll ? SessionStore.Choice.all : member.session.map { .one($0) } ?? .all
            revoker.announce(try await sessions.end(choice, of: member.user, as: call.systemContext))
            return .noContent
        }
    }
}

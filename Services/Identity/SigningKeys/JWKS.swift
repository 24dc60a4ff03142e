import Core

/// `GET /.well-known/jwks.json`: the public keys (RFC 7517).
struct JWKS: Sendable {
    let keys: SigningKeys

    var route: Route {
        .anonymous(
            .get, "/.well-known/jwks.json",
            Operation(
                id: "getSigningKeys", summary: "The public keys that access tokens are verified with",
                description: """
                    For your services that verify access tokens themselves (RFC 7517). Keys are replaced from time to time: look \
                    again when a token names one that you do not have.
                    """,
                tag: "auth",
                responses: [
                    .init(
                        200, "A JSON Web Key Set.",
                        schema: [
                            "type": "object", "required": ["keys"],
                            "properties": ["keys": ["type": "array", "items": ["type": "object"]]],
                        ])
                ])
        ) { call, _ in
            try call.query.allowOnly([String]())
            let keys = try await keys.published().map(\.jwk)
            return .json(["keys": .array(keys)], headers: [("cache-control", "public, max-age=20")])
        }
    }
}

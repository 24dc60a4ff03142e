import Contracts
import Core
import Resources

/// `/v1/invitations`: how a tenant gets further members.
///
/// The token is in the answer that creates an invitation, for the inviter to pass on; mail comes later. It is kept as a hash only,
/// so the route takes no `Idempotency-Key`: a repeat is refused as `already_exists`.
struct InvitationRoutes: Sendable {
    let invitations: InvitationStore
    let members: MemberStore
    let acceptance: InvitationAcceptance
    let cursors: CursorSigner

    var routes: [Route] { [create, list, read, delete, accept] }

    private var create: Route {
        .permitted(
            Invitation.permission, .post, "/v1/invitations",
            Operation(
                id: "createInvitation", summary: "Invite somebody; the token is shown once",
                description: """
                    The token is in this answer only, for you to pass on. It is for this address, for one use, for seven days, and for \
                    as long as you may grant the role yourself. It takes no Idempotency-Key, as its answer holds secrets; a repeat is \
                    answered already_exists, with the id of the open invitation.
                    """,
                tag: "invitations",
                body: [
                    "type": "object", "required": ["email", "role"], "additionalProperties": false,
                    "properties": ["email": BodySchema.email, "role": Role.nameSchema],
                ],
                bodyExample: ["email": "b.moretti@kestrel.example", "role": "sales"],
                responses: [.init(201, "The invitation with its token.", schema: ["$ref": "#/components/schemas/Invitation"])],
                errors: [.alreadyExists, .conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            try call.refuseIdempotencyKey()
            let body = BodyReader(try call.json(), members: ["email", "role"])
            let email = body.email("email")
            let name = body.string("role")
            let (address, roleName) = (try body.require(email), try body.require(name))
            let token = InvitationToken(tenant: member.tenant)
            let invitation = try await invitations.create(address, role: roleName, token: token, as: member)
            var object = invitation.object
            object["token"] = .string(token.text)
            return .json(
                .object(object), status: 201,
                headers: [
                    ("location", "/v1/invitations/\(invitation.id)"), ("etag", EntityTag.of(invitation.version)),
                    ("cache-control", "no-store"),
                ])
        }
    }

    private var list: Route {
        .permitted(
            Permission(.members, .read), .get, "/v1/invitations",
            Operation(
                id: "listInvitations", summary: "The invitations of your tenant, the newest first", tag: "invitations",
                parameters: Paging.parameters,
                responses: [.init(200, "The invitations.", schema: Paging.schema(of: ["$ref": "#/components/schemas/Invitation"]))])
        ) { call, member in
            let paging = try Paging(call, of: ["invitations", member.tenant.description], cursors: cursors)
            let before = try paging.position { $0.string.flatMap { RecordID($0) } }
            let found = try await invitations.list(before: before, limit: paging.limit + 1, as: member)
            return paging.reply(found, position: { .string($0.id.description) }, json: \.json)
        }
    }

    private var read: Route {
        .permitted(
            Permission(.members, .read), .get, "/v1/invitations/{id}",
            Operation(
                id: "getInvitation", summary: "An invitation", tag: "invitations", parameters: [.ifNoneMatch],
                responses: [.init(200, "The invitation.", schema: ["$ref": "#/components/schemas/Invitation"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            guard let invitation = try await invitations.find(call.id(), as: member) else { throw Problem.notFound }
            return EntityTag.reply(to: call, invitation.json, version: invitation.version)
        }
    }

    private var delete: Route {
        .permitted(
            Permission(.members, .delete), .delete, "/v1/invitations/{id}",
            Operation(
                id: "deleteInvitation", summary: "Withdraw an invitation", tag: "invitations", parameters: [.ifMatch, .idempotencyKey],
                responses: [.init(204, "Withdrawn.")],
                errors: [.conflict])
        ) { call, member in
            try call.query.allowOnly([String]())
            try call.refuseBody()
            let id = try call.id(of: RecordID.self)
            let precondition = try Precondition(call)
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: member, on: invitations.postgres) {
                try await invitations.delete(id, if: precondition, key: key, as: member)
                return .noContent
            }
        }
    }

    private var accept: Route {
        .member(
            .post, "/v1/invitations/accept",
            Operation(
                id: "acceptInvitation", summary: "Become a member of the tenant that invited you",
                description: """
                    For who has an account already; others register with the token. The token must be for the address of your account.
                    """,
                tag: "invitations",
                parameters: [.idempotencyKey],
                body: [
                    "type": "object", "required": ["token"], "additionalProperties": false, "properties": ["token": ["type": "string"]],
                ],
                bodyExample: ["token": "mi_the-token-that-you-were-sent"],
                responses: [
                    .init(
                        200, "You as a member; sign in to that tenant with /v1/auth/switch.",
                        schema: ["$ref": "#/components/schemas/Member"])
                ],
                errors: [.notFound, .alreadyExists, .planLimitReached])
        ) { call, context in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: ["token"])
            let token = body.string("token")
            let text = try body.require(token)
            let key = try IdempotencyKey(call)
            // The caller's address, as his present tenant knows it.
            guard let present = try await members.find(context.user, as: context) else { throw Problem.notFound }
            let person = Person(id: present.id, email: present.email, name: present.name)
            return try await acceptance.reply(to: text, person: person, key: key, edge: context.edge)
        }
    }
}

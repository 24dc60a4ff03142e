import Contracts
import Core
import Resources

/// `/v1/members`: who belongs to the tenant, and as what.
struct MemberRoutes: Sendable {
    let members: MemberStore
    let roles: RoleStore
    let announcer: EpochAnnouncer
    let cursors: CursorSigner

    var routes: [Route] { [list, read, update, delete] }

    private var list: Route {
        .permitted(
            Permission(.members, .read), .get, "/v1/members",
            Operation(
                id: "listMembers", summary: "The members of your tenant", tag: "members",
                parameters: Paging.parameters + [
                    .init("role", in: .query, schema: Role.nameSchema, "Only members with this role."),
                    .init("status", in: .query, schema: ["enum": ["active", "disabled"]], "Only members with this status."),
                    .init(
                        "sort", in: .query, schema: ["enum": ["created_at", "-created_at"], "default": "created_at"],
                        "By the time of joining."),
                ],
                responses: [.init(200, "The members.", schema: Paging.schema(of: ["$ref": "#/components/schemas/Member"]))])
        ) { call, member in
            let paging = try Paging(
                call, of: ["members", member.tenant.description], further: ["role", "status", "sort"], cursors: cursors)
            let filter = try await filter(call.query, as: member)
            let position = try paging.position { json -> (createdAt: Timestamp, id: UserID)? in
                guard let milliseconds = json[0]?.integer, let id = json[1]?.string.flatMap({ UserID($0) }) else { return nil }
                return (Timestamp(milliseconds: milliseconds), id)
            }
            let found = try await members.list(filter, after: position, limit: paging.limit + 1, as: member)
            return paging.reply(
                found, position: { [.number($0.createdAt.milliseconds), .string($0.id.description)] }, json: \.json)
        }
    }

    private func filter(_ query: Query, as context: RequestContext) async throws -> MemberStore.Filter {
        var filter = MemberStore.Filter()
        if let name = query["role"], BuiltInRole(rawValue: name) == nil {
            let roles = try await roles.all(as: context)
            if roles[name] == nil { throw Problem.invalidParameter("role", roles.detail(ofUnknown: name)) }
        }
        filter.role = query["role"]
        switch query["status"] {
        case nil: break
        case "active": filter.isActive = true
        case "disabled": filter.isActive = false
        default: throw Problem.invalidParameter("status", "'status' is active or disabled.")
        }
        switch query["sort"] {
        case nil, "created_at": break
        case "-created_at": filter.isDescending = true
        default: throw Problem.invalidParameter("sort", "'sort' is created_at or -created_at.")
        }
        return filter
    }

    private var read: Route {
        .permitted(
            Permission(.members, .read), .get, "/v1/members/{id}",
            Operation(
                id: "getMember", summary: "A member", tag: "members", parameters: [.ifNoneMatch],
                responses: [.init(200, "The member.", schema: ["$ref": "#/components/schemas/Member"])])
        ) { call, context in
            try call.query.allowOnly([String]())
            guard let member = try await members.find(call.id(), as: context) else { throw Problem.notFound }
            return EntityTag.reply(to: call, member.json, version: member.version)
        }
    }

    private var update: Route {
        .permitted(
            Permission(.members, .update), .patch, "/v1/members/{id}",
            Operation(
                id: "updateMember", summary: "Change a member's role, teams or status",
                description: """
                    With another role or status the member's access tokens become stale at once. Nobody can give or take a role that allows \
                    more than their own, neither in permissions nor in whose records they reach, and the last administrator stays one. teams \
                    replaces the list of teams and needs teams.update and teams.read too; a member is in at most \(Team.maximumPerMember).
                    """,
                tag: "members",
                parameters: [.ifMatch, .idempotencyKey],
                body: [
                    "type": "object", "additionalProperties": false,
                    "properties": [
                        "role": Role.nameSchema, "teams": Team.idsSchema(maximum: Team.maximumPerMember),
                        "status": ["enum": ["active", "disabled"]],
                    ],
                ],
                bodyExample: ["role": "manager"],
                responses: [.init(200, "The member.", schema: ["$ref": "#/components/schemas/Member"])],
                errors: [.conflict, .referenceNotFound])
        ) { call, context in
            try call.query.allowOnly([String]())
            let body = BodyReader(try call.json(), members: ["role", "teams", "status"])
            var change = MemberStore.Change()
            change.role = body.string("role", isRequired: false)
            change.teams = body.ids("teams", of: RecordID.self, maximum: Team.maximumPerMember, isRequired: false)
            change.isActive = body.choice("status", of: ["active", "disabled"], isRequired: false).map { $0 == "active" }
            try body.finish()
            if change.teams != nil { try context.require(Permission(.teams, .update)) }
            return try await write(change, call, as: context) { EntityTag.reply(to: call, $0.json, version: $0.version) }
        }
    }

    private var delete: Route {
        .permitted(
            Permission(.members, .delete), .delete, "/v1/members/{id}",
            Operation(
                id: "deleteMember", summary: "Remove a member, whose records stay",
                description: """
                    The member can no longer sign in to this tenant, has left all teams, and access tokens become stale at once. A new \
                    invitation brings the same person back under the same id. The last administrator cannot be removed.
                    """,
                tag: "members", parameters: [.ifMatch, .idempotencyKey],
                responses: [.init(204, "Removed.")],
                errors: [.conflict])
        ) { call, context in
            try call.query.allowOnly([String]())
            try call.refuseBody()
            var change = MemberStore.Change()
            change.isRemoval = true
            return try await write(change, call, as: context) { _ in .noContent }
        }
    }

    private func write(
        _ change: MemberStore.Change, _ call: Call, as context: RequestContext, reply: (Member) -> Reply
    ) async throws -> Reply {
        let id = try call.id(of: UserID.self)
        let precondition = try Precondition(call)
        let key = try IdempotencyKey(call)
        return try await IdempotencyKey.guarding(key, as: context, on: members.postgres) {
            let (member, moved) = try await members.change(id, change, if: precondition, key: key, as: context)
            if change.makesTokensStale { announcer.announce(member) }
            return reply(member).counting(further: moved)
        }
    }
}

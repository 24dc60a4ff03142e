import Contracts
import Core
import Resources

/// `/v1/teams`: who works together.
struct TeamRoutes: Sendable {
    let teams: TeamStore
    let cursors: CursorSigner

    var routes: [Route] { [list, create, read, update, delete] }

    private static let rules = """
        Where a role's scope is team, the members of a team see the records that any of them owns: who may change teams says who sees \
        what. Names differ by more than case. A tenant has at most \(Team.maximumCount) teams, a team at most \(Team.maximumMembers) \
        members, and a member is in at most \(Team.maximumPerMember) teams. Against the limits count the team and each member who joins or leaves.
        """

    private var list: Route {
        .permitted(
            Permission(.teams, .read), .get, "/v1/teams",
            Operation(
                id: "listTeams", summary: "The teams of your tenant, the oldest first", tag: "teams", parameters: Paging.parameters,
                responses: [.init(200, "The teams.", schema: Paging.schema(of: ["$ref": "#/components/schemas/Team"]))])
        ) { call, member in
            let paging = try Paging(call, of: ["teams", member.tenant.description], cursors: cursors)
            let cursor = try paging.position { $0.string.flatMap { RecordID($0) } }
            let found = try await teams.list(after: cursor, limit: paging.limit + 1, as: member)
            return paging.reply(found, position: { .string($0.id.description) }, json: \.json)
        }
    }

    private var create: Route {
        .permitted(
            Permission(.teams, .create), .post, "/v1/teams",
            Operation(
                id: "createTeam", summary: "Make a team", description: Self.rules, tag: "teams", parameters: [.idempotencyKey],
                body: Self.bodySchema(isNew: true), bodyExample: ["name": "Inside Sales", "member_ids": []],
                responses: [
                    .init(201, "The team.", schema: ["$ref": "#/components/schemas/Team"], headers: [.location, .tag])
                ],
                errors: [.alreadyExists, .conflict, .referenceNotFound])
        ) { call, member in
            try call.query.allowOnly([String]())
            let (name, members) = try Self.content(of: call, isNew: true)
            let key = try IdempotencyKey(call)
            return try await IdempotencyKey.guarding(key, as: member, on: teams.postgres) {
                let team = try await teams.create(name ?? "", members: members ?? [], key: key, as: member)
                let headers = [(name: "location", value: "/v1/teams/\(team.id)"), (name: "etag", value: EntityTag.of(team.version))]
                return .json(team.json, status: 201, headers: headers).counting(further: team.memberIDs.count)
            }
        }
    }

    private var read: Route {
        .permitted(
            Permission(.teams, .read), .get, "/v1/teams/{id}",
            Operation(
                id: "getTeam", summary: "A team", tag: "teams", parameters: [.ifNoneMatch],
                responses: [.init(200, "The team.", schema: ["$ref": "#/components/schemas/Team"])])
        ) { call, member in
            try call.query.allowOnly([String]())
            guard let team = try await teams.find(call.id(), as: member) else { throw Problem.notFound }
            return EntityTag.reply(to: call, team.json, version: team.version)
        }
    }

    private var update: Route {
        .permitted(
            Permission(.teams, .update), .patch, "/v1/teams/{id}",
            Operation(
                id: "updateTeam", summary: "Change a team's name or members",
                description: "Members that are absent stay as they are; member_ids replaces the list. \(Self.rules)", tag: "teams",
                parameters: [.ifMatch, .idempotencyKey], body: Self.bodySchema(isNew: false), bodyExample: ["name": "Field Sales"],
                responses: [.init(200, "The team.", schema: ["$ref": "#/components/schemas/Team"])],
                errors: [.alreadyExists, .referenceNotFound])
        ) { call, member in
            try call.query.allowOnly([String]())
            let (name, members) = try Self.content(of: call, isNew: false)
            return try await write(call, as: member) { id, precondition, key in
                let change = TeamStore.Change(name: name, members: members)
                let (team, moved) = try await teams.update(id, change, if: precondition, key: key, as: member)
                return EntityTag.reply(to: call, team.json, version: team.version).counting(further: moved)
            }
        }
    }

    private var delete: Route {
        .permitted(
            Permission(.teams, .delete), .delete, "/v1/teams/{id}",
            Operation(
                id: "deleteTeam", summary: "Delete a team, whose members stay", tag: "teams", parameters: [.ifMatch, .idempotencyKey],
                responses: [.init(204, "Deleted.")])
        ) { call, member in
            try call.query.allowOnly([String]())
            try call.refuseBody()
            return try await write(call, as: member) { id, precondition, key in
                let left = try await teams.delete(id, if: precondition, key: key, as: member)
                return .noContent.counting(further: left)
            }
        }
    }

    private func write(
        _ call: Call, as member: RequestContext, _ body: (RecordID, Precondition, IdempotencyKey?) async throws -> Reply
    ) async throws -> Reply {
        let id = try call.id(of: RecordID.self)
        let precondition = try Precondition(call)
        let key = try IdempotencyKey(call)
        return try await IdempotencyKey.guarding(key, as: member, on: teams.postgres) { try await body(id, precondition, key) }
    }

    private static func content(of call: Call, isNew: Bool) throws -> (name: String?, members: [UserID]?) {
        let body = BodyReader(try call.json(), members: ["name", "member_ids"])
        let name = body.text("name", maximum: Team.maximumName, isRequired: isNew)
        let members = body.ids("member_ids", of: UserID.self, maximum: Team.maximumMembers, isRequired: false)
        try body.finish()
        return (name, members)
    }

    private static func bodySchema(isNew: Bool) -> JSON {
        var schema = JSONObject()
        schema["type"] = "object"
        if isNew { schema["required"] = ["name"] }
        schema["additionalProperties"] = false
        schema["properties"] = [
            "name": BodySchema.text(maximum: Team.maximumName), "member_ids": Team.idsSchema(maximum: Team.maximumMembers),
        ]
        return .object(schema)
    }
}

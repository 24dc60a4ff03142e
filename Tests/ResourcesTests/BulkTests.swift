import CRM
import Core
import Postgres
import Resources
import Synchronization
import TestSupport
import Testing

/// Acts on all records that a filter finds: what comes of each, step by step.
@Suite struct BulkTests {
    /// The routes, and the work that they ask for, which the test does itself.
    private final class Office: Sendable {
        let api: ResourceAPI
        private let asked = Mutex<[BulkActs.Work]>([])
        private let places = Mutex<BulkActs?>(nil)

        init(_ api: ResourceAPI) {
            self.api = api
            let acts = BulkActs(
                of: api.resources, postgres: api.postgres,
                queue: BulkActs.Queue { [weak self] work in
                    self?.asked.withLock { $0.append(work) }
                    return "select enqueue_job('bulk-act', '{}'::jsonb) as id"
                } cancel: { job, tenant in
                    "update job set status = 'cancelled', ended_at = now() where tenant_id = \(tenant) and id = \(job)"
                })
            places.withLock { $0 = acts }
        }

        var acts: BulkActs {
            get throws { try #require(places.withLock { $0 }) }
        }

        func send(
            _ method: Core.Method, _ target: String, _ body: String? = nil, as context: RequestContext,
            headers: [String: String] = [:]
        ) async throws -> Reply {
            try await api.send(method, target, body, as: context, headers: headers, further: acts.routes)
        }

        /// Asks for an act and gives its path.
        func begin(_ body: String, as context: RequestContext, at path: String = "/v1/leads")
            async throws -> String
        {
            let reply = try await send(.post, "\(path)/bulk", body, as: context)
            try #require(reply.status == 202, "\(reply.text)")
            #expect(try reply.json["status"] == "queued")
            return "\(path)/bulk/\(try reply.json.id)"
        }

        /// Does the work that was asked for last.
        ///
        /// - Parameters:
        ///   - steps: so many at most.
        ///   - write: as the runner of jobs would.
        func work(
            _ steps: Int = .max, as context: RequestContext,
            write: (@Sendable ([SQL]) async throws -> [PostgresResult])? = nil
        ) async throws {
            let work = try #require(asked.withLock { $0.last })
            for _ in 0..<steps {
                let isDone = try await acts.step(work, as: context) { statements in
                    if let write { return try await write(statements) }
                    return try await api.postgres.batch(as: context, statements)
                }
                if isDone { return }
            }
        }

        func counts(_ path: String, as context: RequestContext) async throws -> [String: Int64] {
            let counts = try await send(.get, path, as: context).json["counts"]?.object?.members ?? []
            return Dictionary(
                uniqueKeysWithValues: counts.compactMap { member in
                    member.value.integer.map { (member.name, $0) }
                }
            ).filter { $0.value != 0 }
        }

        func count(_ filter: String, as context: RequestContext, of path: String = "/v1/leads")
            async throws -> Int64
        {
            try await send(.get, "\(path)?limit=1&count=exact&\(filter)", as: context).json["page"]?[
                "total"]?.integer ?? -1
        }
    }

    /// 250 leads, of which three are new and the others contacted.
    private static func leads(_ body: (Office, RequestContext) async throws -> Void) async throws {
        try await ResourceAPI.leads { api in
            try await api.fill(ofTenant: 250)
            try await body(Office(api), api.member())
        }
    }

    /// However many there are: it is said once, and none of them is looked for among the filters that there are.
    @Test func tooManyFiltersAreRefusedAtOnce() async throws {
        try await ResourceAPI.leads { api in
            let office = Office(api)
            let filters = (0...Query.maximumParameters).map { "\"stauts_\($0)\":\"new\"" }.joined(separator: ",")
            let reply = try await office.send(.post, "/v1/leads/bulk", "{\"filter\":{\(filters)},\"delete\":true}", as: api.member())
            #expect(reply.status == 422)
            #expect(try reply.faults == ["/filter too_many"])
        }
    }

    @Test func allThatTheFilterFindsIsChangedAndGoesBack() async throws {
        try await Self.leads { office, admin in
            let events = try await office.api.events().count
            let trial = try await office.send(
                .post, "/v1/leads/bulk",
                #"{"filter":{"status":"contacted"},"change":{"score":1},"dry_run":true}"#, as: admin)
            #expect(trial.status == 200)
            #expect(try trial.json["matched"] == 247 && trial.json["sample"]?.array?.count == 10)
            let body =
                #"{"filter":{"status":"contacted","score[gte]":20},"change":{"status":"qualified","tags":["bulk"],"custom":{"n":null,"k":1}}}"#
            let expected = try await office.count("status=contacted&score%5Bgte%5D=20", as: admin)
            let path = try await office.begin(body, as: admin)
            try await office.work(1, as: admin)
            let running = try await office.send(.get, path, as: admin).json
            #expect(
                running["status"] == "running" && running["progress"] == ["done": 100, "total": .number(expected)], "\(running)")
            try await office.work(as: admin)
            let done = try await office.send(.get, path, as: admin).json
            #expect(
                done["status"] == "succeeded" && done["ended_at"] != .null && done["filter"]?["score[gte]"] == 20)
            #expect(
                try await office.counts(path, as: admin) == ["matched": expected, "changed": expected])
            #expect(try await office.count("status=qualified&tag=bulk&custom.k=1", as: admin) == expected)
            #expect(
                try await office.api.events().dropFirst(events)
                    == Array(repeating: "lead.updated", count: Int(expected))[...])
            let one = try await office.send(.get, "/v1/leads?status=qualified&limit=2", as: admin).json[
                "data"]
            #expect(one?[0]?["version"] == 2 && one?[0]?["updated_by"]?.string == admin.user.description)
            #expect(one?[0]?["custom"] == ["k": 1])
            // One that was changed since stays as it is.
            _ = try await office.send(
                .patch, "/v1/leads/\(one?[0]?.id ?? "")", #"{"title":"CEO"}"#, as: admin)
            let back = try await office.send(.post, "\(path)/revert", as: admin)
            #expect(back.status == 202)
            #expect(try back.json["status"] == "reverting")
            #expect(try await office.send(.post, "\(path)/revert", as: admin).status == 409)
            try await office.work(as: admin)
            #expect(try await office.send(.get, path, as: admin).json["status"] == "reverted")
            #expect(
                try await office.counts(path, as: admin)
                    == ["matched": expected, "changed": expected, "reverted": expected - 1, "kept": 1])
            #expect(try await office.count("status=qualified", as: admin) == 1)
            let other = try await office.send(.get, "/v1/leads/\(one?[1]?.id ?? "")", as: admin).json
            #expect(
                other["status"] == "contacted" && other["version"] == 3 && other["custom"]?["n"] != nil && other["tags"] != ["bulk"])
            #expect(try await office.send(.post, "\(path)/revert", as: admin).status == 409)
        }
    }

    @Test func whatIsSoAlreadyOrRefusedIsCounted() async throws {
        try await Self.leads { office, admin in
            // Of 250 two are so already, and one is at its end.
            let leads = try await office.send(.get, "/v1/leads?limit=4&sort=created_at", as: admin).json[
                "data"]
            for index in 0..<2 {
                _ = try await office.send(
                    .patch, "/v1/leads/\(leads?[index]?.id ?? "")", #"{"title":"A"}"#, as: admin)
            }
            try await office.api.write([
                "update lead set status = 'converted' where id = \(try #require(RecordID(leads?[2]?.id ?? "")))"
            ])
            let path = try await office.begin(#"{"filter":{},"change":{"title":"A"}}"#, as: admin)
            try await office.work(as: admin)
            #expect(
                try await office.counts(path, as: admin) == [
                    "matched": 250, "changed": 247, "skipped": 2, "failed": 1,
                ])
            #expect(try await office.send(.get, path, as: admin).json["reasons"] == ["conflict": 1])
        }
        // The database refuses one of them: the others are changed all the same, and it is told by its code.
        try await ResourceAPI.accounts { api in
            let (office, admin) = (Office(api), api.member())
            // Of all that come below one of them, that one would be above itself.
            var parent = ""
            for number in 0..<5 { parent = try await api.create(#"{"name":"A\#(number)"}"#, as: admin).id }
            let path = try await office.begin(
                #"{"filter":{},"change":{"parent_id":"\#(parent)"}}"#, as: admin, at: "/v1/accounts")
            try await office.work(as: admin)
            #expect(
                try await office.counts(path, as: admin) == ["matched": 5, "changed": 4, "failed": 1])
            let act = try await office.send(.get, path, as: admin).json
            #expect(act["reasons"] == ["validation_failed": 1] && act["status"] == "succeeded")
        }
    }

    @Test func whatIsDeletedIsRestored() async throws {
        try await Self.leads { office, admin in
            let path = try await office.begin(
                #"{"filter":{"status":"contacted"},"delete":true}"#, as: admin)
            try await office.work(as: admin)
            #expect(try await office.counts(path, as: admin) == ["matched": 247, "changed": 247])
            #expect(try await office.count("", as: admin) == 3)
            // One has a value by now that another one had before.
            let taken = try await office.send(.get, "/v1/leads?deleted=only&limit=1", as: admin).json[
                "data"]?[0]?["external_id"]
            _ = try await office.api.create(
                #"{"last_name":"B","external_id":\#(taken ?? .null)}"#, as: admin)
            _ = try await office.send(.post, "\(path)/revert", as: admin)
            try await office.work(as: admin)
            #expect(
                try await office.counts(path, as: admin) == [
                    "matched": 247, "changed": 247, "reverted": 246, "kept": 1,
                ])
            #expect(try await office.count("", as: admin) == 250)
        }
    }

    /// Killed behind the transaction of a step, before the queue knows of it; cancelled between two steps; without the right from then on.
    @Test func aStepIsDoneOnceAndNoMoreThanIsAllowed() async throws {
        try await Self.leads { office, admin in
            struct Killed: Error {}
            let path = try await office.begin(#"{"filter":{},"change":{"title":"A"}}"#, as: admin)
            for _ in 0..<2 {
                await #expect(throws: Killed.self) {
                    try await office.work(as: admin) { statements in
                        _ = try await office.api.postgres.batch(as: admin, statements)
                        throw Killed()
                    }
                }
            }
            #expect(try await office.counts(path, as: admin) == ["matched": 200, "changed": 200])
            try await office.work(as: admin)
            #expect(try await office.counts(path, as: admin) == ["matched": 250, "changed": 250])
            #expect(
                try await office.send(.get, "/v1/leads?limit=200&fields=version", as: admin).json["data"]?
                    .array?.allSatisfy { $0["version"] == 2 } == true)

            let second = try await office.begin(#"{"filter":{},"change":{"title":"B"}}"#, as: admin)
            try await office.work(1, as: admin)
            let keyed = ["idempotency-key": "stop"]
            let cancelled = try await office.send(.post, "\(second)/cancel", as: admin, headers: keyed)
            #expect(cancelled.status == 202)
            #expect(
                try await office.send(.post, "\(second)/cancel", as: admin, headers: keyed).text
                    == cancelled.text)
            try await office.work(as: admin)
            #expect(try await office.send(.get, second, as: admin).json["status"] == "cancelled")
            #expect(try await office.send(.post, "\(second)/cancel", as: admin).status == 409)
            #expect(try await office.counts(second, as: admin) == ["matched": 100, "changed": 100])

            let third = try await office.begin(#"{"filter":{},"change":{"title":"C"}}"#, as: admin)
            try await office.work(1, as: admin)
            var reader = office.api.member(.readOnly, user: admin.user)
            try await office.work(as: reader)
            let act = try await office.send(.get, third, as: admin).json
            #expect(
                act["status"] == "failed" && act["reason"] == "forbidden" && act["counts"]?["changed"] == 100)
            // What the role hides by then is as if it were not there; what it does not reach is left alone.
            let fourth = try await office.begin(
                #"{"filter":{"score[gte]":0},"change":{"title":"D"}}"#, as: admin)
            reader = office.api.member(user: admin.user, fields: ["leads": ["score": .hidden]])
            try await office.work(as: reader)
            #expect(try await office.send(.get, fourth, as: admin).json["reason"] == "unknown_member")
            let fifth = try await office.begin(#"{"filter":{},"change":{"title":"E"}}"#, as: admin)
            var narrow = office.api.member(.sales, user: office.api.colleague)
            narrow.user = admin.user
            narrow.scopes[.leads] = .own
            try await office.work(as: narrow)
            #expect(try await office.counts(fifth, as: admin) == [:])
        }
    }

    @Test func anActIsItsAskersAndItsTenants() async throws {
        try await Self.leads { office, admin in
            let body = #"{"filter":{"status":"new"},"change":{"score":7}}"#
            let headers = ["idempotency-key": "once"]
            let first = try await office.send(.post, "/v1/leads/bulk", body, as: admin, headers: headers)
            let path = "/v1/leads/bulk/\(try first.json.id)"
            for stranger in [office.api.member(tenant: TenantID()), office.api.member(.manager)] {
                for (method, target) in [
                    (.get, path), (.post, "\(path)/cancel"), (.post, "\(path)/revert"),
                ] as [(Core.Method, String)] {
                    #expect(try await office.send(method, target, as: stranger).status == 404)
                }
            }
            #expect(try await office.send(.get, path, as: office.api.member()).status == 200)
            #expect(
                try await office.send(.get, "/v1/accounts/bulk/\(try first.json.id)", as: admin).status
                    == 404)
            #expect(
                try await office.send(.post, "/v1/leads/bulk", body, as: office.api.member(.readOnly))
                    .status == 403)
            #expect(
                try await office.send(
                    .post, "/v1/leads/bulk", #"{"filter":{},"delete":true}"#, as: office.api.member(.sales)
                ).status == 403)
            // Another tenant's records are none of it.
            try await office.work(as: admin)
            #expect(try await office.counts(path, as: admin) == ["matched": 3, "changed": 3])
            let again = try await office.send(.post, "/v1/leads/bulk", body, as: admin, headers: headers)
            #expect(
                first.status == 202 && again.text == first.text && again.header("idempotent-replayed") == "true")
        }
    }

    /// By somebody who sees his own records alone: what he gave away comes back to him, and nobody reaches more by it.
    @Test func whatAnActGaveAwayComesBackToItsAsker() async throws {
        try await ResourceAPI.leads { api in
            let (office, admin) = (Office(api), api.member())
            var maker = api.member(.manager)
            maker.scopes[.leads] = .own
            var other = api.member()
            other.scopes[.leads] = .own
            func give(as asker: RequestContext) async throws -> (path: String, ids: [String]) {
                var ids: [String] = []
                for _ in 0..<3 { ids.append(try await api.create(#"{"last_name":"A"}"#, as: maker).id) }
                let path = try await office.begin(
                    #"{"filter":{"last_name":"A"},"change":{"owner_id":"\#(api.colleague)","last_name":"B"}}"#, as: asker)
                try await office.work(as: asker)
                #expect(try await office.counts(path, as: asker) == ["matched": 3, "changed": 3])
                return (path, ids)
            }
            let first = try await give(as: maker)
            #expect(try await office.send(.get, "/v1/leads/\(first.ids[0])", as: maker).status == 404)
            _ = try await office.send(.patch, "/v1/leads/\(first.ids[2])", #"{"title":"CEO"}"#, as: admin)
            #expect(try await office.send(.post, "\(first.path)/revert", as: maker).status == 202)
            try await office.work(as: maker)
            let done = try await office.send(.get, first.path, as: maker).json
            #expect(done["counts"]?["reverted"] == 2 && done["counts"]?["kept"] == 1, "\(done)")
            #expect(done["kept_reasons"] == ["version_mismatch": 1])
            #expect(try await office.send(.get, "/v1/leads/\(first.ids[2])", as: maker).status == 404)
            let back = try await office.send(.get, "/v1/leads/\(first.ids[0])", as: maker).json
            #expect(back["owner_id"]?.string == maker.user.description && back["last_name"] == "A" && back["version"] == 3)
            for id in first.ids.prefix(2) { _ = try await office.send(.delete, "/v1/leads/\(id)", as: admin) }
            // Whoever else undoes it reaches what is his own to change.
            let second = try await give(as: maker)
            #expect(try await office.send(.post, "\(second.path)/revert", as: other).status == 202)
            try await office.work(as: other)
            let kept = try await office.send(.get, second.path, as: maker).json
            #expect(kept["counts"]?["kept"] == 3 && kept["kept_reasons"] == ["not_found": 3], "\(kept)")
        }
    }

    @Test func noReferenceComesBackToWhatIsGone() async throws {
        try await Fleet.run { api in
            let (office, admin) = (Office(api), api.member())
            var fleets: [String] = []
            for _ in 0..<4 { fleets.append(try await api.create(#"{"name":"F"}"#, at: "/v1/fleets", as: admin).id) }
            for (fleet, lent) in [(0, 2), (1, 2), (0, 3), (0, 2)] {
                let body = #"{"name":"S","fleet_id":"\#(fleets[fleet])","lent_to_id":"\#(fleets[lent])"}"#
                _ = try await api.create(body, at: "/v1/ships", as: admin)
            }
            let path = try await office.begin(
                #"{"filter":{},"change":{"fleet_id":null,"lent_to_id":null}}"#, as: admin, at: "/v1/ships")
            try await office.work(as: admin)
            for gone in [1, 3] {
                #expect(try await office.send(.delete, "/v1/fleets/\(fleets[gone])", as: admin).status == 204)
            }
            _ = try await office.send(.post, "\(path)/revert", as: admin)
            try await office.work(as: admin)
            let act = try await office.send(.get, path, as: admin).json
            #expect(act["status"] == "reverted" && act["counts"]?["reverted"] == 2 && act["counts"]?["kept"] == 2, "\(act)")
            #expect(act["kept_reasons"] == ["reference_not_found": 2])
            #expect(try await office.count("fleet_id=\(fleets[0])&lent_to_id=\(fleets[2])", as: admin, of: "/v1/ships") == 2)
            #expect(try await office.count("fleet_id%5Bnull%5D=true", as: admin, of: "/v1/ships") == 2)
        }
        // Where deletion keeps references, they come back to what was deleted, and to nothing that has become another record.
        try await ResourceAPI.contacts { api in
            let (office, admin) = (Office(api), api.member())
            var accounts: [String] = []
            for name in ["Kept", "Merged", "Deleted"] {
                accounts.append(try await api.create(#"{"name":"\#(name)"}"#, at: "/v1/accounts", as: admin).id)
                _ = try await api.create(#"{"last_name":"C","account_id":"\#(accounts.last ?? "")"}"#, as: admin)
            }
            let path = try await office.begin(#"{"filter":{},"change":{"account_id":null}}"#, as: admin, at: "/v1/contacts")
            try await office.work(as: admin)
            let merge = #"{"from":["\#(accounts[1])"]}"#
            #expect(try await office.send(.post, "/v1/accounts/\(accounts[0])/merge", merge, as: admin).status == 200)
            #expect(try await office.send(.delete, "/v1/accounts/\(accounts[2])", as: admin).status == 204)
            _ = try await office.send(.post, "\(path)/revert", as: admin)
            try await office.work(as: admin)
            let act = try await office.send(.get, path, as: admin).json
            #expect(act["counts"]?["reverted"] == 2 && act["kept_reasons"] == ["reference_not_found": 1], "\(act)")
            for (account, count) in zip(accounts, [1, 0, 1] as [Int64]) {
                #expect(try await office.count("account_id=\(account)", as: admin, of: "/v1/contacts") == count)
            }
        }
    }

    @Test func everyFaultOfABodyIsTold() async throws {
        try await ResourceAPI.leads { api in
            let (office, admin) = (Office(api), api.member())
            for (body, status, faults) in [
                ("{}", 422, ["/change required", "/filter required"]),
                (#"{"filter":{},"change":{"score":1},"delete":true}"#, 422, ["/delete not_allowed"]),
                (
                    #"{"filter":[],"delete":false,"dry_run":1}"#, 422,
                    ["/delete not_allowed", "/dry_run invalid_type", "/filter invalid_type"]
                ),
                (
                    #"{"filter":{"score[gte]":"x","sort":"a","status":null},"change":{"scor":1}}"#, 400,
                    [
                        "/change/scor unknown_member", "/filter/score[gte] invalid_format",
                        "/filter/sort unknown_member", "/filter/status invalid_type",
                    ]
                ),
                (#"{"filter":{},"change":{"external_id":"x"}}"#, 422, ["/change/external_id not_allowed"]),
                (#"{"filter":{},"change":{}}"#, 422, ["/change required"]),
                (#"{"filter":{},"change":{"last_name":null}}"#, 422, ["/change/last_name required"]),
                (
                    #"{"filter":{},"change":{"owner_id":"01a20922-d6ba-7e1d-b402-13919357caf0"}}"#, 422,
                    ["/change/owner_id reference_not_found"]
                ),
                (#"{"filtre":{},"delete":true}"#, 400, ["/filter required", "/filtre unknown_member"]),
            ] {
                let reply = try await office.send(.post, "/v1/leads/bulk", body, as: admin)
                #expect(reply.status == status, "\(body): \(reply.text)")
                #expect(try reply.faults == faults, "\(body)")
            }
        }
    }
}

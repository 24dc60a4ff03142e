import Core
import Postgres
import TestSupport
import Testing

@Suite struct IdempotencyTests {
    @Test func aRepeatedCreateIsAnsweredByteForByteAndTakesEffectOnce() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let key = ["Idempotency-Key": "k1"]
            let body = #"{"last_name":"A","tags":["x y","z"],"address":{"city":"K"},"custom":{"n":1.0},"score":5}"#
            let first = try await api.send(.post, "/v1/leads", body, as: admin, headers: key)
            let again = try await api.send(.post, "/v1/leads", body, as: admin, headers: key)
            #expect(first.status == 201, "\(first.text)")
            #expect(again.status == 201)
            #expect(again.body == first.body)
            #expect(again.header("idempotent-replayed") == "true")
            #expect(first.header("idempotent-replayed") == nil)
            #expect(again.header("location") == first.header("location"))
            #expect(again.header("etag") == first.header("etag"))
            #expect(try await api.events() == ["lead.created"])

            let reused = try await api.send(.post, "/v1/leads", #"{"last_name":"B"}"#, as: admin, headers: key)
            #expect(reused.status == 422)
            #expect(try reused.code == "idempotency_key_reused")
            // Another caller, another tenant and another route have keys of their own.
            for other in [api.member(), api.member(tenant: TenantID())] {
                #expect(try await api.send(.post, "/v1/leads", body, as: other, headers: key).header("idempotent-replayed") == nil)
            }
            let patched = try await api.send(.patch, "/v1/leads/\(try first.json.id)", #"{"title":"x"}"#, as: admin, headers: key)
            #expect(patched.status == 200)
            #expect(patched.header("idempotent-replayed") == nil)
        }
    }

    /// What is compared is the value that was sent, not its spelling.
    @Test func aRepeatInAnotherSpellingIsTheSameRequest() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            func send(_ body: String) async throws -> Reply {
                try await api.send(.post, "/v1/leads", body, as: admin, headers: ["Idempotency-Key": "k"])
            }
            let first = try await send(#"{"last_name":"Rénée","score":42,"custom":{"a":1e21}}"#)
            #expect(first.status == 201, "\(first.text)")
            for body in [
                #"{"score":42,"custom":{"a":1e21},"last_name":"Rénée"}"#,
                #"{ "last_name" : "R\u00e9n\u00E9e", "score":42,"custom":{"a":1e21}}"#,
                #"{"custom":{"a":1000000000000000000000},"last_name":"Rénée","score":4.2e1}"#,
            ] {
                let again = try await send(body)
                #expect(again.body == first.body, "\(again.text)")
                #expect(again.header("idempotent-replayed") == "true")
            }
            let other = try await send(#"{"last_name":"Rénée","score":41,"custom":{"a":1e21}}"#)
            #expect(try other.code == "idempotency_key_reused")
            #expect(try await api.events() == ["lead.created"])
        }
    }

    @Test func repeatsOfAChangeADeletionAndARestorationAreAnsweredAsBefore() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let lead = try await api.create(#"{"last_name":"A"}"#, as: admin)
            let path = "/v1/leads/\(lead.id)"
            for (method, target, body, version, status) in [
                (Core.Method.patch, path, #"{"title":"x"}"#, "1", 200), (.delete, path, nil, "2", 204),
                (.post, "\(path)/restore", nil, "3", 200),
            ] {
                let headers = ["Idempotency-Key": "k", "If-Match": "\"\(version)\""]
                let first = try await api.send(method, target, body, as: admin, headers: headers)
                let again = try await api.send(method, target, body, as: admin, headers: headers)
                #expect(first.status == status, "\(first.text)")
                #expect(again.status == status)
                #expect(again.body == first.body)
                #expect(again.header("etag") == first.header("etag"))
                #expect(again.header("idempotent-replayed") == "true")
            }
            #expect(try await api.events() == ["lead.created", "lead.updated", "lead.deleted", "lead.restored"])
        }
    }

    @Test func manyRequestsWithOneKeyAtOnceMakeOneLead() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let replies = try await withThrowingTaskGroup(of: Reply.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await api.send(.post, "/v1/leads", #"{"last_name":"A"}"#, as: admin, headers: ["Idempotency-Key": "same"])
                    }
                }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(replies.map(\.body)).count == 1)
            #expect(replies.filter { $0.header("idempotent-replayed") == nil }.count == 1)
            #expect(try await api.events() == ["lead.created"])
        }
    }

    /// The member whom the first request named may have left before the repeat; the repeat is answered all the same.
    @Test func aRepeatWhoseReferenceIsGoneIsAnsweredAsBefore() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let create = #"{"last_name":"A","owner_id":"\#(api.colleague)"}"#
            let batch = #"{"atomic":ATOMIC,"operations":[{"op":"create","body":\#(create)}]}"#
            for (path, body) in [
                ("/v1/leads", create), ("/v1/leads/batch", batch.replacing("ATOMIC", with: "true")),
                ("/v1/leads/batch", batch.replacing("ATOMIC", with: "false")),
            ] {
                let key = ["Idempotency-Key": "k\(body.count)"]
                let first = try await api.send(.post, path, body, as: admin, headers: key)
                #expect(first.status < 300, "\(first.text)")
                let again = try await api.withoutColleague.send(.post, path, body, as: admin, headers: key)
                #expect(again.status == first.status, "\(again.text)")
                #expect(again.body == first.body)
            }
            #expect(try await api.events().count == 3)
        }
    }

    /// While a transaction has claimed the key of an atomic batch, a repeat is told so at once, and not that it took too long.
    @Test func aRepeatOfAnAtomicBatchThatStillRunsIsInProgress() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            let body = #"{"atomic":true,"operations":[{"op":"create","body":{"last_name":"A"}}]}"#
            func send() async throws -> Reply {
                try await api.send(.post, "/v1/leads/batch", body, as: admin, headers: ["Idempotency-Key": "k"])
            }
            let claim = "\(admin.tenant) \(admin.user) POST /v1/leads/batch k"
            try await api.postgres.transaction(as: admin) { transaction in
                try await transaction.query("select pg_advisory_xact_lock(hashtextextended(\(claim), 0))")
                let repeated = try await send()
                #expect(repeated.status == 409, "\(repeated.text)")
                #expect(try repeated.code == "idempotency_in_progress")
            }
            #expect(try await send().status == 200)
            #expect(try await send().header("idempotent-replayed") == "true")
            #expect(try await api.events() == ["lead.created"])
        }
    }

    @Test func aRepeatAtTheLimitThatItReachedItselfSucceeds() async throws {
        try await ResourceAPI.leads { api in
            let free = api.member(limits: ["leads": 1])
            let key = ["Idempotency-Key": "k"]
            let first = try await api.send(.post, "/v1/leads", #"{"last_name":"A"}"#, as: free, headers: key)
            let again = try await api.send(.post, "/v1/leads", #"{"last_name":"A"}"#, as: free, headers: key)
            #expect(first.status == 201)
            #expect(again.body == first.body)
        }
    }

    @Test func whileAnotherRequestHoldsTheKeyTheAnswerIsInProgress() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            try await api.postgres.transaction(as: admin) { transaction in
                try await transaction.query(
                    """
                    insert into idempotency_key (tenant_id, caller, route, key, fingerprint, status, answer) \
                    values (\(admin.tenant), \(admin.user), 'POST /v1/leads', 'k', '', 201, '{}')
                    """)
                let reply = try await api.send(.post, "/v1/leads", #"{"last_name":"A"}"#, as: admin, headers: ["Idempotency-Key": "k"])
                #expect(reply.status == 409)
                #expect(try reply.code == "idempotency_in_progress")
            }
        }
    }

    /// The key is free; the creation waits for the lock that its tenant's plan limit takes, held here by another transaction.
    @Test(arguments: [false, true])
    func aLockThatIsNotTheKeysIsNoRequestInProgress(isBatch: Bool) async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member(limits: ["leads": 10])
            let key = ["Idempotency-Key": "k"]
            let (path, body) =
                isBatch
                ? ("/v1/leads/batch", #"{"atomic":true,"operations":[{"op":"create","body":{"last_name":"A"}}]}"#)
                : ("/v1/leads", #"{"last_name":"A"}"#)
            try await api.postgres.transaction(as: admin) { transaction in
                try await transaction.query(
                    """
                    insert into lead (tenant_id, id, last_name, created_by, updated_by) \
                    values (\(admin.tenant), \(RecordID()), 'B', \(admin.user), \(admin.user))
                    """)
                let reply = try await api.send(.post, path, body, as: admin, headers: key)
                #expect(reply.status == 504, "\(reply.text)")
                #expect(try reply.code == "deadline_exceeded")
            }
            #expect(try await api.send(.post, path, body, as: admin, headers: key).status == (isBatch ? 200 : 201))
        }
    }

    @Test(arguments: ["", "a b", "é", String(repeating: "x", count: 256)])
    func aMalformedKeyIsRefused(key: String) async throws {
        try await ResourceAPI.leads { api in
            let reply = try await api.send(.post, "/v1/leads", #"{"last_name":"A"}"#, as: api.member(), headers: ["Idempotency-Key": key])
            #expect(reply.status == 400)
            #expect(try reply.faults == ["Idempotency-Key invalid_parameter"])
        }
    }
}

import Core
import TestSupport
import Testing

extension SystemTests {
    /// What many callers do at the same moment, from outside.
    @Suite struct AtOnce {
        private static func all(_ count: Int, _ send: @escaping @Sendable (Int) async throws -> APIAnswer) async throws -> [APIAnswer] {
            try await withThrowingTaskGroup(of: APIAnswer.self) { group in
                for number in 0..<count { group.addTask { try await send(number) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
        }

        /// Each of the answers says truly what it did: one made the record, and every version is somebody's.
        @Test func fiftyUpsertsOfOneExternalIDMakeOneRecord() async throws {
            let admin = try World.get().acme.admin
            for sample in SampleRecord.all {
                let path = "\(sample.path)/by-external-id/at-once"
                let answers = try await Self.all(50) { number in
                    try await admin.send(.put, path, sample.body(with: [(sample.text, .string("Turn \(number)"))]))
                }
                #expect(answers.map(\.status).sorted() == Array(repeating: 200, count: 49) + [201], "\(sample.path)")
                #expect(Set(answers.map { $0.json["id"] }).count == 1)
                #expect(answers.compactMap { $0.json["version"]?.integer }.sorted() == Array(1...50))
                #expect(answers.first { $0.status == 201 }?.json["version"] == 1)
                #expect(answers.allSatisfy { $0.header("etag") == "\"\($0.json["version"] ?? .null)\"" })
                let found = try await admin.send(.get, "\(sample.path)?external_id=at-once&deleted=include", expecting: 200)
                #expect(found.json["data"]?.array?.count == 1 && found.json["data"]?[0]?["version"] == 50)
            }
        }

        /// Fifty accounts, each moved below the next and the last below the first.
        @Test func fiftyMovesThatWouldCloseACircleCloseNone() async throws {
            let acme = try World.get().acme
            var made: [String] = []
            for number in 0..<50 { made.append(try await acme.create("/v1/accounts", ["name": .string("At once \(number)")])) }
            let accounts = made
            let answers = try await Self.all(50) { number in
                try await acme.admin.send(
                    .patch, "/v1/accounts/\(accounts[number])", ["parent_id": .string(accounts[(number + 1) % 50])])
            }
            let refused = answers.filter { $0.status != 200 }
            #expect(!refused.isEmpty)
            for answer in refused {
                #expect(answer.status == 422 && answer.json["errors"]?[0]?["code"] == "cycle", "\(answer.text)")
            }
            var parents: [String: String] = [:]
            for account in accounts {
                parents[account] = try await acme.admin.send(.get, "/v1/accounts/\(account)", expecting: 200).json["parent_id"]?.string
            }
            #expect(parents.count == 50 - refused.count)
            for account in accounts {
                var above = Set([account])
                var next = parents[account]
                while let parent = next {
                    try #require(above.insert(parent).inserted, "a circle at \(parent)")
                    next = parents[parent]
                }
            }
        }
    }
}

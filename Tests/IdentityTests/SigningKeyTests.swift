import Contracts
import Core
import Crypto
import Operations
import Postgres
import ServiceRuntime
import TestSupport
import Testing

@testable import Identity

@Suite struct SigningKeyTests {
    private static func withStore(
        _ body: @escaping @Sendable (SigningKeyStore, TestDatabase) async throws -> Void
    ) async throws {
        try await TestDatabase.run([identityDefinition]) { database in
            var configuration = database.superuser
            configuration.user = "martlet_identity"
            configuration.password = "test"
            configuration.schema = "identity"
            configuration.fastConnections = 4
            let seal = try #require(KeySeal(hexadecimal: IdentityPlatform.encryptionKey))
            _ = try await TestPostgres.withClient(configuration) { client in
                try await body(SigningKeyStore(postgres: client, seal: seal), database)
            }
        }
    }

    @Test func severalProcessesThatStartAtOnceMakeOneKey() async throws {
        try await Self.withStore { store, _ in
            let identifiers = try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await SigningKeys(store: store, rotationPeriod: .seconds(3600)).signing().id }
                }
                return try await group.reduce(into: Set<String>()) { $0.insert($1) }
            }
            #expect(identifiers.count == 1)
            #expect(try await store.keys().count == 1)
        }
    }

    @Test func aNewKeyIsPublishedBeforeItSignsAndAnOldOneGoesAfterItsTokens() async throws {
        try await Self.withStore { store, database in
            let keys = SigningKeys(store: store, rotationPeriod: .seconds(3600))
            let first = try await keys.signing()
            try await keys.rotate()
            #expect(try await keys.published().count == 1)

            try await database.query(in: .identity, ["update signing_key set signs_from = now() - interval '2 hours'"])
            try await keys.rotate()
            try await keys.rotate()
            let published = try await keys.published()
            #expect(published.count == 2)
            #expect(try await keys.signing().id == first.id)
            let successor = try #require(published.first { $0.id != first.id })
            #expect(successor.signsFrom.timeLeft > .seconds(60))

            try await database.query(
                in: .identity, ["update signing_key set signs_from = now() - interval '5 minutes' where id = \(successor.id)"])
            try await keys.rotate()
            #expect(try await keys.signing().id == successor.id)
            #expect(try await keys.published().count == 2)
            try await database.query(
                in: .identity, ["update signing_key set signs_from = now() - interval '12 minutes' where id = \(successor.id)"])
            try await keys.rotate()
            #expect(try await keys.published().map(\.id) == [successor.id])
        }
    }

    @Test func aStoredKeyIsOfNoUseWithoutTheEncryptionKey() async throws {
        try await Self.withStore { store, database in
            _ = try await SigningKeys(store: store, rotationPeriod: .seconds(3600)).signing()
            let other = SigningKeyStore(
                postgres: store.postgres, seal: try #require(KeySeal(hexadecimal: String(repeating: "1", count: 64))))
            await #expect(throws: KeySealError.self) { try await other.keys() }
            // A row cannot stand in for another.
            try await database.query(in: .identity, ["update signing_key set id = 'another'"])
            await #expect(throws: KeySealError.self) { try await store.keys() }
        }
    }

    @Test func anEncryptionKeyOfAnotherFormStopsTheStart() {
        for text in ["", "00", String(repeating: "g", count: 64), String(repeating: "0", count: 66)] {
            #expect(KeySeal(hexadecimal: text) == nil)
        }
        #expect(throws: SettingError.self) { try IdentityConfiguration(settings: Settings(values: [:])) }
    }
}

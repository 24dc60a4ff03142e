import Testing

@testable import Postgres

@Suite struct PostgresConfigurationTests {
    @Test func aConnectionStringIsTakenOver() throws {
        let configuration = try PostgresConfiguration(
            connectionString: "postgresql://ann:p%40ss@db.example:6432/crm?sslmode=verify-full&sslrootcert=/etc/ca.pem")
        #expect(configuration.host == "db.example" && configuration.port == 6432 && configuration.database == "crm")
        #expect(configuration.user == "ann" && configuration.password == "p@ss")
        #expect(configuration.tlsMode == "verify-full" && configuration.tlsRootCertificates == "/etc/ca.pem")
    }

    @Test(arguments: ["postgresql://host/db", "host=a user=b port=x", "user=a passfile=/x", "nonsense"])
    func anUnusableConnectionStringIsRefusedWithoutRepeatingIt(text: String) {
        let error = #expect(throws: PostgresConfigurationError.self) { try PostgresConfiguration(connectionString: text) }
        #expect(error?.description.contains(text) == false)
    }

    @Test func theWaitBetweenAttemptsGrowsToItsLimitWithJitter() {
        var backoff = Backoff()
        #expect(backoff.timeLeft(at: 0) <= 0)
        var waits: [Int64] = []
        for _ in 0..<12 {
            backoff.fail(at: 1000)
            waits.append(backoff.timeLeft(at: 1000) / 1_000_000)
        }
        #expect((25...50).contains(waits[0]) && (50...100).contains(waits[1]))
        #expect(waits.suffix(5).allSatisfy { (1000...2000).contains($0) })
        backoff.reset()
        #expect(backoff.timeLeft(at: 1000) <= 0)
    }
}

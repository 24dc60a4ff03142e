import Core
import Postgres
import ServiceRuntime
import Testing

@Suite struct SettingsTests {
    private let keys = "k1:" + String(repeating: "5a", count: 32)

    @Test func defaultsAreTheDocumentedOnes() throws {
        let configuration = try RuntimeConfiguration(service: .crm, settings: Settings(values: ["MARTLET_CONTEXT_KEYS": keys]))
        #expect(configuration.port == 8103)
        #expect(configuration.adminPort == 8203)
        #expect(configuration.urls[.activity] == "http://127.0.0.1:8104")
        #expect(configuration.runsWorkers)
    }

    @Test func encryptionOfPostgresConnectionsCanBeDemandedForEveryRole() throws {
        var values = [
            "MARTLET_CONTEXT_KEYS": keys, "MARTLET_POSTGRES_PASSWORD": "a", "MARTLET_POSTGRES_SYSTEM_PASSWORD": "b",
            "MARTLET_POSTGRES_OWNER_PASSWORD": "c",
        ]
        let standard = try RuntimeConfiguration(service: .crm, settings: Settings(values: values)).postgres(as: .runtime)
        #expect(standard.tlsMode == "prefer" && standard.tlsRootCertificates == nil)
        values["MARTLET_POSTGRES_TLS_MODE"] = "verify-full"
        values["MARTLET_POSTGRES_TLS_ROOT_CERTIFICATES"] = "/etc/martlet/postgres.pem"
        let demanding = try RuntimeConfiguration(service: .crm, settings: Settings(values: values))
        for role in [RuntimeConfiguration.Role.runtime, .system, .owner] {
            let configuration = try demanding.postgres(as: role)
            #expect(configuration.tlsMode == "verify-full")
            #expect(configuration.tlsRootCertificates == "/etc/martlet/postgres.pem")
        }
    }

    /// A wrong or missing setting stops the start with its name and what was expected.
    @Test(arguments: [
        ("MARTLET_PORT", "http"), ("MARTLET_PORT", "65536"), ("MARTLET_CONTEXT_KEYS", "short"), ("MARTLET_CONTEXT_KEYS", ""),
        ("MARTLET_LOG_LEVEL", "loud"), ("MARTLET_WORKERS", "yes"), ("MARTLET_REDIS_URL", "127.0.0.1"), ("MARTLET_CRM_URL", "crm:8103"),
        ("MARTLET_GRACE_SECONDS", "0"), ("MARTLET_POSTGRES_TLS_MODE", "required"), ("MARTLET_POSTGRES_LOCK_MILLISECONDS", "0"),
    ])
    func aWrongSettingIsNamed(_ name: String, _ value: String) {
        let error = #expect(throws: SettingError.self) {
            try RuntimeConfiguration(
                service: .crm, settings: Settings(values: ["MARTLET_CONTEXT_KEYS": keys].merging([name: value]) { $1 }))
        }
        #expect(error?.description.contains(name) == true)
        #expect(error?.description.contains("expected") == true)
        if !value.isEmpty { #expect(error?.description.contains("'\(value)'") != true, "a secret could be shown") }
    }
}

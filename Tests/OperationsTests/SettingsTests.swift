import Core
import Foundation
import Gateway
import Identity
import Postgres
import ServiceRuntime
import Tenant
import TestSupport
import Testing

@testable import Operations

@Suite struct SettingsTests {
    @Test func defaultsAreTheDocumentedOnes() throws {
        let configuration = try RuntimeConfiguration(service: .crm, settings: Settings(values: [:]))
        #expect(configuration.port == 8103)
        #expect(configuration.adminPort == 8203)
        #expect(configuration.urls[.activity] == "http://127.0.0.1:8104")
        #expect(configuration.runsWorkers)
    }

    @Test func encryptionOfPostgresConnectionsCanBeDemandedForEveryRole() throws {
        var values = [
            "MARTLET_POSTGRES_PASSWORD": "a", "MARTLET_POSTGRES_SYSTEM_PASSWORD": "b", "MARTLET_POSTGRES_OWNER_PASSWORD": "c",
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

    /// The relay and each follower keep a connection for themselves: so many are left for all other work, whatever is followed.
    @Test(arguments: [(0, 3), (1, 2), (2, 2), (3, 2)])
    func eachFollowerHasAConnectionOfItsOwn(copies: Int, left: Int) throws {
        let values = ["MARTLET_POSTGRES_PASSWORD": "a", "MARTLET_POSTGRES_SYSTEM_PASSWORD": "b"]
        let configuration = try RuntimeConfiguration(service: .crm, settings: Settings(values: values))
        #expect(try configuration.postgres(as: .system, copies: copies).bulkConnections == left + 1 + copies)
        #expect(try configuration.postgres(as: .runtime).bulkConnections == 4)
    }

    /// A wrong or missing setting stops the start with its name and what was expected.
    @Test(arguments: [
        ("MARTLET_PORT", "http"), ("MARTLET_PORT", "65536"), ("MARTLET_CONTEXT_KEYS", "short"), ("MARTLET_CONTEXT_KEYS", ""),
        ("MARTLET_CONTEXT_KEYS", TestContextKeys.text(of: "support")),
        ("MARTLET_LOG_LEVEL", "loud"), ("MARTLET_WORKERS", "yes"), ("MARTLET_REDIS_URL", "127.0.0.1"), ("MARTLET_CRM_URL", "crm:8103"),
        ("MARTLET_CRM_URL", "http://a:1,http://b:2"), ("MARTLET_CRM_URL", "http://a:1/v1"),
        ("MARTLET_GRACE_SECONDS", "0"), ("MARTLET_POSTGRES_TLS_MODE", "required"), ("MARTLET_POSTGRES_LOCK_MILLISECONDS", "0"),
    ])
    func aWrongSettingIsNamed(_ name: String, _ value: String) {
        let error = #expect(throws: SettingError.self) {
            let values = ["MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: "crm")].merging([name: value]) { $1 }
            _ = try RuntimeConfiguration(service: .crm, settings: Settings(values: values)).contextKeys()
        }
        #expect(error?.description.contains(name) == true)
        #expect(error?.description.contains("expected") == true)
        if !value.isEmpty { #expect(error?.description.contains("'\(value)'") != true, "a secret could be shown") }
    }
}

/// The file that a process reads its settings from, beside its environment.
@Suite struct SettingsFileTests {
    @Test func linesAndJSONSayTheSame() throws {
        let lines = """
            # what it is
            MARTLET_LOG_LEVEL=debug

              MARTLET_CORS_ORIGINS="https://a.example.com,https://b.example.com"
            MARTLET_PORT=8081
            MARTLET_HSTS=true
            SWIFT_IMAGE=of somebody else
            """
        let json = """
            {"martlet": {"log": {"level": "debug"}, "port": 8081, "hsts": true, "cors": {"origins": "https://a.example.com,https://b.example.com"}}}
            """
        let values = try SettingsFile.parse(lines)
        #expect(values.count == 4 && values["MARTLET_PORT"] == "8081" && values["MARTLET_CORS_ORIGINS"]?.contains("\"") == false)
        // As editors of other systems save it.
        #expect(try SettingsFile.parse(lines.replacingOccurrences(of: "\n", with: "\r\n")) == values)
        #expect(try SettingsFile.parse(json) == values)
    }

    @Test(arguments: ["MARTLET_PORT", "MARTLET_PORT=1\nMARTLET_PORT=2", "{\"martlet\":{\"port\":[1]}}", "{"])
    func aMalformedFileIsRefused(_ text: String) { #expect(throws: SettingError.self) { try SettingsFile.parse(text) } }

    @Test func theEnvironmentWinsAndMisspelledNamesAreTold() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-settings-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        _ = FileManager.default.createFile(atPath: path, contents: Data("MARTLET_ISSUER=file\nMARTLET_ISUER=x\n".utf8))
        let settings = try Settings.fromEnvironment(file: path)
        #expect(try settings.string("issuer", default: "") == "file")
        #expect(settings.unknownNames(besides: GatewayConfiguration.settings) == ["MARTLET_ISUER"])
        #expect(try settings.setting(["MARTLET_ISSUER": "environment"]).string("issuer", default: "") == "environment")
        #expect(throws: SettingError.self) { try Settings.fromEnvironment(file: "/nowhere") }
    }
}

/// What operators are told about settings is what the code reads.
@Suite struct SettingListTests {
    private static let secrets = [
        // As the gateway has them.
        "MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: ContextPair.gateway),
        "MARTLET_KEY_ENCRYPTION_KEY": String(repeating: "5a", count: 32), "MARTLET_POSTGRES_PASSWORD": "a",
        "MARTLET_POSTGRES_SYSTEM_PASSWORD": "b", "MARTLET_POSTGRES_OWNER_PASSWORD": "c",
    ]

    @Test func theListsNameExactlyWhatIsRead() throws {
        let runtime = Settings(values: Self.secrets.merging(["MARTLET_CONTEXT_KEYS": TestContextKeys.text(of: "crm")]) { $1 })
        let configuration = try RuntimeConfiguration(service: .crm, settings: runtime)
        for role in [RuntimeConfiguration.Role.runtime, .system, .owner] { _ = try configuration.postgres(as: role) }
        _ = try configuration.contextKeys()
        let identity = Settings(values: Self.secrets)
        _ = try IdentityConfiguration(settings: identity)
        let tenant = Settings(values: Self.secrets)
        _ = try TenantConfiguration(settings: tenant)
        let gateway = Settings(values: Self.secrets)
        _ = try GatewayConfiguration(settings: gateway)
        for (settings, list) in [
            (runtime, RuntimeConfiguration.settings), (identity, IdentityConfiguration.settings), (tenant, TenantConfiguration.settings),
            (gateway, GatewayConfiguration.settings),
        ] {
            #expect(settings.keysRead.sorted() == list.map(\.key).sorted())
        }
    }

    /// A number, a word of two or a URL in the list is the default in the code: set to it, the configuration is the same.
    @Test func theListedDefaultsAreTheOnesTaken() throws {
        func isValue(_ text: String) -> Bool { !text.isEmpty && !text.contains(" ") && !text.hasPrefix("MARTLET_") }
        func values(_ list: [Setting]) -> [String: String] {
            Dictionary(uniqueKeysWithValues: list.filter { isValue($0.standard) }.map { ($0.name, $0.standard) }).merging(Self.secrets) {
                $1
            }
        }
        func shown(_ value: Any) -> String {
            var text = ""
            dump(value, to: &text)
            // Places in memory and the order of dictionaries differ from run to run.
            return text.split(separator: "\n").filter { !$0.contains("settings:") && !$0.contains("0x") }.sorted().joined(separator: "\n")
        }
        let ports: Set = ["port", "admin.port"]
        let runtime = RuntimeConfiguration.settings.filter { !ports.contains($0.key) }
        func service(_ values: [String: String]) throws -> [String] {
            let configuration = try RuntimeConfiguration(service: .crm, settings: Settings(values: values))
            return [
                configuration.host, configuration.adminHost, configuration.postgresHost, "\(configuration.postgresPort)",
                configuration.postgresDatabase, "\(configuration.postgresConnections)", "\(configuration.postgresFastLockTimeout)",
                configuration.postgresTLSMode, "\(configuration.urls.sorted { $0.key.rawValue < $1.key.rawValue })",
                "\(configuration.logLevel)", "\(configuration.grace)", "\(configuration.drain)", "\(configuration.runsWorkers)",
            ]
        }
        #expect(try service(values(runtime)) == service(Self.secrets))
        let identity = try shown(IdentityConfiguration(settings: Settings(values: values(IdentityConfiguration.settings))))
        #expect(try identity == shown(IdentityConfiguration(settings: Settings(values: Self.secrets))))
        let gateway = try shown(GatewayConfiguration(settings: Settings(values: values(GatewayConfiguration.settings))))
        #expect(try gateway == shown(GatewayConfiguration(settings: Settings(values: Self.secrets))))
    }

    // MARK: Documents

    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    private static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Every setting of the six processes by name, with those that are the same everywhere once.
    private static let all: [String: [Setting]] = Dictionary(
        grouping: RuntimeConfiguration.settings + IdentityConfiguration.settings + TenantConfiguration.settings
            + GatewayConfiguration.settings, by: \.name)

    /// What compose.yaml reads itself, and the one name that is read before all settings.
    private static let notSettings: Set = ["MARTLET_PUBLISH", "MARTLET_VERSION", "MARTLET_CONFIG_FILE"]

    private static var known: Set<String> {
        notSettings.union(all.flatMap { name, settings in settings[0].isSecret ? [name, "\(name)_FILE"] : [name] })
    }

    private static func names(in text: String) -> Set<String> {
        Set(text.matches(of: /MARTLET_[A-Z0-9_]*[A-Z0-9]/).map { String($0.output) })
    }

    /// Each setting is in the example with its default, and nothing is there that no process reads.
    @Test func theExampleFileHasEverySettingWithItsDefault() throws {
        var listed: [String: [String]] = [:]
        for line in try Self.text("compose/.env.example").split(separator: "\n") {
            guard let match = line.wholeMatch(of: /# (MARTLET_[A-Z0-9_]+)=(.*)/) else { continue }
            listed[String(match.1), default: []].append(String(match.2))
        }
        for (name, settings) in Self.all {
            let isSecret = settings[0].isSecret
            let values = try #require(listed[isSecret ? "\(name)_FILE" : name], "\(name) is not in compose/.env.example")
            // A default that differs by process, or is another setting's value, is told in words.
            let standards = Set(settings.map(\.standard))
            guard !isSecret, standards.count == 1, let standard = standards.first, !standard.isEmpty, !standard.contains(" "),
                !standard.hasPrefix("MARTLET_")
            else { continue }
            #expect(values.allSatisfy { $0 == standard }, "\(name): \(values), and the code says \(standard)")
        }
        #expect(Set(listed.keys).subtracting(Self.known) == [])
    }

    /// What the other documents and manifests set, some process reads.
    @Test func everySettingThatADocumentNamesIsRead() throws {
        var files = [
            "README.md", "compose/README.md", "compose/compose.yaml", "compose/services.sh", "compose/local", "compose/context-keys",
            "Tests/bench",
            "k8s/README.md",
            "k8s/make-secrets", "gateway/README.md", "Services/README.md",
        ]
        let manifests = try #require(FileManager.default.enumerator(atPath: Self.root.appending(path: "k8s").path))
        for case let path as String in manifests where path.hasSuffix(".yaml") { files.append("k8s/\(path)") }
        #expect(files.count > 40)
        for file in files {
            let unknown = try Self.names(in: Self.text(file)).subtracting(Self.known).filter { name in
                // Parts of a name that a script completes, and the tests' own.
                !name.hasPrefix("MARTLET_TEST_") && !name.hasPrefix("MARTLET_BENCH_") && !Self.known.contains { $0.hasPrefix("\(name)_") }
            }
            #expect(unknown == [], "\(file)")
        }
    }

    @Test func aSecretMayLieInAFileButNotInBothPlaces() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("martlet-secret-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: path) }
        var values = Self.secrets
        values["MARTLET_CONTEXT_KEYS"] = nil
        values["MARTLET_CONTEXT_KEYS_FILE"] = path
        let missing = #expect(throws: SettingError.self) { try GatewayConfiguration(settings: Settings(values: values)) }
        #expect(missing?.description.contains("MARTLET_CONTEXT_KEYS_FILE") == true)
        _ = FileManager.default.createFile(atPath: path, contents: Data("\(TestContextKeys.text(of: ContextPair.gateway))\n".utf8))
        #expect(try GatewayConfiguration(settings: Settings(values: values)).contextKeys.signer(for: "crm") != nil)
        values["MARTLET_CONTEXT_KEYS"] = Self.secrets["MARTLET_CONTEXT_KEYS"]
        let both = #expect(throws: SettingError.self) { try GatewayConfiguration(settings: Settings(values: values)) }
        #expect(both?.description.contains("expected only one") == true)
        // What is no secret is not taken from a file.
        values["MARTLET_CONTEXT_KEYS_FILE"] = nil
        values["MARTLET_HOST_FILE"] = path
        #expect(try GatewayConfiguration(settings: Settings(values: values)).host == "127.0.0.1")
    }
}

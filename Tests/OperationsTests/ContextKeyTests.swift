import Core
import Foundation
import Operations
import ServiceRuntime
import TestSupport
import Testing

/// The keys that operators are given are those that the processes need: as the script derives them, and as the dev overlay has them.
@Suite struct ContextKeyTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    private static let processes = [ContextPair.gateway] + ServiceName.allCases.map(\.rawValue)

    private static func derive(_ root: String, for process: String) async throws -> String {
        let script = Self.root.appending(path: "compose/context-keys").path
        return String(try await ChildProcess.run(script, [process], input: root + "\n").dropLast())
    }

    /// Every pair talks, and nobody else understands.
    private static func expectThatAllPairsFit(_ texts: [String: String], _ source: String) throws {
        var keys: [String: ContextKeys] = [:]
        for process in processes { keys[process] = try ContextKeys(try #require(texts[process]), of: process, pairs: ContextPair.all) }
        let caller = Caller.service(SystemContext(service: "any"))
        for pair in ContextPair.all {
            let signer = try #require(keys[pair.caller]?.signer(for: pair.callee))
            let value = signer.sign(caller, method: "GET", target: "/")
            for service in ServiceName.allCases.map(\.rawValue) {
                let verified = try? keys[service]?.verifier.verify(value, method: "GET", target: "/")
                #expect((verified != nil) == (service == pair.callee), "\(source): \(pair.name) at \(service)")
            }
        }
        let secrets = texts.values.flatMap { $0.split(separator: ",") }
        #expect(Set(secrets).count == ContextPair.all.count, "\(source): each key is another, and stands with its two processes")
        #expect(secrets.count == ContextPair.all.reduce(0) { $0 + ($1.caller == $1.callee ? 1 : 2) })
    }

    @Test func whatTheScriptDerivesFitsTogether() async throws {
        let root = "k1:" + String(repeating: "0123456789abcdef", count: 4)
        var texts: [String: String] = [:]
        for process in Self.processes { texts[process] = try await Self.derive(root, for: process) }
        try Self.expectThatAllPairsFit(texts, "compose/context-keys")
        // HMAC-SHA256 of "martlet context crm-tenant" and one octet 1 under the root, made with another library.
        #expect(texts["crm"]?.contains("k1:crm-tenant:af3758f06af7b7d3fdf2e6e1218aa20d51b9606c165aba7eb3c7e3db8fe2fd9c") == true)
        // What one was derived from stays as it is beside a second.
        let both = try await Self.derive("k2:\(String(repeating: "25", count: 32)),\(root)", for: "crm")
        #expect(both.hasPrefix("k2:gateway-crm:") && both.hasSuffix(texts["crm"] ?? "-"))
    }

    @Test(arguments: ["", "k1", "k1:ab", "k1:" + String(repeating: "x", count: 64), ":" + String(repeating: "a", count: 64)])
    func aRootThatIsNoneIsRefused(_ text: String) async throws {
        await #expect(throws: ChildProcess.CommandFailed.self) { try await Self.derive(text, for: "crm") }
    }

    @Test func theDevOverlaysKeysFitTogether() throws {
        let text = try String(contentsOf: Self.root.appending(path: "k8s/overlays/dev/secrets/kustomization.yaml"), encoding: .utf8)
        let found = text.matches(of: /- name: martlet-context-([a-z]+)\n  literals: \["keys=([^"]+)"\]/)
        try Self.expectThatAllPairsFit(
            Dictionary(found.map { (String($0.output.1), String($0.output.2)) }) { $1 }, "the dev overlay")
    }

    /// Whoever migrates, or asks for the health, is given no keys.
    @Test func onlyWhoServesOrAsksOthersNeedsKeys() throws {
        let configuration = try RuntimeConfiguration(service: .crm, settings: Settings(values: ["MARTLET_POSTGRES_OWNER_PASSWORD": "a"]))
        #expect(throws: Never.self) { try configuration.postgres(as: .owner) }
        let missing = #expect(throws: SettingError.self) { try configuration.contextKeys() }
        #expect(missing?.description.hasPrefix("setting MARTLET_CONTEXT_KEYS: expected ") == true)
    }
}

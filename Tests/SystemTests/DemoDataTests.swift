import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// What `compose/local` loads goes through the API as anything else does.
    @Suite struct DemoData {
        @Test func isLoadedAndTheSameAfterASecondTime() async throws {
            let world = try World.get()
            try await world.platform.run(
                "identity", ["operator", "create", "--email", "operator@martlet.test", "--name", "Operator"], input: World.password + "\n")
            let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../compose").standardized
            // With a password that this platform takes, and without the addresses that people of other tests have.
            let program = """
                import sys; sys.path.insert(0, sys.argv[1]); import demo; demo.PASSWORD = sys.argv[2]
                demo.PEOPLE_OF_ACME = [("demo-" + local, *rest) for local, *rest in demo.PEOPLE_OF_ACME]
                demo.load(sys.argv[3])
                """
            for _ in 0..<2 {
                _ = try await ChildProcess.run(
                    "/usr/bin/env",
                    ["python3", "-B", "-c", program, folder.path(percentEncoded: false), World.password, world.platform.gatewayURL])
                let admin = try await World.signIn("admin@acme.test", world.platform.api)
                for (resource, count) in [
                    ("leads", 200), ("accounts", 13), ("contacts", 60), ("deals", 60), ("notes", 30), ("tasks", 80), ("products", 8),
                    ("exchange-rates", 10),
                    ("tickets", 40),
                ] {
                    let list = try await admin.send(.get, "/v1/\(resource)?count=exact&limit=1", expecting: 200)
                    #expect(list.json["page"]?["total"]?.integer == Int64(count), "\(resource)")
                }
                let contacts = try await admin.send(.get, "/v1/contacts?limit=200&fields=email&expand=account", expecting: 200)
                for contact in contacts.json["data"]?.array ?? [] {
                    let domain = try #require(contact["account"]?["domain"]?.string)
                    #expect(contact["email"]?.string?.hasSuffix("@\(domain)") == true)
                }
                let below = try await admin.send(.get, "/v1/accounts?fields=name&expand=parent&q=blue", expecting: 200)
                #expect(below.json["data"]?[0]?["parent"]?["name"] == "Northwind Turbines")
            }
        }
    }
}

import Contracts
import Core
import Foundation
import Operations
import TestSupport
import Testing

extension SystemTests {
    /// Every fault has the status and code that the document promises, names its place, and leaves the process alive.
    @Suite struct BadInput {
        struct Fault: Sendable, CustomStringConvertible {
            var description: String
            var method = Core.Method.post
            var path = "/v1/leads"
            var body: String?
            var status: Int
            var code: String
            var pointer: String?
            var mentions: String?
        }

        static let faults: [Fault] = [
            Fault(description: "broken JSON", body: #"{"last_name": "#, status: 400, code: "invalid_json"),
            Fault(description: "no body", body: "", status: 400, code: "invalid_json"),
            Fault(
                description: "a duplicate member", body: #"{"last_name":"a","last_name":"b"}"#, status: 400, code: "invalid_json",
                pointer: "/last_name"),
            Fault(description: "deep nesting", body: String(repeating: "[", count: 10_000), status: 400, code: "invalid_json"),
            Fault(
                description: "an unknown member", body: #"{"last_name":"a","emial":"x"}"#, status: 400, code: "unknown_member",
                pointer: "/emial", mentions: "email"),
            Fault(
                description: "a member of the system", body: #"{"last_name":"a","tenant_id":"x"}"#, status: 400, code: "unknown_member",
                pointer: "/tenant_id"),
            Fault(description: "a wrong type", body: #"{"last_name":5}"#, status: 422, code: "validation_failed", pointer: "/last_name"),
            Fault(description: "a missing member", body: "{}", status: 422, code: "validation_failed", pointer: "/last_name"),
            Fault(
                description: "a wrong format", body: #"{"last_name":"a","email":"nope"}"#, status: 422, code: "validation_failed",
                pointer: "/email"),
            Fault(
                description: "a number out of range", body: #"{"last_name":"a","score":101}"#, status: 422, code: "validation_failed",
                pointer: "/score"),
            Fault(description: "an array for an object", body: "[]", status: 422, code: "validation_failed"),
            Fault(
                description: "a wrong cursor", method: .get, path: "/v1/leads?after=nonsense", status: 400, code: "invalid_cursor",
                pointer: "?after"),
            Fault(
                description: "an unknown filter", method: .get, path: "/v1/leads?statsu=new", status: 400, code: "unknown_parameter",
                pointer: "?statsu", mentions: "status"),
            Fault(
                description: "a wrong filter value", method: .get, path: "/v1/leads?status=nonsense", status: 400,
                code: "invalid_parameter", pointer: "?status"),
            Fault(
                description: "an unknown sort field", method: .get, path: "/v1/leads?sort=nonsense", status: 400, code: "invalid_parameter",
                pointer: "?sort"),
            Fault(
                description: "a limit too high", method: .get, path: "/v1/leads?limit=1000000000", status: 400, code: "invalid_parameter",
                pointer: "?limit"),
            Fault(
                description: "a parameter that occurs twice", method: .get, path: "/v1/leads?q=a&q=b", status: 400,
                code: "invalid_parameter", pointer: "?q"),
            Fault(
                description: "invalid UTF-8 in a parameter", method: .get, path: "/v1/leads?q=%ff", status: 400, code: "invalid_parameter"),
            Fault(description: "an unknown route", method: .get, path: "/v1/nonsense", status: 404, code: "not_found"),
            Fault(
                description: "an external id other than the path's", method: .put, path: "/v1/leads/by-external-id/a%2Fb",
                body: #"{"last_name":"a","external_id":"a"}"#, status: 422, code: "validation_failed", pointer: "/external_id"),
            Fault(
                description: "an external id that shows nothing", method: .put, path: "/v1/leads/by-external-id/%20",
                body: #"{"last_name":"a"}"#, status: 422, code: "validation_failed", pointer: "/external_id"),
            Fault(
                description: "a missing member of an upsert", method: .put, path: "/v1/leads/by-external-id/a%2Fb", body: "{}", status: 422,
                code: "validation_failed", pointer: "/last_name"),
            Fault(
                description: "an external id that never was", method: .get, path: "/v1/leads/by-external-id/never", status: 404,
                code: "not_found"),
            Fault(
                description: "an encoded dot segment", method: .get, path: "/v1/leads/by-external-id/%2e%2e", status: 400,
                code: "invalid_request"),
            Fault(
                description: "a method that is not there", method: .put, path: "/v1/leads", body: "{}", status: 405,
                code: "method_not_allowed"),
        ]

        @Test(arguments: faults)
        func isAnsweredWithItsCodeAndPlace(_ fault: Fault) async throws {
            let acme = try World.get().acme
            let answer = try await acme.admin.send(
                fault.method.rawValue, fault.path, bytes: fault.body.map { Array($0.utf8) },
                headers: fault.body == nil ? [] : [("content-type", "application/json")])
            #expect(answer.status == fault.status, "\(answer.text)")
            #expect(answer.code == fault.code, "\(answer.text)")
            #expect(answer.header("content-type") == "application/problem+json")
            #expect(answer.json["request_id"]?.string == answer.header("x-request-id"))
            if let pointer = fault.pointer {
                #expect(answer.json["errors"]?.array?.contains { $0["pointer"]?.string == pointer } == true, "\(answer.text)")
            }
            if let mentioned = fault.mentions { #expect(answer.text.contains(mentioned)) }
        }

        @Test func allFaultsAreToldAtOnce() async throws {
            let acme = try World.get().acme
            let answer = try await acme.admin.send(
                .post, "/v1/leads", ["email": "nope", "score": -1, "status": "nonsense"], expecting: 422)
            let pointers = answer.json["errors"]?.array?.compactMap { $0["pointer"]?.string }.sorted()
            #expect(pointers == ["/email", "/last_name", "/score", "/status"])
        }

        @Test func anotherMediaTypeIsRefused() async throws {
            let acme = try World.get().acme
            let answer = try await acme.admin.send(
                "POST", "/v1/leads", bytes: Array("last_name=a".utf8), headers: [("content-type", "application/x-www-form-urlencoded")],
                expecting: 415)
            #expect(answer.code == "unsupported_media_type")
        }

        @Test func aBodyOfTenMegabytesIsRefused() async throws {
            let world = try World.get()
            let port = try #require(URL(string: world.platform.gatewayURL)?.port)
            let body = #"{"last_name":""# + String(repeating: "a", count: 10 << 20) + #""}"#
            let head =
                "POST /v1/leads HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(world.acme.admin.token ?? "")\r\nContent-Type: application/json\r\n"
            for request in [
                "\(head)Content-Length: \(body.utf8.count)\r\n\r\n\(body)",
                "\(head)Transfer-Encoding: chunked\r\n\r\n\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\r\n",
            ] {
                let answer = try await RawExchange.send(request, port: port)
                #expect(answer.hasPrefix("HTTP/1.1 413 "), "\(answer.prefix(300))")
                #expect(answer.contains("body_too_large"))
            }
            try await world.acme.admin.send(.get, "/v1/leads?limit=1", expecting: 200)
        }

        @Test(arguments: [
            ("a header of 100 kB", "GET /v1/leads HTTP/1.1\r\nHost: a\r\nX-Big: \(String(repeating: "a", count: 100_000))\r\n\r\n", 431),
            ("two lengths", "POST /v1/leads HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
            (
                "a length and chunks",
                "POST /v1/leads HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400
            ),
            ("a signed length", "POST /v1/leads HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}", 400),
            ("a bare line feed", "GET /v1/leads HTTP/1.1\nHost: a\n\n", 400),
            ("a folded header", "GET /v1/leads HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\n\r\n", 400),
            ("a space before the colon", "GET /v1/leads HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("no host", "GET /v1/leads HTTP/1.1\r\n\r\n", 400),
            ("a long target", "GET /v1/leads?q=\(String(repeating: "a", count: 9000)) HTTP/1.1\r\nHost: a\r\n\r\n", 414),
            ("no HTTP at all", "\u{16}\u{03}\u{01}\u{02}\u{00}\u{01}\r\n\r\n", 400),
        ])
        func brokenHTTPIsRefused(_ what: String, _ request: String, _ status: Int) async throws {
            let world = try World.get()
            let port = try #require(URL(string: world.platform.gatewayURL)?.port)
            let answer = try await RawExchange.send(request, port: port)
            #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(what): \(answer.prefix(300))")
            #expect(answer.contains("application/problem+json"), "\(what)")
            try await world.acme.admin.send(.get, "/v1/leads?limit=1", expecting: 200)
        }

        @Test(arguments: [
            "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0.eyJzdWIiOiJ4In0.", "x", "a.b.c", "", "mk_live_0123456789",
        ])
        func aTokenThatIsNoneIsRefused(_ token: String) async throws {
            let world = try World.get()
            let answer = try await world.platform.api.signedIn(token).send(.get, "/v1/leads", expecting: 401)
            #expect(answer.code == "unauthenticated")
            #expect(answer.header("www-authenticate") != nil)
        }
    }

    @Suite struct Limits {
        /// The gateway has counted the address too, and has nearly all of that left; what the client must know is the other limit.
        @Test func tooManyWrongSignInsNameTheLimitThatRefused() async throws {
            let world = try World.get()
            let wrong: JSON = ["email": "nobody-at-all@kestrel.example", "password": "not the right one"]
            for _ in 0..<5 {
                let answer = try await world.platform.api.send(.post, "/v1/auth/login", wrong, expecting: 401)
                #expect(answer.header("ratelimit")?.hasPrefix("\"address\";r=") == true)
            }
            let refused = try await world.platform.api.send(.post, "/v1/auth/login", wrong, expecting: 429)
            #expect(refused.fields("ratelimit-policy") == ["\"sign-in-account\";q=5;w=900"])
            #expect(refused.fields("ratelimit") == ["\"sign-in-account\";r=0;t=\(refused.header("retry-after") ?? "-")"])
        }
    }

    @Suite struct Documentation {
        /// Structure by the rules of OpenAPI 3.1: unique operation ids, every reference resolves, every path parameter is declared.
        @Test func theDocumentIsWholeAndListsEveryRouteOfEveryService() async throws {
            let world = try World.get()
            let document = try await world.platform.api.send(.get, "/openapi.json", expecting: 200).json
            #expect(document["openapi"]?.string == "3.1.0")
            let paths = try #require(document["paths"]?.object)
            var ids: [String] = []
            for path in paths.members {
                for operation in path.value.object?.members ?? [] {
                    ids.append(operation.value["operationId"]?.string ?? "")
                    let declared = Set(
                        operation.value["parameters"]?.array?.filter { $0["in"]?.string == "path" }.compactMap { $0["name"]?.string } ?? [])
                    #expect(declared == Set(OpenAPI.parameterNames(in: path.name)), "\(operation.name) \(path.name)")
                    #expect(operation.value["responses"]?.object?.isEmpty == false)
                }
            }
            #expect(Set(ids).count == ids.count, "\(ids)")
            for name in Self.references(in: document) {
                #expect(document["components"]?["schemas"]?[name] != nil, "no schema \(name)")
            }
            for (service, url) in world.platform.serviceURLs where service != "gateway" {
                let own = try await APIClient(url: url).send(.get, "/openapi.json", expecting: 200).json
                for path in try #require(own["paths"]?.object).members {
                    #expect(paths[path.name] == path.value, "\(service) \(path.name)")
                }
            }
        }

        /// A body or an answer that is a stream needs a way of its own through the gateway, which knows of those that the contract names.
        @Test func whatIsStreamedStandsInTheContract() async throws {
            let world = try World.get()
            var found: Set<String> = []
            for service in ServiceName.allCases {
                let url = try #require(world.platform.serviceURLs[service.rawValue])
                let document = try await APIClient(url: url).send(.get, "/openapi.json", expecting: 200).json
                for path in document["paths"]?.object?.members ?? [] {
                    for (method, operation) in (path.value.object?.members ?? []).map({ ($0.name.uppercased(), $0.value) }) {
                        let limit = operation["x-body-limit"]?.integer.map { "up to \($0)" }
                        guard limit != nil || operation["x-streams"] == true else { continue }
                        found.insert("\(service) \(method) \(path.name) \(limit ?? "answer")")
                    }
                }
            }
            let known = StreamedRoute.all.map { route in
                let kind = if case .upload(_, let limit) = route.streaming { "up to \(limit)" } else { "answer" }
                return "\(route.service) \(route.method.rawValue) \(route.path) \(kind)"
            }
            #expect(found == Set(known))
        }

        /// Takes every write from the document itself: its example passes every check but that of the header which is wrong, and a route
        /// without the header in its documentation refuses it.
        @Test func everyWriteReadsTheHeadersThatItDocuments() async throws {
            let world = try World.get()
            for operation in try await DocumentedOperation.all(of: world) where operation.method != .get {
                #expect((operation.body != nil) == operation.hasBody, "\(operation) needs an example")
                let client = operation.path.hasPrefix("/v1/platform") ? world.operatorClient : world.acme.admin
                var wrong = [("Idempotency-Key", String(repeating: "k", count: 256))]
                for name in ["If-Match", "If-None-Match"] where operation.parameters.contains(name) { wrong.append((name, "nonsense")) }
                for (header, value) in wrong {
                    let answer = try await client.send(
                        operation.method, operation.target(), operation.body, headers: [(header.lowercased(), value)])
                    #expect(answer.status == 400, "\(operation): \(answer.text)")
                    let fault = answer.json["errors"]?[0]
                    #expect(fault?["pointer"]?.string == header, "\(operation): \(answer.text)")
                    #expect(
                        (fault?["code"]?.string == "not_allowed") == !operation.parameters.contains(header), "\(operation): \(answer.text)")
                }
            }
        }

        private static func references(in value: JSON) -> [String] {
            switch value {
            case .object(let object):
                object.members.flatMap { member in
                    if member.name == "$ref", let target = member.value.string { return [String(target.split(separator: "/").last ?? "")] }
                    return references(in: member.value)
                }
            case .array(let elements): elements.flatMap(references)
            default: []
            }
        }

        @Test func metricsAndHealthAreOnAPortOfTheirOwn() async throws {
            let world = try World.get()
            for (name, url) in world.platform.adminURLs {
                let admin = APIClient(url: url)
                for path in ["/livez", "/readyz", "/metrics"] { try await admin.send(.get, path, expecting: 200) }
                #expect(try await admin.send(.get, "/metrics").text.contains("martlet_"), "\(name)")
            }
            try await world.acme.admin.send(.get, "/metrics", expecting: 404)
        }

        /// No secret and no personal data in any log of a run.
        @Test func logsHoldNoSecretsAndNoPersonalData() async throws {
            let world = try World.get()
            let email = "very.private.person@example.com"
            _ = try await world.acme.create("/v1/leads", ["last_name": "Verysecretname", "email": .string(email)])
            try await world.acme.admin.send(.get, "/v1/leads?q=verysecretname", expecting: 200)
            for (name, process) in world.platform.processes {
                let log = process.output
                for secret in [
                    World.password, email, "Verysecretname", "verysecretname", "admin@\(world.acme.slug).test",
                    world.acme.admin.token ?? "-",
                    String(repeating: "5a", count: 32), String(repeating: "7e", count: 32),
                ] {
                    #expect(!log.contains(secret), "\(name) logged \(secret)")
                }
            }
        }
    }
}

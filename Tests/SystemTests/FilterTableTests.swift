import Core
import Foundation
import TestSupport
import Testing

extension SystemTests {
    /// The table of filters that the public document has: each operator of each field of each list, with values that are right and others.
    @Suite struct FilterTable {
        /// A tenant with some records of each resource, and nobody else's changes.
        private static func tenant(_ world: World) async throws -> PlainReader {
            let made = try await Organization(
                name: "filters", plan: "enterprise", platform: world.platform, operatorClient: world.operatorClient)
            // Thousands of requests one after the other.
            try await world.operatorClient.send(
                .patch, "/v1/platform/tenants/\(made.id)", ["overrides": ["requests_per_second": 1_000_000]], expecting: 200)
            let admin = try await World.signIn("admin@\(made.slug).test", world.platform.api)
            for operation in try await DocumentedOperation.all(of: world)
            where operation.method == .post && operation.sample?.path == operation.path {
                var whole = operation.body?.object ?? JSONObject()
                for name in whole.names where name.hasSuffix("_id") { whole[name] = nil }
                for body in [.object(whole), operation.sample?.body, operation.sample?.body] {
                    try await admin.send(.post, operation.path, body, expecting: 201)
                }
            }
            return PlainReader(admin)
        }

        private static func filters(_ world: World) async throws -> [ListFilter] {
            let schemas = try await world.platform.api.send(.get, "/openapi.json", expecting: 200).json["components"]?["schemas"]
            let schema = JSONSchema(schemas: schemas ?? .null)
            return try await DocumentedOperation.all(of: world).flatMap { operation in
                guard operation.method == .get, operation.sample?.path == operation.path else { return [ListFilter]() }
                let row = schema.resolved(operation.answerSchema ?? .null)["properties"]?["data"]?["items"] ?? .null
                return try operation.queryParameters.compactMap {
                    try ListFilter($0, of: operation.path, row: schema.resolved(row["allOf"]?[0] ?? row), schema)
                }
            }
        }

        /// Goal: no value is taken for another, none is passed over, and each refusal says where and what is expected.
        /// Method: for every operator of every filter of the document the values that its kind has, and a list of those that it has not.
        @Test(.timeLimit(.minutes(3))) func eachOperatorTakesItsValuesAndNoOthers() async throws {
            let world = try World.get()
            let admin = try await Self.tenant(world)
            let filters = try await Self.filters(world)
            #expect(Set(filters.map(\.path)) == Set(SampleRecord.all.map(\.path)))
            for filter in filters {
                for name in filter.operators {
                    for value in filter.right(name) {
                        let answer = try await admin.get(filter.target(name, value), expecting: 200)
                        #expect(answer.json["data"]?.array != nil, "\(filter.target(name, value))")
                    }
                    for (place, value) in filter.wrong(name).enumerated() {
                        let target = filter.target(name, value, isEncoded: place % 2 == 1)
                        let answer = try await admin.get(target, expecting: 400)
                        #expect(answer.code == "invalid_parameter", "\(target): \(answer.text)")
                        #expect(answer.json["errors"]?[0]?["pointer"]?.string == "?\(filter.parameter(name))", "\(target): \(answer.text)")
                        #expect(answer.json["errors"]?[0]?["detail"]?.string?.isEmpty == false, "\(target): \(answer.text)")
                    }
                    // Not even text.
                    for value in ["%00", "a%00b", "%ff", "%C3", "%", "%4", "%zz"] {
                        let answer = try await admin.get(filter.target(name, value), expecting: 400)
                        #expect(answer.code == "invalid_parameter", "\(value): \(answer.text)")
                    }
                    let one = filter.target(name, filter.right(name)[0])
                    let other = filter.target(name, filter.right(name)[0], isEncoded: true)
                    let twice = try await admin.get("\(one)&\(other.split(separator: "?")[1])", expecting: 400)
                    #expect(twice.text.contains("occurs twice"), "\(one)")
                    // More than the target of a request has room for, or than a filter has values.
                    let many = Array(repeating: filter.right(name)[0], count: 1000).joined(separator: ",")
                    let tooMany = try await admin.get(filter.target(name, many))
                    #expect(tooMany.status == (many.utf8.count > 7_000 ? 414 : 400), "\(one): \(tooMany.status)")
                }
            }
        }

        @Test func whatIsNoFilterIsRefusedWithWhatIsOne() async throws {
            let world = try World.get()
            let admin = try await Self.tenant(world)
            for filter in try await Self.filters(world) {
                let others = ["not", "gt", "gte", "lt", "lte", "prefix", "null"].filter { !filter.operators.contains($0) }
                var names = (others + ["eq", "gtt", "GT", "", "gt][lt", "not][", " not", "gt ", "0", "ne"]).map { "\(filter.name)[\($0)]" }
                names += ["\(filter.name)[gt", "\(filter.name)]gt[", "\(filter.name)gt]", "\(filter.name).gt", "\(filter.name)__gt"]
                for (place, name) in names.enumerated() {
                    let encoded = name.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? name
                    let raw = name.replacing(" ", with: "%20")
                    let answer = try await admin.get("\(filter.path)?\(place % 2 == 0 ? encoded : raw)=5", expecting: 400)
                    #expect(answer.code == "unknown_parameter", "\(name): \(answer.text)")
                    let fault = answer.json["errors"]?[0]
                    #expect(fault?["pointer"]?.string == "?\(name)", "\(name): \(answer.text)")
                    if name.hasPrefix(filter.name + "[") {
                        let detail = fault?["detail"]?.string?.dropFirst(name.count) ?? ""
                        #expect(filter.operators.contains { detail.contains(filter.parameter($0)) }, "\(name): \(answer.text)")
                    }
                }
            }
            // A field of the tenant's own is compared as a whole, and whoever wants more of it is told so.
            for name in ["custom.size[gt]", "custom.size[prefix]", "custom.size[null]", "custom.size[not]", "custom.size["] {
                let answer = try await admin.get("/v1/leads?\(name)=5", expecting: 400)
                #expect(answer.code == "unknown_parameter" && answer.text.contains("custom.size=a,b"), "\(name): \(answer.text)")
            }
            for name in [
                "custom", "custom.", "custom.Size", "custom.a.b", "custom.a-b", "custom[size]",
                "custom." + String(repeating: "k", count: 65),
            ] {
                let answer = try await admin.get("/v1/leads?\(name)=5", expecting: 400)
                #expect(answer.code == "unknown_parameter", "\(name): \(answer.text)")
            }
        }

        /// Goal: no operator is passed over. Method: what it finds and what its opposite finds are all that there is.
        @Test func anOperatorAndItsOppositeFindAllThereIs() async throws {
            let world = try World.get()
            let admin = try await Self.tenant(world)
            func count(_ target: String) async throws -> Int64 {
                let answer = try await admin.get("\(target)&count=exact&limit=1", expecting: 200)
                return try #require(answer.json["page"]?["total"]?.integer)
            }
            for filter in try await Self.filters(world) {
                let all = try await count("\(filter.path)?sort=created_at")
                #expect(all >= 3)
                let rows = try await admin.get(filter.path, expecting: 200).json["data"]?.array ?? []
                let values = rows.compactMap { filter.text(in: $0) }
                guard let value = values.first?.asQueryValue else { continue }
                func found(_ name: String, _ value: String) async throws -> Int64 { try await count(filter.target(name, value)) }
                let with = filter.operators.contains("null") ? try await found("null", "false") : all
                if filter.operators.contains("null") { #expect(try await found("null", "true") + with == all, "\(filter)") }
                let same = try await found("", value)
                #expect(same >= 1 && same <= with, "\(filter)")
                if filter.operators.contains("not") { #expect(try await found("not", value) + same == all, "\(filter)") }
                if filter.operators.contains("prefix") { #expect(try await found("prefix", value) >= same, "\(filter)") }
                guard filter.operators.contains("gt") else { continue }
                let (above, below) = (try await found("gt", value), try await found("lt", value))
                #expect(above + same + below == with, "\(filter)")
                let (from, upTo) = (try await found("gte", value), try await found("lte", value))
                #expect(from == above + same && upTo == below + same, "\(filter)")
            }
        }

        /// Every parameter of every list of the platform, with what people try: an answer that is one, and no fault.
        @Test(.timeLimit(.minutes(3))) func noValueOfAnyParameterMakesAFault() async throws {
            let world = try World.get()
            let admin = try await Self.tenant(world)
            let values = [
                "", "%00", "%ff", "%", "%F0%9F%98%80", String(repeating: "a", count: 2000), "99999999999999999999", "-1", "0", "1e999",
                "%7B%7D",
                "[]", "';--", "%25%27%20or%201%3D1", "null", "infinity", "-infinity", "now", "0000-00-00", "0000-01-01", "0001-01-01",
                "9999-12-31", "10000-01-01", "0000-01-01T00:00:00Z", "-4713-01-01T00:00:00Z", "0001-01-01T00:00:00%2B23:59",
                "9999-12-31T23:59:59.999-23:59", "2026-01-31T09:30:00+01:00", "294277-01-01T00:00:00Z", ",", ",,,", "%5C", "%5C,",
                Array(repeating: "1", count: 1000).joined(separator: ","), "%22", "%22%22%20-a", "-a", "or", "%E2%80%8B", "%D8%A0%CC%81",
            ]
            for operation in try await DocumentedOperation.all(of: world) where operation.method == .get {
                let client = operation.path.hasPrefix("/v1/platform") ? PlainReader(world.operatorClient) : admin
                for parameter in operation.queryParameters {
                    let name = parameter["name"]?.string ?? ""
                    // The operators of resources are in the table above.
                    let members = operation.sample == nil ? parameter["schema"]?["anyOf"]?[1]?["properties"]?.object?.names ?? [] : []
                    for target in [name] + members.map({ "\(name)[\($0)]" }) {
                        for value in values {
                            let answer = try await client.get("\(operation.target())?\(target)=\(value)")
                            #expect([200, 400, 404].contains(answer.status), "\(operation) \(target)=\(value): \(answer.text)")
                        }
                    }
                }
            }
        }
    }
}

/// Sends a target as it is, where a library would encode it anew.
private struct PlainReader {
    let port: Int
    let token: String

    init(_ client: APIClient) {
        port = URL(string: client.url)?.port ?? 0
        token = client.token ?? ""
    }

    func get(
        _ target: String, expecting: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> (status: Int, code: String?, json: JSON, text: String) {
        let answer = try await RawExchange.send(
            "GET \(target) HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer \(token)\r\nConnection: close\r\n\r\n", port: port)
        let status = Int(answer.split(separator: " ", maxSplits: 2).dropFirst().first ?? "") ?? 0
        let text = answer.firstRange(of: "\r\n\r\n").map { String(answer[$0.upperBound...]) } ?? ""
        if let expecting, status != expecting {
            Issue.record("GET \(target)\n→ \(status), expected \(expecting)\n\(text.prefix(2000))", sourceLocation: sourceLocation)
        }
        let json = (try? JSONParser.parse(text)) ?? .null
        return (status, json["code"]?.string, json, text)
    }
}

/// A filter as the document describes it, with the kind of its field.
private struct ListFilter: CustomStringConvertible {
    enum Kind {
        case integer(Int64, Int64)
        case date, time, boolean, id, email
        case choice([String])
        /// A record of one of several types.
        case related([String])
        case text(maximum: Int, example: String)
    }

    let path: String
    let name: String
    let operators: [String]
    private let kind: Kind

    var description: String { "\(path) \(name)" }

    /// `nil` for a parameter that filters by no field.
    init?(_ parameter: JSON, of path: String, row: JSON, _ schema: JSONSchema) throws {
        let name = try #require(parameter["name"]?.string)
        let field = name == "tag" ? row["properties"]?["tags"]?["items"] : row["properties"]?[name]
        guard let field, parameter["schema"]?["enum"] == nil else { return nil }
        self.path = path
        self.name = name
        operators = [""] + (parameter["style"] == "deepObject" ? parameter["schema"]?["anyOf"]?[1]?["properties"]?.object?.names ?? [] : [])
        let types = (field["type"]?.array ?? [field["type"] ?? .null]).compactMap(\.string)
        switch (field["format"] ?? field["anyOf"]?[0]?["format"])?.string {
        case _ where types.contains("object"):
            kind = .related(field["properties"]?["type"]?["enum"]?.array?.compactMap(\.string) ?? [])
        case "date": kind = .date
        case "date-time": kind = .time
        case "uuid": kind = .id
        case "idn-email": kind = .email
        case _ where field["enum"] != nil: kind = .choice(field["enum"]?.array?.compactMap(\.string) ?? [])
        case _ where types.contains("boolean"): kind = .boolean
        case _ where types.contains("integer"):
            kind = .integer(field["minimum"]?.integer ?? .min, field["maximum"]?.integer ?? .max)
        default:
            let example = try ["kestrel.example", "+49 40 5550101", "https://kestrel.example"].first {
                try schema.accepts(.string($0), field)
            }
            kind = .text(maximum: Int(field["maxLength"]?.integer ?? 255), example: try #require(example, "no value for \(name): add one"))
        }
    }

    func parameter(_ name: String) -> String { name.isEmpty ? self.name : "\(self.name)[\(name)]" }

    func target(_ name: String, _ value: String, isEncoded: Bool = false) -> String {
        let parameter = parameter(name)
        return "\(path)?\(isEncoded ? parameter.replacing("[", with: "%5B").replacing("]", with: "%5d") : parameter)=\(value)"
    }

    /// The value of a row as a filter has it.
    func text(in row: JSON) -> String? {
        let value = name == "tag" ? row["tags"]?[0] : row[name]
        return switch value {
        case .string(let text): text.replacing(",", with: "\\,")
        case .number(let text): text
        case .bool(let flag): flag ? "true" : "false"
        case .object(let object): "\(object["type"]?.string ?? ""):\(object["id"]?.string ?? "")"
        default: nil
        }
    }

    func right(_ name: String) -> [String] {
        switch name {
        case "null": return ["true", "false"]
        case "prefix": return ["k", "K%C3%A9s", "k,%C3%BC", "%27", "%25", "%5C", "a%5C,b", String(repeating: "k", count: 200)]
        default: break
        }
        let one: [String] =
            switch kind {
            case .integer(let least, let most): ["\(max(least, 0))", "\(least)", "\(most)"]
            case .date: ["2026-01-31", "0001-01-01", "9999-12-31", "2024-02-29"]
            case .time:
                [
                    "2026-01-31T09:30:00Z", "2026-01-31T09:30:00.000Z", "2026-01-31T10:30:00+01:00", "2026-01-31T10:30:00%2B01:00",
                    "2026-01-31T04:30:00-05:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-01-31t09:30:00z",
                ]
            case .boolean: ["true", "false"]
            case .id: [RecordID().description]
            case .email: ["anna@kestrel.example", "Anna@Kestrel.Example"]
            // Of very many a few.
            case .choice(let values): values.count > 20 ? Array(values.prefix(3)) : values
            case .related(let types): types.map { "\($0):\(RecordID())" }
            case .text(_, let example): [example.asQueryValue, "\(example.asQueryValue)"]
            }
        return ["", "not"].contains(name) ? one + [one.joined(separator: ",")] : one
    }

    func wrong(_ name: String) -> [String] {
        switch name {
        case "null": return ["", "1", "0", "True", "TRUE", "yes", "null", "true,false", "%20true"]
        case "prefix":
            return ["", "%20", "a,,b", ",", "%E2%80%8B", "a%0Ab", "a%07", String(repeating: "k", count: 201), many("k")]
        default: break
        }
        let one: [String] =
            switch kind {
            case .integer(let least, let most):
                [
                    "x", "1.5", "1.0", "1e3", "0x10", "--1", "%EF%BC%91", "1%20", "99999999999999999999", "9223372036854775808",
                    "-9223372036854775809", "NaN",
                ]
                    + (least > .min ? ["\(least - 1)"] : []) + (most < .max ? ["\(most + 1)"] : [])
            case .date:
                [
                    "today", "infinity", "-infinity", "epoch", "2026-02-30", "2026-1-31", "20260131", "2026-01-31T00:00:00Z", "0000-01-01",
                    "-4713-11-24", "4714-11-24%20BC", "10000-01-01", "31.01.2026",
                ]
            case .time:
                [
                    "now", "infinity", "-infinity", "2026-01-31", "2026-01-31T09:30:00", "2026-01-31T09:30Z", "2026-02-30T00:00:00Z",
                    "2026-01-31T24:00:00Z", "0000-12-31T00:00:00Z", "-4713-11-24T00:00:00Z", "4714-11-24T00:00:00Z%20BC",
                    "10000-01-01T00:00:00Z", "294277-01-01T00:00:00Z", "1769851800", "2026-01-31T09:30:00+0100",
                    "2026-01-31T09:30:00++01:00",
                ]
            case .boolean: ["1", "0", "TRUE", "yes", "t", "null"]
            case .id: ["me", "0", "%7B01a20922-d6ba-7e1d-b402-13919357caf0%7D", "01a20922-d6ba-7e1d-b402-13919357caf", "null"]
            case .email: ["nobody", "a@", "@b.example", "a%20b@c.example", "a@b@c.example", "a%0A@b.example"]
            case .choice(let values):
                [
                    values[0] + "x", values[0].lowercased() == values[0] ? values[0].uppercased() : values[0].lowercased(), "null",
                    "%20\(values[0])x",
                ]
            case .related(let types):
                [
                    "\(types[0])", "\(types[0]):", "\(types[0]):1", "\(types[0])s:\(RecordID())", ":\(RecordID())", RecordID().description,
                    "x:y:z",
                ]
            case .text(let maximum, let example):
                ["%20", "%E2%80%8B", "a%0Ab", example.asQueryValue + String(repeating: "k", count: maximum)]
            }
        let right = right("")[0]
        if ["", "not"].contains(name) { return ["", ",", "\(right),", ",\(right)", many(right)] + one + one.map { "\(right),\($0)" } }
        return ["", "\(right),\(right)"] + one
    }

    /// One more than a filter takes.
    private func many(_ value: String) -> String { Array(repeating: value, count: 101).joined(separator: ",") }
}

extension String {
    fileprivate var asQueryValue: String { addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? self }
}

import Core
import Foundation
import Postgres
import Resources
import TestSupport
import Testing

/// Filters with each operator on each kind of field.
@Suite struct FilterTests {
    @Test func theSampleFitsItsTable() async throws {
        try await ResourceAPI.samples { api in
            let faults = try await SchemaCheck.faults(of: Sample.definition, on: api.postgres)
            #expect(faults == [])
        }
    }

    /// Goal: each operator finds what it says, in every order and page by page, and a count agrees; so does a caller who sees only some.
    /// Method: the same filters on rows read back, in plain Swift.
    @Test(arguments: ["", "&sort=name", "&sort=-amount"])
    func eachOperatorFindsWhatItSays(order: String) async throws {
        try await ResourceAPI.samples { api in
            let admin = api.member()
            let rows = try await api.fillSamples(as: admin)
            for deleted in ["", "&deleted=only", "&deleted=include"] {
                for filter in Truth.filters(of: rows, colleague: api.colleague.description) {
                    let expected = rows.filter { row in
                        (deleted == "&deleted=include" || (row["deleted_at"] == .null) == deleted.isEmpty)
                            && filter.conditions.allSatisfy { Truth.holds($0, for: row) }
                    }.map(\.id)
                    let found = try await api.readAll("/v1/samples?limit=29\(order)\(deleted)&\(filter.query)", as: admin)
                    #expect(found.ids.sorted() == expected.sorted(), "\(filter.query)\(order)\(deleted)")
                    #expect(found.total == Int64(expected.count), "\(filter.query)\(order)\(deleted)")
                }
            }
        }
    }

    /// Names as people write them, and beginnings that find them.
    @Test func aBeginningIsFoldedAsSearchIs() async throws {
        try await ResourceAPI.samples { api in
            let admin = api.member()
            let names = [
                "Okafor", "OKONJO", "Ökonom", "O'Kane", "O’Kelly", "Müller", "Mueller", "Muller", "Straße", "Strasser", "Łukasz", "Ødegård",
                "東京タワー", "京都", "Ἀθήνα", "محمد", "ｶﾞﾗｽ", "١٢ Brothers", "100% Wool", "10\\% _x", "Zeta, Inc.",
            ]
            for name in names { _ = try await api.create((["name": .string(name)] as JSON).description, as: admin) }
            for (prefix, found) in [
                ("ok", ["OKONJO", "Okafor", "Ökonom"]), ("OKA", ["Okafor"]), ("oek", ["Ökonom"]), ("ök", ["OKONJO", "Okafor", "Ökonom"]),
                ("o'k", ["O'Kane", "O’Kelly"]), ("O’K", ["O'Kane", "O’Kelly"]), ("mül", ["Mueller", "Muller", "Müller"]),
                ("mul", ["Muller", "Müller"]), ("mue", ["Mueller", "Müller"]), ("stras", ["Strasser", "Straße"]), ("luk", ["Łukasz"]),
                ("odeg", ["Ødegård"]), ("oede", ["Ødegård"]), ("東", ["東京タワー"]), ("京", ["京都"]), ("αθη", ["Ἀθήνα"]), ("محـم", ["محمد"]),
                ("ガラ", ["ｶﾞﾗｽ"]), ("12 b", ["١٢ Brothers"]), ("100%", ["100% Wool"]), ("10%", []), ("10\\", ["10\\% _x"]), ("kafor", []),
                (#"zeta\, i"#, ["Zeta, Inc."]), ("oka,zeta", ["Okafor", "Zeta, Inc."]), ("Okafor Kestrel", []),
            ] {
                let reply = try await api.send(.get, "/v1/samples?name%5Bprefix%5D=\(prefix.asQuery)", as: admin)
                try #require(reply.status == 200, "\(prefix): \(reply.text)")
                #expect(try reply.column("name").compactMap(\.string).sorted() == found.sorted(), "\(prefix)")
            }
            // A text that grows when it is folded is taken, and found by what is compared of it.
            let long = String(repeating: "\u{FDFA}", count: 100)
            let grown = try await api.create((["name": .string(long)] as JSON).description, as: admin)
            let found = try await api.send(.get, "/v1/samples?name[prefix]=\(long.asQuery)&name=\(long.asQuery)", as: admin)
            #expect(try found.column("id").compactMap(\.string) == [grown.id])
        }
    }

    /// What is wrong, where it stands, and what would be right.
    @Test(arguments: [
        // An operator that there is not, or not for this field, and the nearest that there is.
        ("amount[gtt]=5", "unknown_parameter", "?amount[gtt]", "amount[gt]"),
        ("amount[ge]=5", "unknown_parameter", "?amount[ge]", "amount[gte]"),
        ("amuont[gte]=5", "unknown_parameter", "?amuont[gte]", "amount[gte]"),
        ("amount[]=5", "unknown_parameter", "?amount[]", "amount[gt]"),
        ("amount[gt=5", "unknown_parameter", "?amount[gt", "amount[gt]"),
        ("amount[GT]=5", "unknown_parameter", "?amount[GT]", "amount[gt]"),
        ("amount[eq]=5", "unknown_parameter", "?amount[eq]", "amount"),
        ("amount[gt][lt]=5", "unknown_parameter", "?amount[gt][lt]", "amount[gt]"),
        ("amount[prefix]=5", "unknown_parameter", "?amount[prefix]", "amount[lte], amount[null]."),
        ("kind[gt]=red", "unknown_parameter", "?kind[gt]", "It takes kind, kind[not], kind[null]."),
        ("name[null]=true", "unknown_parameter", "?name[null]", "It takes name, name[not], name[prefix]."),
        ("name[gte]=a", "unknown_parameter", "?name[gte]", "It takes name, name[not], name[prefix]."),
        ("flag[null]=true", "unknown_parameter", "?flag[null]", "It takes flag, flag[not]."),
        ("tag[prefix]=a", "unknown_parameter", "?tag[prefix]", "It takes tag, tag[not]."),
        ("created_at[null]=true", "unknown_parameter", "?created_at[null]", "created_at[gt]"),
        ("custom.size[gt]=5", "unknown_parameter", "?custom.size[gt]", "compared as a whole, as in custom.size=a,b."),
        ("limit[gt]=5", "unknown_parameter", "?limit[gt]", "limit"),
        ("created_after=2026-01-01", "unknown_parameter", "?created_after", "'created_at'"),
        // Bad values.
        ("amount[gt]=", "invalid_parameter", "?amount[gt]", "whole number"),
        ("amount[gt]=1,2", "invalid_parameter", "?amount[gt]", "whole number"),
        ("amount[gte]=1.5", "invalid_parameter", "?amount[gte]", "whole number"),
        ("amount[lt]=1001", "invalid_parameter", "?amount[lt]", "1000"),
        ("amount[lte]=99999999999999999999", "invalid_parameter", "?amount[lte]", "whole number"),
        ("amount[not]=1,x", "invalid_parameter", "?amount[not]", "whole number"),
        ("amount[null]=1", "invalid_parameter", "?amount[null]", "true or false"),
        ("amount[null]=", "invalid_parameter", "?amount[null]", "true or false"),
        ("rank[gt]=-1", "invalid_parameter", "?rank[gt]", "Expected 0"),
        ("day[gt]=2026-02-30", "invalid_parameter", "?day[gt]", "a date such as"),
        ("day[gt]=2026-02-03T00:00:00Z", "invalid_parameter", "?day[gt]", "a date"),
        ("due_at[lt]=tomorrow", "invalid_parameter", "?due_at[lt]", "a time such as"),
        ("due_at[lt]=2026-01-01", "invalid_parameter", "?due_at[lt]", "a time"),
        ("due_at[lt]=2026-01-01T00:00:00", "invalid_parameter", "?due_at[lt]", "a time"),
        ("created_at[gt]=2026-01-01T00:00:00Z,2026-01-02T00:00:00Z", "invalid_parameter", "?created_at[gt]", "a time"),
        ("active[not]=yes", "invalid_parameter", "?active[not]", "true or false"),
        ("kind[not]=rde", "invalid_parameter", "?kind[not]", "'red'"),
        ("owner_id[not]=me", "invalid_parameter", "?owner_id[not]", "an id"), ("id=me", "invalid_parameter", "?id", "an id"),
        ("id=", "invalid_parameter", "?id", "an id"),
        ("email[not]=nobody", "invalid_parameter", "?email[not]", "e-mail"),
        ("name[prefix]=", "invalid_parameter", "?name[prefix]", "begins with"),
        ("name[prefix]=a,,b", "invalid_parameter", "?name[prefix]", "begins with"),
        ("name[prefix]=%E2%80%8B", "invalid_parameter", "?name[prefix]", "begins with"),
        ("name[prefix]=a%0Ab", "invalid_parameter", "?name[prefix]", "U+000A"),
        ("name[not]=", "invalid_parameter", "?name[not]", "a value"),
        ("deleted=all", "invalid_parameter", "?deleted", "only or include"),
        ("fields=deleted_at", "invalid_parameter", "?fields", "deleted_at"),
        ("amount[gt]=1&amount[gt]=2", "invalid_parameter", "?amount[gt]", "occurs twice"),
        ("amount[gt]=1&amount%5Bgt%5D=2", "invalid_parameter", "?amount[gt]", "occurs twice"),
    ])
    func aFilterThatCannotBeIsRefusedByName(query: String, code: String, pointer: String, detail: String) async throws {
        try await ResourceAPI.samples { api in
            let queries = [query, query.replacing("[", with: "%5B").replacing("]", with: "%5d")]
            for query in queries {
                // Brackets in the query's text itself, and encoded.
                let reply = try await api.send(.get, "/v1/samples?\(query)", as: api.member())
                #expect(reply.status == 400, "\(query): \(reply.text)")
                #expect(try reply.code == code, "\(query)")
                let fault = try reply.json["errors"]?[0]
                #expect(fault?["pointer"]?.string == pointer, "\(query)")
                #expect(fault?["detail"]?.string?.contains(detail) == true, "\(query): \(fault ?? .null)")
            }
        }
    }

    @Test func allFaultsOfAQueryAreToldAndTooManyValuesAreRefused() async throws {
        try await ResourceAPI.samples { api in
            let reply = try await api.send(.get, "/v1/samples?amount[gt]=x&day[lt]=y&kind=z", as: api.member())
            #expect(try reply.faults == ["?amount[gt] invalid_format", "?day[lt] invalid_format", "?kind not_allowed"])
            let many = (0...100).map(String.init).joined(separator: ",")
            let refused = try await api.send(.get, "/v1/samples?amount[not]=\(many)", as: api.member())
            #expect(try refused.faults == ["?amount[not] too_many"])
            // Ranges that leave nothing are a list of nothing.
            let nothing = try await api.send(.get, "/v1/samples?amount[gt]=5&amount[lt]=5&deleted=include", as: api.member())
            #expect(try nothing.json["data"] == [])
        }
    }

    /// `+` that was not encoded comes as a blank.
    @Test func aTimeIsUnderstoodWithABarePlus() async throws {
        try await ResourceAPI.samples { api in
            let admin = api.member()
            _ = try await api.create(#"{"name":"A","due_at":"2026-01-31T09:30:00.000Z"}"#, as: admin)
            for (query, count) in [
                ("due_at=2026-01-31T11:30:00+02:00", 1), ("due_at=2026-01-31T11:30:00%2B02:00", 1), ("due_at=2026-01-31T09:30:00Z", 1),
                ("due_at[gt]=2026-01-31T11:29:59.999+02:00", 1), ("due_at[gt]=2026-01-31T11:30:00+02:00", 0),
                ("due_at[lte]=2026-01-31T04:30:00-05:00", 1), ("created_at[gt]=2020-01-01T00:00:00+00:00", 1),
            ] {
                let reply = try await api.send(.get, "/v1/samples?\(query)", as: admin)
                #expect(try reply.column("id").count == count, "\(query): \(reply.text)")
            }
        }
    }

    /// Deleted records alone or with the others: each tells when it was deleted, and only there.
    @Test func deletedRecordsTellWhenTheyWereDeleted() async throws {
        try await ResourceAPI.samples { api in
            let admin = api.member()
            let kept = try await api.create(#"{"name":"Kept"}"#, as: admin)
            let gone = try await api.create(#"{"name":"Gone"}"#, as: admin)
            #expect(try await api.send(.delete, "/v1/samples/\(gone.id)", as: admin).status == 204)
            let live = try await api.send(.get, "/v1/samples", as: admin)
            #expect(try live.column("id") == [.string(kept.id)])
            #expect(try live.json["data"]?[0]?["deleted_at"] == nil)
            let only = try await api.send(.get, "/v1/samples?deleted=only", as: admin)
            #expect(try only.column("id") == [.string(gone.id)])
            #expect(try only.column("deleted_at")[0].string.flatMap { Timestamp($0) } != nil)
            let both = try await api.send(.get, "/v1/samples?deleted=include&sort=created_at&count=exact", as: admin)
            #expect(try both.column("id") == [.string(kept.id), .string(gone.id)])
            #expect(try both.column("deleted_at")[0] == .null)
            #expect(try both.json["page"]?["total"] == 2)
            let sparse = try await api.send(.get, "/v1/samples?deleted=include&sort=name&fields=name,deleted_at", as: admin)
            #expect(try sparse.json["data"]?[1] == ["name": "Kept", "deleted_at": nil])
            let all =
                Sample.definition.fields.map(\.name).filter { $0 != "tags" } + ["id", "version", "created_at", "updated_at", "created_by"]
            let most = try await api.send(.get, "/v1/samples?deleted=only&fields=updated_by,\(all.joined(separator: ","))", as: admin)
            #expect(try most.json["data"]?[0]?.object?.names.count == all.count + 1)
        }
    }

    /// Ids of one's own, of nobody and of another tenant: the last two are alike.
    @Test func recordsAreListedByTheirIds() async throws {
        try await ResourceAPI.samples { api in
            let admin = api.member()
            var ids: [String] = []
            for name in ["A", "B", "C"] { ids.append(try await api.create(#"{"name":"\#(name)"}"#, as: admin).id) }
            let foreign = try await api.create(#"{"name":"F"}"#, as: api.member(tenant: TenantID()))
            let query = "id=\(ids[2]),\(ids[0]),\(RecordID()),\(foreign.id)"
            let reply = try await api.send(.get, "/v1/samples?sort=name&\(query)&count=exact", as: admin)
            #expect(try reply.column("name") == ["A", "C"])
            #expect(try reply.json["page"]?["total"] == 2)
            let first = try await api.send(.get, "/v1/samples?sort=name&limit=1&\(query)", as: admin)
            let second = try await api.send(.get, "/v1/samples?sort=name&limit=1&\(query)&after=\(try #require(try first.next))", as: admin)
            #expect(try second.column("name") == ["C"])
            #expect(try second.next == nil)
            let searched = try await api.send(.get, "/v1/samples?\(query)&q=c&name[not]=A", as: admin)
            #expect(try searched.column("name") == ["C"])
            // A cursor is of the list with its operators.
            let cursor = try #require(try first.next)
            for other in ["id[not]=\(ids[0])", "name[prefix]=A", "id=\(ids[0])"] {
                #expect(
                    try await api.send(.get, "/v1/samples?sort=name&limit=1&\(other)&after=\(cursor)", as: admin).code == "invalid_cursor")
            }
        }
    }

    /// Case 17: what nobody works on, whoever made it, and in whose sight it is.
    @Test func whatNobodyOwnsIsListed() async throws {
        try await ResourceAPI.tickets { api in
            let support = api.member(.support)
            let open = try await api.create(#"{"subject":"Open"}"#, as: support)
            let taken = try await api.create(#"{"subject":"Taken","assignee_id":"\#(support.user)"}"#, as: support)
            let admin = api.member()
            #expect(try await api.send(.get, "/v1/tickets?assignee_id[null]=true", as: admin).column("id") == [.string(open.id)])
            #expect(try await api.send(.get, "/v1/tickets?assignee_id[null]=false", as: admin).column("id") == [.string(taken.id)])
            let others = "/v1/tickets?assignee_id[not]=\(support.user)"
            #expect(try await api.send(.get, others, as: admin).column("id") == [.string(open.id)])
        }
    }

    @Test func theDocumentDescribesEachOperator() async throws {
        try await ResourceAPI.samples { api in
            let document = OpenAPI.document(routes: api.resource.routes, schemas: api.resource.schemas)
            let parameters = try #require(document["paths"]?["/v1/samples"]?["get"]?["parameters"]?.array)
            let names = parameters.compactMap { $0["name"]?.string }
            #expect(Set(names).count == names.count)
            func operators(_ name: String) -> [String]? {
                let parameter = parameters.first { $0["name"]?.string == name }
                guard parameter?["style"] == "deepObject", parameter?["explode"] == true else { return nil }
                return parameter?["schema"]?["anyOf"]?[1]?["properties"]?.object?.names
            }
            #expect(operators("amount") == ["not", "gt", "gte", "lt", "lte", "null"])
            #expect(operators("created_at") == ["not", "gt", "gte", "lt", "lte"])
            #expect(operators("name") == ["not", "prefix"])
            #expect(operators("email") == ["not", "prefix", "null"])
            #expect(operators("kind") == ["not", "null"])
            #expect(operators("tag") == ["not"])
            #expect(parameters.allSatisfy { $0["description"]?.string?.isEmpty == false })
            // Each is taken, as described.
            for name in names where operators(name) != nil {
                for one in operators(name) ?? [] {
                    let reply = try await api.send(.get, "/v1/samples?\(name)[\(one)]=%00", as: api.member())
                    #expect(try reply.code == "invalid_parameter")
                    let wrong = try await api.send(.get, "/v1/samples?\(name)[\(one)]=", as: api.member())
                    #expect(try wrong.faults.first?.hasPrefix("?\(name)[\(one)] ") == true, "\(wrong.text)")
                }
            }
        }
    }
}

/// Filters in plain Swift.
private enum Truth {
    struct Condition {
        var name: String
        var comparison: String
        var values: [String]
    }

    struct Filter {
        var conditions: [Condition]

        var query: String {
            conditions.map { condition in
                let values = condition.values.map { $0.replacing(",", with: "\\,").asQuery }.joined(separator: ",")
                return "\(condition.name)\(condition.comparison.isEmpty ? "" : "[\(condition.comparison)]")=\(values)"
            }.joined(separator: "&")
        }
    }

    /// Each operator that a field has, by its values, by one that no row has, and by two of them; then some together.
    static func filters(of rows: [JSON], colleague: String) -> [Filter] {
        let choices = ["", "not"]
        let ranges = ["gt", "gte", "lt", "lte"]
        let fields: [(name: String, comparisons: [String], isNullable: Bool, other: String?)] = [
            ("name", choices + ["prefix"], false, "Nobody"), ("label", choices + ["prefix"], true, "kestrel"),
            ("email", choices + ["prefix"], true, "nobody@x.example"), ("phone", [""], false, "+1 999 000"),
            ("amount", choices + ranges, true, "-999"), ("rank", choices + ranges, true, "77"),
            ("day", choices + ranges, true, "2026-03-05"),
            ("due_at", choices + ranges, true, "2026-03-05T00:00:00.000Z"), ("seen_at", choices + ranges, true, "2026-03-05T00:00:00.000Z"),
            ("active", choices, true, nil), ("flag", choices, false, nil), ("kind", choices, true, "blue"),
            ("owner_id", choices, true, colleague), ("helper_id", choices, true, UserID().description), ("tag", choices, false, "none"),
            ("id", choices, false, RecordID().description), ("created_at", choices + ranges, false, "2026-03-05T00:00:00.000Z"),
            ("updated_at", ranges, false, "2026-03-05T00:00:00.000Z"),
        ]
        var filters: [Filter] = []
        for field in fields {
            var values = Array(Set(rows.flatMap { texts($0, field.name) })).sorted()
            if values.count > 6 { values = [values[0], values[values.count / 2], values[values.count - 1]] }
            for comparison in field.comparisons {
                let isOne = ranges.contains(comparison)
                var sets = (values + [field.other].compactMap(\.self)).map { [$0] }
                if comparison == "prefix" { sets = sets.map { [String($0[0].prefix(3)).uppercased()] } }
                if !isOne, sets.count > 1 { sets.append(sets[0] + sets[sets.count - 1]) }
                filters += sets.map { Filter(conditions: [Condition(name: field.name, comparison: comparison, values: $0)]) }
            }
            if field.isNullable {
                filters += ["true", "false"].map { Filter(conditions: [Condition(name: field.name, comparison: "null", values: [$0])]) }
            }
        }
        func all(_ conditions: (String, String, [String])...) -> Filter {
            Filter(conditions: conditions.map { Condition(name: $0.0, comparison: $0.1, values: $0.2) })
        }
        return filters + [
            all(("amount", "gt", ["-5"]), ("amount", "lte", ["3"]), ("amount", "not", ["0", "1"])),
            all(("label", "not", ["Kestrel"]), ("email", "null", ["false"])), all(("label", "null", ["true"]), ("email", "null", ["true"])),
            all(("label", "prefix", ["KES"]), ("label", "not", ["Kestrel"]), ("kind", "not", ["red"])),
            all(("helper_id", "null", ["true"]), ("owner_id", "null", ["true"])), all(("amount", "gt", ["5"]), ("amount", "lt", ["5"])),
            all(("tag", "not", ["a"]), ("tag", "", ["b"])), all(("due_at", "null", ["false"]), ("active", "not", ["true"])),
        ]
    }

    static func texts(_ row: JSON, _ name: String) -> [String] {
        let value = row[name == "tag" ? "tags" : name] ?? .null
        switch value {
        case .null: return []
        case .array(let elements): return elements.compactMap(\.string)
        case .string(let text): return [text]
        default: return [value.description]
        }
    }

    static func holds(_ condition: Condition, for row: JSON) -> Bool {
        let own = texts(row, condition.name).map { condition.name == "email" ? $0.lowercased() : $0 }
        let given = condition.values.map { condition.name == "email" ? $0.lowercased() : $0 }
        func order(_ left: String, _ right: String) -> Int {
            if let left = Int64(left), let right = Int64(right) { return left < right ? -1 : left == right ? 0 : 1 }
            return left < right ? -1 : left == right ? 0 : 1
        }
        switch condition.comparison {
        case "": return own.contains(where: given.contains)
        case "not": return !own.contains(where: given.contains)
        case "gt": return own.contains { order($0, given[0]) > 0 }
        case "gte": return own.contains { order($0, given[0]) >= 0 }
        case "lt": return own.contains { order($0, given[0]) < 0 }
        case "lte": return own.contains { order($0, given[0]) <= 0 }
        case "prefix": return own.contains { text in given.contains { text.lowercased().hasPrefix($0.lowercased()) } }
        case "null": return own.isEmpty == (given == ["true"])
        default: return false
        }
    }
}

extension ResourceAPI {
    /// Some records of every sort, a few of them deleted; as lists answer them, with `deleted_at`.
    fileprivate func fillSamples(as context: RequestContext) async throws -> [JSON] {
        // Values that repeat, and differ in case alone; every member is left out at times.
        let pools: [(String, [JSON])] = [
            ("name", ["Okafor", "okafor", "Nakamura", "Berg", "BERGER"]),
            ("label", ["Kestrel", "KESTREL", "kestrel", "a,b", "it's \\ one"]),
            ("email", ["A@x.example", "a@x.example", "b@y.example"]), ("phone", ["+49 40 555", "040 555"]),
            ("amount", [-1000, -5, 0, 1, 9, 10, 1000]), ("rank", [0, 9, 10, 9_000_000_000_000_000_000]),
            ("day", ["2026-01-31", "2026-02-01", "0001-01-01"]), ("due_at", ["2026-01-31T09:30:00.001Z", "2026-01-31T09:30:00.002Z"]),
            ("seen_at", ["2026-01-31T09:30:00.000Z", "1999-12-31T23:59:59.999Z"]), ("active", [true, false]), ("flag", [true, false]),
            ("kind", ["red", "green"]), ("owner_id", [.string(context.user.description), .string(colleague.description)]),
            ("helper_id", [.string(colleague.description)]), ("tags", [["a"], ["b"], ["a", "b"], ["A"]]),
        ]
        let bodies = (0..<60).map { index -> JSON in
            var body = JSONObject()
            for (place, pool) in pools.enumerated() where place == 0 || (index + place) % 4 > 0 {
                body[pool.0] = pool.1[(index / 2 + index * place) % pool.1.count]
            }
            return ["op": "create", "body": .object(body)]
        }
        let made = try await send(
            .post, "/v1/samples/batch", (["atomic": true, "operations": .array(bodies)] as JSON).description, as: context)
        try #require(made.status == 200, "\(made.text)")
        let ids = try made.json["results"]?.array?.compactMap { $0["body"]?.id } ?? []
        for id in ids.enumerated() where id.offset % 5 == 2 {
            #expect(try await send(.delete, "/v1/samples/\(id.element)", as: context).status == 204)
        }
        let rows = try await send(.get, "/v1/samples?limit=200&deleted=include", as: context).json["data"]?.array ?? []
        try #require(rows.count == 60)
        return rows
    }

    /// The ids of all pages, each once, and what an exact count says.
    fileprivate func readAll(_ target: String, as context: RequestContext) async throws -> (ids: [String], total: Int64?) {
        var ids: [String] = []
        let counted = try await send(.get, target + "&count=exact", as: context)
        try #require(counted.status == 200, "\(target): \(counted.text)")
        var next: String? = ""
        while let cursor = next {
            let reply = try await send(.get, target + (cursor.isEmpty ? "" : "&after=\(cursor)"), as: context)
            try #require(reply.status == 200, "\(target): \(reply.text)")
            ids += try reply.column("id").compactMap(\.string)
            next = try reply.next
        }
        return (ids, try counted.json["page"]?["total"]?.integer)
    }
}

extension String {
    /// As a value in a query.
    var asQuery: String {
        addingPercentEncoding(withAllowedCharacters: .alphanumerics.intersection(CharacterSet(charactersIn: "\u{0}"..."\u{7F}"))) ?? self
    }
}

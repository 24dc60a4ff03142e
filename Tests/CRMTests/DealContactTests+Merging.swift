import CRM
import Core
import TestSupport
import Testing

/// What becomes of links when their contacts are merged.
extension DealContactTests {
    @Test func linksGoWithContactsThatBecomeOneAndComeBack() async throws {
        try await Office.run { office in
            let (kept, first, second) = (
                try await Self.contact("kept", in: office), try await Self.contact("first", in: office),
                try await Self.contact("second", in: office)
            )
            var deals: [String] = []
            // Each deal with the roles of the three; - is a link without one, and nothing is none.
            let cases: [(before: [String?], after: String, whole: [String])] = [
                (["Buyer", "User", nil], "kept Buyer", ["kept Buyer", "first User"]),
                (["-", "User", nil], "kept User", ["kept -", "first User"]),
                ([nil, "User", nil], "kept User", ["first User"]),
                ([nil, "-", "Legal"], "kept Legal", ["first -", "second Legal"]),
                (["-", "-", "Legal"], "kept Legal", ["kept -", "first -", "second Legal"]),
            ]
            for one in cases {
                let deal = try await Self.deal(in: office)
                for (contact, role) in zip([kept, first, second], one.before) {
                    guard let role else { continue }
                    try await office.send(
                        .put, "/v1/deals/\(deal)/contacts/\(contact)", ["role": role == "-" ? nil : .string(role)], expecting: 201)
                }
                deals.append(deal)
            }
            let merge = try await office.send(
                .post, "/v1/contacts/\(kept)/merge", ["from": [.string(first), .string(second)]], expecting: 200)
            for (deal, one) in zip(deals, cases) {
                #expect(try await Self.people(deal, in: office) == [one.after])
                // Who was merged is there no more, whatever is kept of the links.
                try await office.send(.delete, "/v1/deals/\(deal)/contacts/\(first)", expecting: 404)
            }
            let moved = try await office.send(.get, "/v1/contacts/\(first)/deals")
            #expect(moved.status == 301 && moved.header("location") == "/v1/contacts/\(kept)/deals")
            #expect(try await office.count("/v1/contacts/\(kept)/deals") == cases.count)
            try await office.send(
                .post, "/v1/contacts/\(kept)/unmerge", ["merge_id": merge.json["id"] ?? .null], expecting: 200)
            for (deal, one) in zip(deals, cases) { #expect(try await Self.people(deal, in: office).sorted() == one.whole.sorted()) }

            // Twice into each other, and back in the other order of two that had a link to one deal.
            var merges: [JSON] = []
            for gone in [first, second] {
                let merge = try await office.send(.post, "/v1/contacts/\(kept)/merge", ["from": [.string(gone)]], expecting: 200)
                merges.append(merge.json["id"] ?? .null)
            }
            let last = try await Self.contact("last", in: office)
            let whole = try await office.send(.post, "/v1/contacts/\(last)/merge", ["from": [.string(kept)]], expecting: 200)
            #expect(try await Self.people(deals[3], in: office) == ["last Legal"])
            try await office.send(.post, "/v1/contacts/\(last)/unmerge", ["merge_id": whole.json["id"] ?? .null], expecting: 200)
            try await office.send(.post, "/v1/contacts/\(kept)/unmerge", ["merge_id": merges[0]], expecting: 200)
            #expect(try await Self.people(deals[3], in: office).sorted() == ["first -", "kept Legal"])
            try await office.send(.post, "/v1/contacts/\(kept)/unmerge", ["merge_id": merges[1]], expecting: 200)
            for (deal, one) in zip(deals, cases) { #expect(try await Self.people(deal, in: office).sorted() == one.whole.sorted()) }
        }
    }

    /// Three contacts of a deal, the first of which became the last: what is taken from that one stays away, whatever is merged or undone after it.
    @Test func whatWasTakenAwayComesBackWithNoLaterMerge() async throws {
        try await Office.run { office in
            func people(of roles: [String: JSON]) async throws -> (deal: String, contacts: [String: String]) {
                let deal = try await Self.deal(in: office)
                var contacts: [String: String] = [:]
                for name in ["a", "b", "c"] {
                    let contact = try await Self.contact(name, in: office)
                    contacts[name] = contact
                    guard let role = roles[name] else { continue }
                    try await office.send(.put, "/v1/deals/\(deal)/contacts/\(contact)", ["role": role], expecting: 201)
                }
                return (deal, contacts)
            }
            func merge(_ gone: String?, into kept: String?) async throws -> JSON {
                let body: JSON = ["from": [.string(gone ?? "")]]
                return try await office.send(.post, "/v1/contacts/\(kept ?? "")/merge", body, expecting: 200).json["id"] ?? .null
            }
            func undo(_ merge: JSON, of kept: String?) async throws {
                try await office.send(.post, "/v1/contacts/\(kept ?? "")/unmerge", ["merge_id": merge], expecting: 200)
            }

            // A role that came with a merge is taken away.
            for second in [nil, "B"] as [JSON] {
                let (deal, of) = try await people(of: ["a": "A", "b": second, "c": nil])
                let first = try await merge(of["a"], into: of["c"])
                try await office.send(.put, "/v1/deals/\(deal)/contacts/\(of["c"] ?? "")", ["role": nil], expecting: 200)
                let next = try await merge(of["b"], into: of["c"])
                #expect(try await Self.people(deal, in: office) == ["c \(second.string ?? "-")"])
                try await undo(next, of: of["c"])
                #expect(try await Self.people(deal, in: office).sorted() == ["b \(second.string ?? "-")", "c -"])
                try await undo(first, of: of["c"])
                #expect(try await Self.people(deal, in: office).sorted() == ["a A", "b \(second.string ?? "-")", "c -"])
            }

            // The link is, before another merge.
            let (early, one) = try await people(of: ["a": "A", "b": "B", "c": nil])
            let first = try await merge(one["a"], into: one["c"])
            try await office.send(.delete, "/v1/deals/\(early)/contacts/\(one["c"] ?? "")", expecting: 204)
            let next = try await merge(one["b"], into: one["c"])
            #expect(try await Self.people(early, in: office) == ["c B"])
            try await undo(next, of: one["c"])
            try await undo(first, of: one["c"])
            #expect(try await Self.people(early, in: office) == ["b B"])

            // It is, after merges one behind the other, all of whose links it was.
            let (late, two) = try await people(of: ["a": "A", "b": "B"])
            let inner = try await merge(two["a"], into: two["b"])
            let outer = try await merge(two["b"], into: two["c"])
            #expect(try await Self.people(late, in: office) == ["c B"])
            try await office.send(.delete, "/v1/deals/\(late)/contacts/\(two["c"] ?? "")", expecting: 204)
            try await undo(outer, of: two["c"])
            try await undo(inner, of: two["b"])
            #expect(try await Self.people(late, in: office).isEmpty)
        }
    }

    /// Whoever links a contact while it becomes another one either comes first, and the link goes along, or is told that there is none.
    @Test func noLinkIsLostToAMergeAtTheSameMoment() async throws {
        try await Office.run { office in
            let (kept, gone) = (try await Self.contact("kept", in: office), try await Self.contact("gone", in: office))
            var deals: [String] = []
            for _ in 0..<16 { deals.append(try await Self.deal(with: gone, in: office)) }
            let statuses = try await withThrowingTaskGroup(of: (deal: String, status: Int).self) { group in
                for (place, deal) in deals.enumerated() {
                    group.addTask {
                        let path = "/v1/deals/\(deal)/contacts/\(gone)"
                        return (deal, try await office.send(.put, path, ["role": .string("Role \(place)")]).status)
                    }
                }
                group.addTask {
                    ("", try await office.send(.post, "/v1/contacts/\(kept)/merge", ["from": [.string(gone)]]).status)
                }
                return try await group.reduce(into: [:]) { $0[$1.deal] = $1.status }
            }
            #expect(statuses[""] == 200)
            for (place, deal) in deals.enumerated() {
                let status = statuses[deal]
                #expect(status == 201 || status == 422, "\(statuses)")
                #expect(try await Self.people(deal, in: office) == ["kept \(status == 201 ? "Role \(place)" : "-") main"])
            }
        }
    }
}

import Core
import Postgres
import Resources
import TestSupport
import Testing

/// What becomes of the reference when the record is deleted.
extension RelatedTests {
    @Test(arguments: ["ship", "fleet"])
    func deletingWhatItIsAboutDoesAsDeclared(type: String) async throws {
        try await Logbook.run { api in
            let admin = api.member()
            let path = type == "ship" ? "/v1/ships" : "/v1/fleets"
            func record() async throws -> String { try await api.create(#"{"name":"R"}"#, at: path, as: admin).id }
            func delete(_ id: String) async throws -> Reply { try await api.send(.delete, "\(path)/\(id)", as: admin) }
            func read(_ id: String) async throws -> JSON { try await api.send(.get, "/v1/entries/\(id)", as: admin).json }

            let kept = try await record()
            let keeping = try await api.create(entry(type, kept), as: admin).id
            #expect(try await delete(kept).status == 204)
            #expect(try await read(keeping)["related"]?["id"]?.string == kept)

            let held = try await record()
            let holding = try await api.create(entry(type, held, as: "held"), as: admin).id
            let refused = try await delete(held)
            #expect(refused.status == 409, "\(refused.text)")
            #expect(try refused.json["referring"] == [["resource": "entries", "field": "held", "count": 1, "others": false]])
            #expect(try await api.send(.delete, "/v1/entries/\(holding)", as: admin).status == 204)
            #expect(try await delete(held).status == 204)
            let restored = try await api.send(.post, "/v1/entries/\(holding)/restore", as: admin)
            #expect(restored.status == 422, "\(restored.text)")
            #expect(try restored.faults == ["/held/id reference_not_found"])
            #expect(try await api.send(.post, "\(path)/\(held)/restore", as: admin).status == 200)
            #expect(try await api.send(.post, "/v1/entries/\(holding)/restore", as: admin).status == 200)

            let (seen, other) = (try await record(), try await record())
            let live = try await api.create(entry(type, seen, as: "seen"), as: admin).id
            let gone = try await api.create(entry(type, seen, as: "seen"), as: admin).id
            let unconcerned = try await api.create(entry(type, other, as: "seen"), as: admin).id
            #expect(try await api.send(.delete, "/v1/entries/\(gone)", as: admin).status == 204)
            #expect(try await delete(seen).status == 204)
            let cleared = try await read(live)
            #expect(cleared["seen"] == .null && cleared["version"] == 2)
            #expect(try await read(unconcerned)["version"] == 1)
            #expect(try await api.send(.post, "/v1/entries/\(gone)/restore", as: admin).json["seen"] == .null)
            #expect(try await api.send(.delete, "/v1/entries/\(unconcerned)", as: admin).status == 204)
            let back = try await api.send(.post, "/v1/entries/\(unconcerned)/restore", as: admin)
            #expect(try back.json["seen"]?["id"]?.string == other)
        }
    }

    /// A record may refer to another by two fields, of which deletion clears both; what else the one that it clears refers to stays.
    @Test(arguments: ["ship", "fleet"])
    func eachReferenceToWhatIsDeletedIsCleared(type: String) async throws {
        try await Logbook.run { api in
            let admin = api.member()
            let path = type == "ship" ? "/v1/ships" : "/v1/fleets"
            let gone = try await api.create(#"{"name":"R"}"#, at: path, as: admin).id
            let other = try await api.create(#"{"name":"R"}"#, at: path, as: admin).id
            func entry(_ seen: String, _ noted: String) async throws -> String {
                let body = #"{"body":"E","seen":\#(related(type, seen)),"noted":\#(related(type, noted))}"#
                return try await api.create(body, as: admin).id
            }
            let (both, first, second) = (try await entry(gone, gone), try await entry(gone, other), try await entry(other, gone))
            let deletion = try await api.send(.delete, "\(path)/\(gone)", as: admin)
            #expect(deletion.status == 204, "\(deletion.text)")
            for (id, seen, noted) in [(both, nil, nil), (first, nil, other), (second, other, nil)] as [(String, String?, String?)] {
                let entry = try await api.send(.get, "/v1/entries/\(id)", as: admin).json
                #expect(entry["version"] == 2)
                #expect(entry["seen"]?["id"]?.string == seen && entry["noted"]?["id"]?.string == noted)
            }
        }
    }

    /// Goal: an entry and the deletion of what it is about, at the same moment: one of them is refused, or the reference is cleared.
    /// Method: 40 fleets, each deleted while an entry is made of it; then no live entry has a deleted one where that is not kept.
    @Test func aDeletionAndANewReferenceAtTheSameMomentAgree() async throws {
        try await Logbook.run { api in
            let admin = api.member()
            try await api.deleteFleets(40, whileMaking: "/v1/entries", as: admin) { entry("fleet", $1, as: $0 % 2 == 0 ? "held" : "seen") }
            let lost = try await api.postgres.batch(
                as: admin,
                [
                    """
                    select count(*) from entry join fleet on fleet.id in ((entry.held).id, (entry.seen).id) \
                    where entry.deleted_at is null and fleet.deleted_at is not null
                    """
                ])[0][0].decode(0, as: Int.self)
            #expect(lost == 0)
        }
    }
}

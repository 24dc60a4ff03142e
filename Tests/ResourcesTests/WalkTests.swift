import Core
import Postgres
import Testing

@testable import Resources

@Suite struct WalkTests {
    /// What a list's end is told by and its rows are of one statement: rows that come between two would be taken for none.
    @Test func aWalkTellsHowFarItWentWithWhatItFound() async throws {
        try await ResourceAPI.leads { api in
            let admin = api.member()
            for (index, title) in ["few", "few", "many", "many", "many"].enumerated() {
                _ = try await api.create(#"{"last_name":"L\#(index)","title":"\#(title)"}"#, as: admin)
            }
            let lists = ListStatements(ResourceView(api.resource.definition))
            var request = ListRequest(
                sort: SortOrder(column: "created_at", isDescending: false, isNullable: false),
                selection: api.resource.definition.columns.filter { $0.name == "last_name" })
            for (title, maximum, names, length) in [
                ("few", 3, ["L0", "L1"], 3), ("many", 4, ["L2", "L3"], 4), ("many", 9, ["L2", "L3", "L4"], 5), ("none", 9, [nil], 5),
            ] {
                request.conditions = [Condition("title = \(title)", .values)]
                let rows = try await api.postgres.batch(as: admin, [lists.walk(request, among: maximum, as: admin)])[0]
                #expect(rows.map { $0.text(0) } == names)
                #expect(try rows.map { try $0.decode(request.lastColumn + 1, as: Int.self) } == names.map { _ in length })
            }
        }
    }
}

import Core
import Postgres
import Testing

@Suite struct SQLTests {
    @Test func valuesBecomeBindsInOrder() {
        let id = RecordID()
        let sql: SQL = "select name from lead where id = \(id) and score > \(5) and owner = \(nil as String?)"
        #expect(sql.text == "select name from lead where id = $1 and score > $2 and owner = $3")
        #expect(sql.binds == [.text(id.description), .text("5"), .null])
    }

    @Test func aSplicedStatementIsRenumbered() {
        let inner: SQL = "a = \(1) or b = \(2)"
        let outer: SQL = "c = \(3) and (\(inner)) and d = \(4)"
        #expect(outer.text == "c = $1 and (a = $2 or b = $3) and d = $4")
        #expect(outer.binds == [.text("3"), .text("1"), .text("2"), .text("4")])
    }

    @Test func dollarsInQuotesAndCommentsStayWhenRenumbered() {
        let inner: SQL = "note = '$1 it''s' and \"$2\" = \(1) -- $3's\n and x = \(2)"
        let outer: SQL = "a = \(0) and \(inner)"
        #expect(outer.text == "a = $1 and note = '$1 it''s' and \"$2\" = $2 -- $3's\n and x = $3")
    }

    @Test func joiningPutsTheSeparatorBetween() {
        #expect(SQL.joined(["a = \(1)", "b = \(2)"], separator: " and ").text == "a = $1 and b = $2")
        #expect(SQL.joined([], separator: ", ").text.isEmpty)
    }

    @Test func hostileTextStaysAValue() {
        let sql: SQL = "select \("'; drop table lead; --")"
        #expect(sql.text == "select $1")
    }

    @Test func arraysAreQuoted() {
        #expect(["a", "b\"c\\d", "NULL", ""].sqlValue == .text(#"{"a","b\"c\\d","NULL",""}"#))
        #expect([1, nil, 3].sqlValue == .text(#"{"1",NULL,"3"}"#))
    }
}

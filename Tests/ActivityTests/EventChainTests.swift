import Contracts
import Core
import Foundation
import Postgres
import Testing

@testable import Activity

@Suite struct EventChainTests {
    private func export(_ count: Int) throws -> [[UInt8]] {
        let tenant = TenantID()
        var previous = ""
        return try (1...count).map { number in
            let event = Event(
                id: EventID(), tenant: tenant, source: "crm", aggregate: "lead", aggregateID: RecordID().description, kind: "lead.created",
                actor: UserID().description, requestID: "r-\(number)", occurredAt: .now, payload: #"{"before": null, "after": {"a": 1}}"#)
            let entry = EventChain.Entry(
                sequence: Int64(number), event: event, payload: try JSONParser.parse(event.payload), previousHash: previous)
            previous = entry.hash
            var line = entry.json
            line["hash"] = .string(entry.hash)
            return JSON.object(line).bytes
        }
    }

    @Test func anUntouchedExportVerifies() throws {
        let lines = try export(50)
        let report = EventChain.verify(lines: lines)
        #expect(report.entries == 50)
        #expect(report.fault == nil)
    }

    /// Class A45: change, removal, exchange and insertion of entries.
    @Test func everyKindOfTamperingIsFoundWithItsLine() throws {
        let lines = try export(10)
        var changed = lines
        changed[4] = Array(String(decoding: changed[4], as: UTF8.self).replacing("\"a\":1", with: "\"a\":2").utf8)
        #expect(EventChain.verify(lines: changed).fault == "line 5: entry 5 was changed")
        var removed = lines
        removed.remove(at: 4)
        #expect(EventChain.verify(lines: removed).fault?.hasPrefix("line 5:") == true)
        var exchanged = lines
        exchanged.swapAt(4, 5)
        #expect(EventChain.verify(lines: exchanged).fault?.hasPrefix("line 5:") == true)
        var inserted = lines
        inserted.insert(lines[4], at: 5)
        #expect(EventChain.verify(lines: inserted).fault?.hasPrefix("line 6:") == true)
        #expect(EventChain.verify(lines: [Array("{}".utf8)]).fault != nil)
    }

    @Test func anEventKeepsItsBytesOnTheWay() throws {
        let event = Event(
            id: EventID(), tenant: TenantID(), source: "crm", aggregate: "lead", aggregateID: "x", kind: "lead.created", actor: "system",
            requestID: "", occurredAt: Timestamp(milliseconds: 1), payload: #"{"after": {"n": 1.50, "s": "é\n"}}"#)
        let decoded = try Event.decode(try JSONParser.parse(Event.encode([event])))
        #expect(decoded.first?.payload == event.payload)
        #expect(decoded.first?.id == event.id)
    }
}

import Contracts
import Core
import Foundation
import Testing

@testable import Activity

extension EventChain {
    /// Checks a whole export.
    static func verify(_ lines: [[UInt8]], after start: Position = .start) -> Report {
        var verifier = Verifier(after: start)
        for line in lines where !verifier.read(line) { break }
        return verifier.finish()
    }
}

@Suite struct EventChainTests {
    private struct Export {
        let tenant = TenantID()
        private(set) var lines: [[UInt8]] = []
        private(set) var last = EventChain.Position.start

        mutating func append(_ kind: String = "lead.created", payload: String, id: EventID = EventID(), isErased: Bool = false) {
            let event = Event(
                id: id, tenant: tenant, source: "crm", aggregate: "lead", aggregateID: RecordID().description, kind: kind,
                actor: UserID().description, requestID: "r,\"hash\":\"", occurredAt: .now, payload: payload)
            let seal = EventChain.Seal(payload)
            let header = EventChain.Header(
                sequence: last.sequence + 1, event: event, payloadHash: seal.hash, previousHash: last.hash)
            last = .init(sequence: header.sequence, hash: header.hash)
            lines.append(
                EventChain.line(
                    header: header.bytes, hash: header.hash, salt: isErased ? nil : Hex.encode(seal.salt), payload: isErased ? nil : payload
                ))
        }

        /// With its end.
        var whole: [[UInt8]] { lines + [EventChain.end(entries: lines.count, after: .start, at: last)] }
    }

    private func export(_ count: Int) -> Export {
        var export = Export()
        for number in 0..<count { export.append(payload: #"{"before":null,"after":{"a":\#(number),"text":"é\"}"}}"#) }
        return export
    }

    @Test func anUntouchedExportVerifies() {
        let export = export(50)
        let report = EventChain.verify(export.whole)
        #expect(report.entries == 50)
        #expect(report.last == export.last)
        #expect(report.fault == nil)
        #expect(EventChain.verify(Export().whole).fault == nil)
    }

    /// Class A45: change, removal, exchange and insertion of entries.
    @Test func everyKindOfTamperingIsFoundWithItsLine() {
        let lines = export(10).whole
        var changed = lines
        changed[4] = Array(String(decoding: changed[4], as: UTF8.self).replacing("\"a\":4", with: "\"a\":2").utf8)
        #expect(EventChain.verify(changed).fault == "line 5: the payload of entry 5 was changed")
        changed[4] = Array(String(decoding: lines[4], as: UTF8.self).replacing("lead.created", with: "lead.deleted").utf8)
        #expect(EventChain.verify(changed).fault == "line 5: entry 5 was changed")
        var exchanged = lines
        exchanged.swapAt(4, 5)
        #expect(EventChain.verify(exchanged).fault == "line 5: sequence 6 where 5 is expected")
        var inserted = lines
        inserted.insert(lines[4], at: 5)
        #expect(EventChain.verify(inserted).fault == "line 6: sequence 5 where 6 is expected")
        #expect(EventChain.verify(lines + [lines[0]]).fault == "line 12: something follows the end")
        #expect(EventChain.verify(lines + [[]]).fault == "line 12: something follows the end")
        for index in lines.indices {
            var removed = lines
            removed.remove(at: index)
            let expected =
                index == 9 ? "line 10: the end does not fit" : index == 10 ? "line 11: the end is missing" : "line \(index + 1): "
            #expect(EventChain.verify(removed).fault?.hasPrefix(expected) == true)
            let cut = EventChain.verify(Array(lines[..<index]))
            #expect(cut.fault == "line \(index + 1): the end is missing, so entries may be")
        }
    }

    /// Each byte of an export with one bit flipped, its line ends too.
    @Test func oneFlippedByteIsFound() throws {
        let lines = export(3).whole
        let file = Array(lines.joined(separator: [UInt8(ascii: "\n")])) + [UInt8(ascii: "\n")]
        for index in file.indices.dropLast() {
            for bit: UInt8 in [1, 0x20] {
                var flipped = file
                flipped[index] ^= bit
                let read = flipped.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast().map(Array.init)
                let line = file[..<index].count { $0 == UInt8(ascii: "\n") } + 1
                let fault = try #require(EventChain.verify(read).fault, "byte \(index)")
                // A line end that is gone makes one line of two, and a new one two of one: then the place is that or the next.
                #expect(fault.hasPrefix("line \(line): ") || fault.hasPrefix("line \(line + 1): "), "byte \(index): \(fault)")
            }
        }
    }

    @Test func anEntryWhosePayloadWasErasedStillVerifies() {
        var export = Export()
        export.append(payload: #"{"a":1}"#)
        export.append(payload: #"{"a":2}"#, isErased: true)
        export.append(payload: #"{"a":3}"#)
        let report = EventChain.verify(export.whole)
        #expect(report.fault == nil)
        #expect(report.entries == 3)
        #expect(report.erased == 1)
        var filled = export.whole
        filled[1] = Array(String(decoding: filled[1], as: UTF8.self).replacing("\"payload\":null", with: "\"payload\":{}").utf8)
        #expect(EventChain.verify(filled).fault == "line 2: not an entry of an export")
    }

    /// The digest of a short payload that was erased cannot be found by trying: the salt is gone too, and another each time.
    @Test func theSameTextHasADifferentDigestEachTime() {
        #expect(EventChain.Seal("1").hash != EventChain.Seal("1").hash)
        #expect(EventChain.Seal("1").salt.count == 16)
    }

    @Test(arguments: [false, true])
    func aGapIsToldUntilTheMissingEventHasCome(isErased: Bool) throws {
        let missing = EventID()
        let gap = try #require(EventChain.gapID(of: missing.description).flatMap { EventID($0) })
        var export = Export()
        export.append(payload: "{}")
        export.append(
            Event.gap, payload: #"{"event_id":"\#(missing)","action":"lead.updated","resource":"lead","reason":"422 x"}"#, id: gap,
            isErased: isErased)
        export.append(payload: "{}")
        let report = EventChain.verify(export.whole)
        #expect(report.fault == nil)
        #expect(report.gaps.map(\.id) == [gap.description])
        #expect(report.gaps.first?.text.contains(isErased ? "has been erased" : "lead.updated of lead") == true)
        export.append("lead.updated", payload: "{}", id: missing)
        #expect(EventChain.verify(export.whole).gaps == [])
    }

    /// Goal: an export whose last entries were taken off, and that was given another last line, does not pass for whole.
    @Test func anEntryThatIsKnownFromElsewhereMustBeThere() {
        var export = Export()
        for number in 1...3 { export.append(payload: #"{"a":\#(number)}"#) }
        let head = EventChain.verify(export.whole).last
        var shorter = Export()
        for number in 1...2 { shorter.append(payload: #"{"a":\#(number)}"#) }
        func fault(_ lines: [[UInt8]], after start: EventChain.Position = .start) -> String? {
            var verifier = EventChain.Verifier(after: start, upTo: head)
            for line in lines where !verifier.read(line) { break }
            return verifier.finish().fault
        }
        #expect(fault(export.whole) == nil)
        #expect(EventChain.verify(shorter.whole).fault == nil)
        #expect(fault(shorter.whole)?.contains("entry 3 with the hash \(head.hash) is not among them") == true)
        // Where an export begins after it, it was among those before.
        export.append(payload: "{}")
        #expect(fault(export.whole) == nil)
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

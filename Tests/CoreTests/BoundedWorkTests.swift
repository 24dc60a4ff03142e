import Core
import Foundation
import Testing

/// What one request can make a service compute grows with its length and no faster. Texts of two lengths are read, and the processor's time is
/// compared: four times as much may take up to ten times as long, which the square of it would not.
@Suite struct BoundedWorkTests {
    /// Of the thread, so that whatever else runs on the machine does not count.
    private static func work(_ body: () throws -> Void) rethrows -> Double {
        func now() -> Double {
            var time = timespec()
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
            return Double(time.tv_sec) * 1e9 + Double(time.tv_nsec)
        }
        var least = Double.infinity
        for _ in 0..<3 {
            let start = now()
            try body()
            least = min(least, now() - start)
        }
        return least
    }

    private static let marks = String(repeating: "\u{315}\u{300}\u{5AE}", count: 10)

    enum Body: CaseIterable {
        case numbers, members, markedName, markedText, escapes

        func text(_ count: Int) -> String {
            switch self {
            case .numbers: "[\(String(repeating: "1,", count: 20 * count))1]"
            case .members: "{\((0..<10 * count).map { "\"m\($0)\":1" }.joined(separator: ","))}"
            case .markedName: "{\"\(String(repeating: "a" + marks, count: count))\":1}"
            case .markedText: "\"\(String(repeating: "a" + marks, count: count))\""
            case .escapes: "\"\(String(repeating: "\\u00fc", count: 20 * count))\""
            }
        }
    }

    @Test(arguments: Body.allCases)
    func aBodyIsReadComparedAndNormalisedInStepWithItsLength(body: Body) throws {
        func time(_ count: Int) throws -> Double {
            let bytes = Array(body.text(count).utf8)
            return try Self.work {
                let json = try JSONParser.parse(bytes)
                _ = json.canonical.bytes
                _ = json.string.map { ($0 == "b", $0.hashValue, PlainText.nfc($0)) }
            }
        }
        #expect(try time(240) < 10 * time(60))
    }

    @Test(arguments: [31, 5_000])
    func moreMarksInARowThanAnyLanguageHasAreRefused(count: Int) {
        // A byte order mark between them is dropped later.
        for row in [String(repeating: "\u{300}", count: count), String(repeating: "\u{FEFF}\u{300}", count: count)] {
            #expect(throws: Problem.self) { try JSONParser.parse("{\"a\(row)\":1}") }
            #expect(throws: Problem.self) { try JSONParser.parse("[\"a\(row)\"]") }
            #expect(throws: Problem.self) { try JSONParser.parse("[\"a\(String(repeating: "\\u0300", count: count))\"]") }
            let encoded = row.utf8.map { "%" + Hex.encode([$0]) }.joined()
            #expect(throws: Problem.self) { try Query("a=\(encoded)") }
            #expect(throws: Problem.self) { try Query("\(encoded)=1") }
            let call = Call(method: .get, route: "/v1/x/{name}", path: "", parameters: ["name": encoded], caller: .anonymous(.none))
            #expect(call.text("name") == nil)
        }
    }

    @Test func asManyMarksAsALanguageMayHaveAreKept() throws {
        let text = String(repeating: "a" + Self.marks, count: 3) + "b\u{301}"
        #expect(try JSONParser.parse("\"\(text)\"").string == text)
        #expect(try Query("a=\(text)")["a"] == text)
    }

    /// RFC 8259, section 8.3: names are compared as they are, not as they are shown.
    @Test func namesAreTheSameWhenTheirBytesAre() throws {
        let names = (0..<20).map { "n\($0)" }
        for others in [names, []] {
            let members = (others + ["é"]).map { "\"\($0)\":1" }.joined(separator: ",")
            #expect(throws: Problem.self) { try JSONParser.parse("{\(members),\"\\u00e9\":2}") }
            #expect(try JSONParser.parse("{\(members),\"e\\u0301\":2}").object?.members.count == others.count + 2)
        }
    }

    @Test func oneParameterTooManyIsNamed() throws {
        let names = (0...Query.maximumParameters).map { "p\($0)" }
        #expect(try Query(names.dropLast().joined(separator: "&")).items.count == Query.maximumParameters)
        let problem = #expect(throws: Problem.self) { try Query(names.joined(separator: "&") + "&more&and&more") }
        #expect(problem?.code == .invalidParameter)
        #expect(problem?.faults.map(\.pointer) == ["?p\(Query.maximumParameters)"])
    }

    /// The search for what was meant is the dearest part of a fault.
    @Test func theFirstUnknownNamesComeWithAProposal() throws {
        let known = (0..<20).map { "field_\($0)" }
        let members = (0..<40).map { "\"fielt_\($0)\":1" }.joined(separator: ",")
        let json = try JSONParser.parse("{\(members)}")
        var faults = FaultList()
        _ = faults.members(of: json, at: "", known: known)
        #expect(faults.faults.count == 40)
        #expect(faults.faults.filter { $0.detail.contains("Did you mean") }.count == Suggestion.maximumHints)
        let problem = #expect(throws: Problem.self) { try Query((0..<40).map { "fielt_\($0)" }.joined(separator: "&")).allowOnly(known) }
        #expect(problem?.faults.filter { $0.detail.contains("Did you mean") }.count == Suggestion.maximumHints)
        // What is left of a long batch has room for one fault.
        var last = FaultList(maximum: 1)
        _ = last.members(of: json, at: "", known: known)
        #expect(last.faults.count == 1 && last.faults.allSatisfy { !$0.detail.contains("Did you mean") })
    }

    /// So that what looks for members of its own looks through few.
    @Test func ofAnObjectOnlyKnownMembersArePassedOn() throws {
        let members = (0..<1_000).map { "\"m\($0)\":\($0)" }.joined(separator: ",")
        var faults = FaultList()
        let given = faults.members(of: try JSONParser.parse("{\"known\":true,\(members)}"), at: "", known: ["known", "other"])
        #expect(given?.names == ["known"])
        #expect(faults.isFull && faults.faults.count == Problem.maximumFaults)
    }

    @Test(
        arguments: [
            ("emial", ["email", "phone"], "email"), ("email", ["e", "emails", "emali"], "emails"), ("ab", ["ba"], "ba"),
            ("ca", ["abc"], nil), ("abcdef", ["abc"], nil), ("abcdef", ["abcd"], "abcd"), ("", ["a", "bb"], "a"),
            ("last_nam", ["first_name", "last_name"], "last_name"), ("b", ["c", "a"], "a"),
        ] as [(String, [String], String?)])
    func theNearestIsFoundAsTheTableOfDistancesSays(name: String, candidates: [String], nearest: String?) {
        #expect(Suggestion.nearest(to: name, among: candidates) == nearest)
    }

    @Test func ofALongAcceptTheFirstRangesCount() throws {
        func preferred(_ accept: String) throws -> String {
            let call = Call(method: .get, route: "/", path: "/", headers: [("accept", accept)], caller: .anonymous(.none))
            return try call.preferred(among: ["application/json", "image/svg+xml"])
        }
        let others = Array(repeating: "text/a", count: 99)
        #expect(try preferred((others + ["image/svg+xml"]).joined(separator: ",")) == "image/svg+xml")
        #expect(throws: Problem.self) { try preferred((others + ["text/b", "image/svg+xml"]).joined(separator: ",")) }
    }
}

extension EdgeContext {
    fileprivate static let none = EdgeContext(requestID: "r", deadline: .now, address: "192.0.2.1")
}

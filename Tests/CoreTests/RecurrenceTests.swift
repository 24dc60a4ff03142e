import Core
import Foundation
import Testing

@Suite struct RecurrenceTests {
    /// The clocks of a zone, whose changes in the years of the tests are looked up once.
    private static func clock(_ name: String) throws -> WallClock {
        let zone = try #require(TimeZone(identifier: name))
        func offset(_ date: Date) -> Int64 { Int64(zone.secondsFromGMT(for: date)) * 1000 }
        var date = Date(timeIntervalSince1970: 1_100_000_000)
        var changes = [(start: Int64.min, offset: offset(date))]
        while let next = zone.nextDaylightSavingTimeTransition(after: date), next.timeIntervalSince1970 < 2_600_000_000 {
            changes.append((Int64(next.timeIntervalSince1970 * 1000), offset(next.addingTimeInterval(1))))
            date = next.addingTimeInterval(1)
        }
        let all = changes
        return WallClock { instant in
            var (low, high) = (0, all.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if all[middle].start <= instant.milliseconds { low = middle } else { high = middle }
            }
            return all[low].offset
        }
    }

    private static func occurrences(_ rule: String, from start: String, in zone: String = "UTC", count: Int = 4) throws -> [String] {
        let start = try #require(Timestamp(start))
        return try RecurrenceRule(rule).occurrences(startingAt: start, in: clock(zone)).prefix(count).map(\.description)
    }

    /// Goal: 500 rules are read as python-dateutil reads them, over ten years and all changes of summer time in five zones. Method: the table that
    /// Tests/recurrence-cases has made: of each rule how many occurrences there are, a hash of all, the first and the last.
    @Test func rulesAreReadAsDateutilReadsThem() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "recurrences.tsv")
        let lines = try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
        #expect(lines.count == 500)
        var wrong: [String] = []
        var clocks: [String: WallClock] = [:]
        for line in lines {
            let columns = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            let clock = try clocks[columns[0]] ?? Self.clock(columns[0])
            clocks[columns[0]] = clock
            let start = try #require(Timestamp(columns[1]))
            let rule = try RecurrenceRule(columns[2])
            #expect(try RecurrenceRule(rule.description) == rule)
            let first = clock.local(start)
            let end = CivilDay(days: first.day.days + 3653)
            let found = rule.occurrences(startingAt: start, in: clock).prefix { clock.local($0) <= LocalTime(end, time: first.time) }
            var (count, hash) = (0, UInt64(0xCBF2_9CE4_8422_2325))
            var ends: [String] = []
            for instant in found {
                let text = instant.description
                for byte in (text + "\n").utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
                if count < 3 { ends.append(text) } else if count == 3 { ends.append(text) } else { ends[3] = text }
                count += 1
            }
            if count > 0, count < 4 { ends.append(ends[count - 1]) }
            let hex = String(hash, radix: 16)
            let read = [String(count), String(repeating: "0", count: 16 - hex.count) + hex, ends.joined(separator: " ")]
            if read != Array(columns[3...]) { wrong.append("\(line)\n  not \(read)") }
        }
        #expect(wrong.isEmpty, "\(wrong.count): \(wrong.prefix(20).joined(separator: "\n"))")
    }

    @Test func theClocksShowTheSameTimeInSummerAndWinter() throws {
        #expect(
            try Self.occurrences("FREQ=DAILY", from: "2026-03-27T08:00:00Z", in: "Europe/Berlin")
                == ["2026-03-27T08:00:00.000Z", "2026-03-28T08:00:00.000Z", "2026-03-29T07:00:00.000Z", "2026-03-30T07:00:00.000Z"])
        // 02:30 is passed over on 29 March, and shown twice on 25 October.
        #expect(
            try Self.occurrences("FREQ=DAILY", from: "2026-03-28T01:30:00Z", in: "Europe/Berlin", count: 3)
                == ["2026-03-28T01:30:00.000Z", "2026-03-29T01:30:00.000Z", "2026-03-30T00:30:00.000Z"])
        #expect(
            try Self.occurrences("FREQ=DAILY", from: "2026-10-24T00:30:00Z", in: "Europe/Berlin", count: 3)
                == ["2026-10-24T00:30:00.000Z", "2026-10-25T00:30:00.000Z", "2026-10-26T01:30:00.000Z"])
        // Half an hour, and a midnight that there is not.
        #expect(
            try Self.occurrences("FREQ=DAILY", from: "2026-10-02T15:45:00Z", in: "Australia/Lord_Howe", count: 3)
                == ["2026-10-02T15:45:00.000Z", "2026-10-03T15:45:00.000Z", "2026-10-04T15:15:00.000Z"])
        #expect(
            try Self.occurrences("FREQ=DAILY", from: "2017-10-14T03:00:00Z", in: "America/Sao_Paulo", count: 3)
                == ["2017-10-14T03:00:00.000Z", "2017-10-15T03:00:00.000Z", "2017-10-16T02:00:00.000Z"])
    }

    @Test func monthsWithoutThatDayAreLeftOut() throws {
        let start = "2026-01-31T09:00:00Z"
        func days(_ rule: String, _ count: Int = 4) throws -> [String] {
            try Self.occurrences(rule, from: start, count: count).map { String($0.prefix(10)) }
        }
        #expect(try days("FREQ=MONTHLY") == ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"])
        #expect(try days("FREQ=MONTHLY;BYMONTHDAY=31") == ["2026-01-31", "2026-03-31", "2026-05-31", "2026-07-31"])
        #expect(try days("FREQ=MONTHLY;BYMONTHDAY=-1") == ["2026-01-31", "2026-02-28", "2026-03-31", "2026-04-30"])
        #expect(try days("FREQ=MONTHLY;BYDAY=MO,TU,WE,TH,FR;BYSETPOS=-1", 2) == ["2026-02-27", "2026-03-31"])
        #expect(try Self.occurrences("FREQ=YEARLY", from: "2024-02-29T09:00:00Z", count: 2).last?.prefix(10) == "2028-02-29")
        #expect(try days("FREQ=MONTHLY;COUNT=2", 9).count == 2)
        #expect(try days("FREQ=DAILY;UNTIL=20260202", 9) == ["2026-01-31", "2026-02-01", "2026-02-02"])
        #expect(try days("FREQ=DAILY;UNTIL=20260202T085959Z", 9) == ["2026-01-31", "2026-02-01"])
        // A year that never comes ends the search.
        #expect(try Self.occurrences("FREQ=YEARLY;INTERVAL=2;BYMONTH=2;BYMONTHDAY=29", from: "2025-01-01T09:00:00Z").isEmpty)
    }

    @Test func theNextOneIsLaterThanWhatHasPassed() throws {
        let clock = try Self.clock("Europe/Berlin")
        let start = try #require(Timestamp("2026-03-02T08:00:00Z"))
        let rule = try RecurrenceRule("FREQ=WEEKLY;BYDAY=MO,WE;UNTIL=20260330")
        func next(_ after: String) throws -> String? {
            rule.next(after: try #require(Timestamp(after)), startingAt: start, in: clock)?.description
        }
        #expect(try next("2026-03-02T08:00:00Z") == "2026-03-04T08:00:00.000Z")
        #expect(try next("2026-03-02T07:59:59.999Z") == "2026-03-02T08:00:00.000Z")
        #expect(try next("2026-01-01T00:00:00Z") == "2026-03-02T08:00:00.000Z")
        #expect(try next("2026-03-25T08:00:00Z") == "2026-03-30T07:00:00.000Z")
        #expect(try next("2026-03-30T07:00:00Z") == nil)
    }

    @Test(arguments: [
        ("freq=weekly;byday=th,mo", "FREQ=WEEKLY;BYDAY=MO,TH"), ("RRULE:FREQ=DAILY;INTERVAL=1", "FREQ=DAILY"),
        ("BYDAY=-1FR,+2TU;FREQ=MONTHLY;COUNT=3", "FREQ=MONTHLY;COUNT=3;BYDAY=-1FR,2TU"),
        (
            "FREQ=YEARLY;BYMONTH=9,3;BYMONTHDAY=1,-1;UNTIL=20301231T230000Z;WKST=SU",
            "FREQ=YEARLY;UNTIL=20301231T230000Z;BYMONTH=3,9;BYMONTHDAY=-1,1;WKST=SU"
        ),
        ("FREQ=DAILY;UNTIL=20301231;INTERVAL=007", "FREQ=DAILY;INTERVAL=7;UNTIL=20301231"),
    ])
    func aRuleIsKeptInOneForm(given: String, kept: String) throws {
        #expect(try RecurrenceRule(given).description == kept)
    }

    /// What is seldom is not never: on one day in 28 years, and later than the years that are looked at from where it begins.
    @Test(arguments: [
        "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=29;BYDAY=SU", "FREQ=MONTHLY;BYMONTH=2;BYDAY=5SA", "FREQ=YEARLY;BYDAY=53SA;BYMONTHDAY=31",
        "FREQ=YEARLY;INTERVAL=999;BYMONTH=2;BYMONTHDAY=29", "FREQ=YEARLY;BYMONTHDAY=13;BYDAY=FR;BYSETPOS=3",
        "FREQ=DAILY;BYMONTH=2;BYMONTHDAY=29",
        "FREQ=WEEKLY;BYDAY=MO,TU;BYMONTH=1;BYSETPOS=2", "FREQ=DAILY;BYDAY=MO;BYSETPOS=2,-1", "FREQ=YEARLY;BYDAY=1MO,-53MO,SU;BYSETPOS=54",
        "FREQ=MONTHLY;BYDAY=SU,MO,TU,WE,TH,FR;BYSETPOS=27", "FREQ=MONTHLY;BYMONTH=2,4;BYDAY=5SU;BYMONTHDAY=30",
    ])
    func whatIsSeldomIsARule(text: String) throws { _ = try RecurrenceRule(text) }

    @Test(arguments: [
        ("", "parts such as"), ("INTERVAL=2", "FREQ"), ("FREQ=HOURLY", "FREQ"), ("FREQ=DAILY;BYHOUR=9", "BYHOUR"),
        ("FREQ=DAILY;BYWEEKNO=1", "BYWEEKNO"),
        ("FREQ=DAILY;BYYEARDAY=1", "BYYEARDAY"), ("FREQ=DAILY;X-A=1", "X-A"), ("FREQ=DAILY;FREQ=DAILY", "FREQ"),
        ("FREQ=DAILY;", "parts such as"),
        ("FREQ=DAILY;INTERVAL=0", "INTERVAL"), ("FREQ=DAILY;INTERVAL=1000", "INTERVAL"), ("FREQ=DAILY;INTERVAL=1,2", "INTERVAL"),
        ("FREQ=DAILY;COUNT=0", "COUNT"), ("FREQ=DAILY;COUNT=99999999999999999999", "COUNT"), ("FREQ=DAILY;COUNT=2;UNTIL=20300101", "COUNT"),
        ("FREQ=DAILY;UNTIL=20300231", "UNTIL"), ("FREQ=DAILY;UNTIL=20300101T090000", "UNTIL"), ("FREQ=DAILY;UNTIL=2030", "UNTIL"),
        ("FREQ=WEEKLY;BYDAY=XX", "BYDAY"), ("FREQ=WEEKLY;BYDAY=2MO", "BYDAY"), ("FREQ=MONTHLY;BYDAY=6MO", "BYDAY"),
        ("FREQ=MONTHLY;BYDAY=0MO", "BYDAY"),
        ("FREQ=WEEKLY;BYDAY=MO,", "BYDAY"), ("FREQ=WEEKLY;BYMONTHDAY=1", "BYMONTHDAY"), ("FREQ=MONTHLY;BYMONTHDAY=32", "BYMONTHDAY"),
        ("FREQ=MONTHLY;BYMONTHDAY=0", "BYMONTHDAY"), ("FREQ=YEARLY;BYMONTH=13", "BYMONTH"), ("FREQ=YEARLY;BYMONTH=-1", "BYMONTH"),
        ("FREQ=MONTHLY;BYSETPOS=1", "BYSETPOS"), ("FREQ=MONTHLY;BYDAY=MO;BYSETPOS=0", "BYSETPOS"), ("FREQ=WEEKLY;WKST=1MO", "WKST"),
        ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30,31", "BYMONTH"), ("FREQ=DAILY;BYDAY=\u{1F600}", "BYDAY"),
        ("FREQ=MONTHLY;BYDAY=--1MO", "BYDAY"), ("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "BYMONTH"),
        // Each part is right by itself.
        ("FREQ=MONTHLY;BYDAY=2MO;BYMONTHDAY=1", "never"), ("FREQ=YEARLY;BYMONTH=2;BYDAY=10MO", "never"),
        ("FREQ=DAILY;BYMONTH=1;BYSETPOS=2", "never"), ("FREQ=WEEKLY;BYDAY=MO,TH;BYSETPOS=3,-4", "never"),
        ("FREQ=MONTHLY;INTERVAL=999;BYMONTHDAY=-1;BYSETPOS=5", "never"), ("FREQ=DAILY;BYDAY=MO;BYSETPOS=2,-3", "never"),
        ("FREQ=YEARLY;BYDAY=1MO,-52MO,-53MO;BYSETPOS=3", "never"), ("FREQ=MONTHLY;BYDAY=SU,MO,TU,WE,TH,FR;BYSETPOS=28", "never"),
    ])
    func whatIsNoRuleIsRefusedByItsPart(given: String, part: String) {
        #expect { try RecurrenceRule(given) } throws: { error in (error as? ValueFault)?.detail.contains(part) == true }
    }
}

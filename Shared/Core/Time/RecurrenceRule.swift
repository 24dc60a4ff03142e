/// When something recurs: a rule of RFC 5545 (RRULE), as far as it goes by days.
///
/// Of its parts there are FREQ (DAILY, WEEKLY, MONTHLY, YEARLY), INTERVAL, COUNT, UNTIL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS and WKST.
public struct RecurrenceRule: Hashable, Sendable {
    public enum Frequency: String, Sendable, CaseIterable {
        case daily = "DAILY"
        case weekly = "WEEKLY"
        case monthly = "MONTHLY"
        case yearly = "YEARLY"
    }

    /// What ends a series.
    public enum End: Hashable, Sendable {
        /// So many occurrences, the first included.
        case count(Int)
        /// The last instant that one may be at.
        case instant(Timestamp)
        /// The last day that one may be on.
        case day(CivilDay)
    }

    /// A day of the week, or with an ordinal one of them: the second Tuesday of a month, the last Friday (-1).
    struct Weekday: Hashable, Sendable, Comparable {
        var ordinal: Int64?
        /// From 0 for Monday.
        var day: Int64

        static func < (left: Self, right: Self) -> Bool { (left.ordinal ?? 0, left.day) < (right.ordinal ?? 0, right.day) }
    }

    public let frequency: Frequency
    public let interval: Int64
    /// `nil` for a series without end.
    public let end: End?
    let weekdays: [Weekday]
    /// Counted from the month's end where they are negative.
    let monthDays: [Int64]
    let months: [Int64]
    /// Which of a period's days count, from its end where they are negative; all when empty.
    let positions: [Int64]
    /// The day that a week begins with.
    let weekStart: Int64

    /// The longest rule that is read, in characters.
    public static let maximumLength = 255
    static let parts = ["FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"]
    static let weekdayNames = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"]
}

extension RecurrenceRule.Frequency {
    /// After so many periods without an occurrence there is none any more: the calendar repeats itself after 400 years, which are 146,097 days or
    /// 20,871 weeks, and whatever the interval, so many steps come by all that there is.
    fileprivate var patience: Int {
        switch self {
        case .daily: 146_097
        case .weekly: 20_871
        case .monthly: 4_800
        case .yearly: 400
        }
    }

    /// The most days of a period.
    fileprivate var longest: Int64 {
        switch self {
        case .daily: 1
        case .weekly: 7
        case .monthly: 31
        case .yearly: 366
        }
    }
}

/// Occurrences.
extension RecurrenceRule {
    /// Whether there is a day that it is for, whatever day the series begins on and however long the interval is. Of 28 years, 2001 to 2028, each kind is
    /// there: with and without the 29th of February, beginning on each day of the week. One of each kind is looked at.
    var isEver: Bool {
        if !positions.isEmpty, !positions.contains(where: { abs($0) <= room }) { return false }
        let rule = RecurrenceRule(
            frequency: frequency, interval: 1, end: nil, weekdays: weekdays, monthDays: monthDays, months: months, positions: positions,
            weekStart: weekStart)
        let first = CivilDay(year: 2001, month: 1, day: 1)
        var kinds: Set<[Int64]> = []
        return (0...Int64(frequency.patience * 28 / 400)).contains { period in
            if let kind = rule.kind(ofPeriod: period, from: first), !kinds.insert(kind).inserted { return false }
            return rule.days(ofPeriod: period, from: first)?.isEmpty == false
        }
    }

    /// So many days a period has at the most.
    private var room: Int64 { frequency == .weekly ? Int64(max(1, weekdays.count)) : frequency.longest }

    /// What decides, in a series that begins on a first of January, on which of its days a period has occurrences; `nil` where that is soon seen.
    private func kind(ofPeriod period: Int64, from first: CivilDay) -> [Int64]? {
        switch frequency {
        case .daily, .weekly: return nil
        case .monthly:
            let start = CivilDay(year: first.year + period / 12, month: period % 12 + 1, day: 1)
            if !months.isEmpty, !months.contains(start.month) { return nil }
            return [CivilDay.days(inMonth: start.month, of: start.year), start.weekday]
        case .yearly:
            let start = CivilDay(year: first.year + period, month: 1, day: 1)
            return [CivilDay.days(inYear: start.year), start.weekday]
        }
    }

    /// The first occurrence later than an instant, in the series that begins at one; `nil` when the series has ended by then. The clocks show the same
    /// time at each, whatever is done to them in between (``WallClock/instant(_:)``).
    ///
    /// COUNT does not come into it: who keeps a series knows how many there have been.
    public func next(after instant: Timestamp, startingAt start: Timestamp, in clock: WallClock) -> Timestamp? {
        let first = clock.local(start)
        // Periods do not depend on each other, so it begins shortly before the instant's, however long ago the series began.
        let days = max(0, clock.local(instant).day.days - first.day.days)
        let period = max(0, days / (frequency.longest * interval) - 1)
        return Days(rule: self, start: first.day, from: period).lazy.map { clock.instant(LocalTime($0, time: first.time)) }
            .first { $0 > instant }.flatMap { isWithin($0, in: clock) ? $0 : nil }
    }

    /// All occurrences of the series that begins at an instant, up to its end.
    public func occurrences(startingAt start: Timestamp, in clock: WallClock) -> some Sequence<Timestamp> {
        Occurrences(of: self, startingAt: clock.local(start), in: clock)
    }

    private struct Occurrences: Sequence, IteratorProtocol {
        private let rule: RecurrenceRule
        private let clock: WallClock
        private let time: Int64
        private var days: Days
        private var left: Int

        init(of rule: RecurrenceRule, startingAt start: LocalTime, in clock: WallClock) {
            self.rule = rule
            self.clock = clock
            time = start.time
            days = Days(rule: rule, start: start.day)
            left = if case .count(let count) = rule.end { count } else { Int.max }
        }

        mutating func next() -> Timestamp? {
            guard left > 0, let day = days.next() else { return nil }
            left -= 1
            let instant = clock.instant(LocalTime(day, time: time))
            if rule.isWithin(instant, in: clock) { return instant }
            left = 0
            return nil
        }
    }

    private func isWithin(_ instant: Timestamp, in clock: WallClock) -> Bool {
        switch end {
        case .instant(let last): instant <= last
        case .day(let last): clock.local(instant).day <= last
        case .count, nil: true
        }
    }

    /// The days of the series, without regard to its end. It goes from period to period: day, week, month or year, each as many further as the interval says.
    private struct Days: Sequence, IteratorProtocol {
        let rule: RecurrenceRule
        let start: CivilDay
        private var period: Int64
        private var found: ArraySlice<CivilDay> = []

        init(rule: RecurrenceRule, start: CivilDay, from period: Int64 = 0) {
            self.rule = rule
            self.start = start
            self.period = period
        }

        mutating func next() -> CivilDay? {
            var left = rule.frequency.patience
            while found.isEmpty {
                if left == 0 { return nil }
                left -= 1
                guard let days = rule.days(ofPeriod: period, from: start) else { return nil }
                period += 1
                found = days.filter { $0 >= start }[...]
            }
            return found.removeFirst()
        }
    }

    /// The occurrences of a period in their order; `nil` beyond the years that four digits can write.
    private func days(ofPeriod period: Int64, from start: CivilDay) -> [CivilDay]? {
        let steps = period * interval
        var days: [CivilDay] = []
        switch frequency {
        case .daily:
            days = [CivilDay(days: start.days + steps)]
        case .weekly:
            let first = start.days - (start.weekday - weekStart + 7) % 7 + 7 * steps
            days = (0..<7).map { CivilDay(days: first + $0) }
        case .monthly:
            let month = start.year * 12 + start.month - 1 + steps
            days = candidates(ofMonth: month % 12 + 1, of: month / 12, from: start)
        case .yearly:
            let year = start.year + steps
            if year > 9999 { return nil }
            let chosen = months.isEmpty ? Array(1...12) : months.sorted()
            days = chosen.flatMap { candidates(ofMonth: $0, of: year, from: start) }
        }
        if let last = days.last, last.year > 9999 { return nil }
        let chosen = days.filter { isChosen($0, from: start) }
        guard !positions.isEmpty else { return chosen }
        return Set(positions.map { $0 > 0 ? $0 - 1 : Int64(chosen.count) + $0 }).sorted().compactMap { place in
            chosen.indices.contains(Int(place)) ? chosen[Int(place)] : nil
        }
    }

    /// The days of a month that ``isChosen(_:from:)`` may choose, in their order: each way to name days leads to a few.
    private func candidates(ofMonth month: Int64, of year: Int64, from start: CivilDay) -> [CivilDay] {
        if !months.isEmpty, !months.contains(month) { return [] }
        let length = CivilDay.days(inMonth: month, of: year)
        var numbers: Set<Int64> = []
        if !monthDays.isEmpty {
            for day in monthDays { numbers.insert(day > 0 ? day : length + 1 + day) }
        } else if !weekdays.isEmpty {
            let first = CivilDay(year: year, month: month, day: 1).weekday
            for weekday in weekdays {
                for day in stride(from: 1 + (weekday.day - first + 7) % 7, through: length, by: 7) { numbers.insert(day) }
            }
        } else {
            numbers.insert(start.day)
        }
        return numbers.filter { (1...length).contains($0) }.sorted().map { CivilDay(year: year, month: month, day: $0) }
    }

    /// What the rule does not say is as on the day on which the series begins (RFC 5545, section 3.3.10). So what recurs on the 31st does so in
    /// months that have one.
    private func isChosen(_ day: CivilDay, from start: CivilDay) -> Bool {
        if !months.isEmpty, !months.contains(day.month) { return false }
        if !monthDays.isEmpty {
            let fromEnd = day.day - CivilDay.days(inMonth: day.month, of: day.year) - 1
            if !monthDays.contains(day.day), !monthDays.contains(fromEnd) { return false }
        }
        if !weekdays.isEmpty {
            let weekday = day.weekday
            return weekdays.contains { $0.day == weekday && ($0.ordinal.map { isNumber($0, of: day) } ?? true) }
        }
        switch frequency {
        case .daily: return true
        case .weekly: return day.weekday == start.weekday
        case .monthly: return !monthDays.isEmpty || day.day == start.day
        case .yearly: return !monthDays.isEmpty || day.day == start.day && (!months.isEmpty || day.month == start.month)
        }
    }

    /// Whether the day is that one of its weekday.
    private func isNumber(_ ordinal: Int64, of day: CivilDay) -> Bool {
        // Of the year, unless the rule is about months.
        let isOfYear = frequency == .yearly && months.isEmpty
        let number = isOfYear ? day.dayOfYear : day.day
        let length = isOfYear ? CivilDay.days(inYear: day.year) : CivilDay.days(inMonth: day.month, of: day.year)
        return ordinal == (number - 1) / 7 + 1 || ordinal == -((length - number) / 7 + 1)
    }
}

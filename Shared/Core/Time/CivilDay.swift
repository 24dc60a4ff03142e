/// A day of the Gregorian calendar, with no place and no time of day.
public struct CivilDay: Hashable, Sendable, Comparable {
    public var year: Int64
    /// From 1.
    public var month: Int64
    /// From 1.
    public var day: Int64

    /// - Precondition: the calendar has such a day.
    public init(year: Int64, month: Int64, day: Int64) {
        self.year = year
        self.month = month
        self.day = day
    }

    public static func < (left: Self, right: Self) -> Bool {
        (left.year, left.month, left.day) < (right.year, right.month, right.day)
    }

    // Calendar arithmetic after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".

    /// The day so many days after 1970-01-01, negative before it.
    public init(days: Int64) {
        let shifted = days + 719_468
        let era = shifted.divided(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    }

    /// Days since 1970-01-01, negative before it.
    public var days: Int64 {
        let shifted = month <= 2 ? year - 1 : year
        let era = shifted.divided(by: 400)
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    /// From 0 for Monday to 6 for Sunday; 1970-01-01 was a Thursday.
    var weekday: Int64 { days + 3 - (days + 3).divided(by: 7) * 7 }

    /// From 1.
    var dayOfYear: Int64 { days - CivilDay(year: year, month: 1, day: 1).days + 1 }

    /// The number of days in a month of the Gregorian calendar.
    static func days(inMonth month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    static func days(inYear year: Int64) -> Int64 { 337 + days(inMonth: 2, of: year) }

    /// Milliseconds since 1970-01-01T00:00 as a day and what is left of them.
    static func split(_ milliseconds: Int64) -> (day: CivilDay, rest: Int64) {
        let days = milliseconds.divided(by: LocalTime.day)
        return (CivilDay(days: days), milliseconds - days * LocalTime.day)
    }
}

extension CivilDay: CustomStringConvertible {
    /// RFC 3339, full-date: `2026-01-31`.
    public var description: String { String(Timestamp(milliseconds: days * LocalTime.day).description.prefix(10)) }
}

extension Int64 {
    /// Division rounded towards negative infinity.
    fileprivate func divided(by divisor: Int64) -> Int64 {
        let quotient = self / divisor
        return self % divisor < 0 ? quotient - 1 : quotient
    }
}

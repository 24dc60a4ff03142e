/// What a clock on a wall shows: a day and a time of day, without saying where.
public struct LocalTime: Hashable, Sendable, Comparable {
    public var day: CivilDay
    /// Milliseconds since midnight.
    public var time: Int64

    public init(_ day: CivilDay, time: Int64 = 0) {
        self.day = day
        self.time = time
    }

    public static func < (left: Self, right: Self) -> Bool { left.day == right.day ? left.time < right.time : left.day < right.day }

    /// Milliseconds of a day.
    static let day: Int64 = 86_400_000

    /// Milliseconds since 1970-01-01T00:00 by the same clock.
    var milliseconds: Int64 { day.days * Self.day + time }

    init(milliseconds: Int64) { (day, time) = CivilDay.split(milliseconds) }

    /// What the clock shows when it has gone on as far as from one time to another.
    public func advanced(from start: LocalTime, to end: LocalTime) -> LocalTime {
        LocalTime(milliseconds: milliseconds + end.milliseconds - start.milliseconds)
    }
}

/// The clocks of a time zone, which are set forward and back.
public struct WallClock: Sendable {
    /// Milliseconds that the clocks are ahead of UTC at an instant; negative when they are behind.
    private let offset: @Sendable (Timestamp) -> Int64

    public init(offset: @escaping @Sendable (Timestamp) -> Int64) { self.offset = offset }

    public static let utc = WallClock { _ in 0 }

    public func local(_ instant: Timestamp) -> LocalTime { LocalTime(milliseconds: instant.milliseconds + offset(instant)) }

    /// When the clocks show a time (RFC 5545, section 3.3.5): of a time that they show twice the first, and for one that they pass over as far
    /// behind the jump as it lies behind its beginning, so 02:30 is 03:30.
    public func instant(_ local: LocalTime) -> Timestamp {
        let shown = local.milliseconds
        // Clocks are at most 14 hours ahead of UTC and 12 behind, so these lie before and after the instant, whichever it is.
        let before = offset(Timestamp(milliseconds: shown - 15 * 3_600_000))
        let after = offset(Timestamp(milliseconds: shown + 13 * 3_600_000))
        let first = Timestamp(milliseconds: shown - before)
        if before == after || offset(first) == before { return first }
        // They were set in between. Past a jump forward nothing is shown by the clocks of then, and the offset before it counts.
        let second = Timestamp(milliseconds: shown - after)
        return offset(second) == after ? second : first
    }

    /// The first instant of the day on which an instant is, and the first behind that day.
    public func day(of instant: Timestamp) -> (start: Timestamp, end: Timestamp) {
        let day = local(instant).day
        return (self.instant(LocalTime(day)), self.instant(LocalTime(CivilDay(days: day.days + 1))))
    }
}

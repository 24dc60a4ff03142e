import NIOCore

/// How many were admitted in the last period, and when; a few of them under one time, that of the last, so that it is never less than
/// what was admitted.
struct SlidingWindow: Sendable {
    struct Entry: Equatable, Sendable {
        var at: NIODeadline
        var count: Int
    }

    let period: TimeAmount
    /// So many are noted under one time.
    let part: Int
    /// The oldest first.
    private(set) var entries: [Entry] = []
    private(set) var total = 0

    init(period: TimeAmount, part: Int) {
        self.period = period
        self.part = part
    }

    var isEmpty: Bool { entries.isEmpty }

    mutating func add(_ count: Int = 1, at now: NIODeadline) {
        total += count
        let last = entries.count - 1
        if last >= 0, entries[last].count + count <= part {
            entries[last].count += count
            entries[last].at = max(entries[last].at, now)
        } else {
            forget(now: now)
            entries.append(Entry(at: max(entries.last?.at ?? now, now), count: count))
        }
    }

    /// Takes back one of the newest; `false` when there is none.
    mutating func takeBack() -> Bool {
        guard let last = entries.last else { return false }
        total -= 1
        if last.count == 1 { entries.removeLast() } else { entries[entries.count - 1].count -= 1 }
        return true
    }

    /// Drops what has left the window.
    mutating func forget(now: NIODeadline) {
        let left = entries.firstIndex { $0.at + period > now } ?? entries.count
        guard left > 0 else { return }
        for entry in entries[..<left] { total -= entry.count }
        entries.removeFirst(left)
    }

    mutating func removeAll() {
        entries.removeAll(keepingCapacity: true)
        total = 0
    }

    /// Puts what is newer behind.
    mutating func append(_ newer: SlidingWindow) {
        entries += newer.entries
        total += newer.total
    }

    /// Takes over what the other one has.
    mutating func replace(by other: SlidingWindow) {
        entries = other.entries
        total = other.total
    }
}

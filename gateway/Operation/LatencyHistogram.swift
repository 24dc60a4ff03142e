/// Durations by bucket; the lowest tell apart what a request takes that nobody keeps waiting.
struct LatencyHistogram: Sendable {
    /// Upper bounds in microseconds; one more bucket counts the rest.
    static let bounds = [
        50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
    ]

    private(set) var counts = [Int](repeating: 0, count: bounds.count + 1)
    /// Microseconds.
    private(set) var sum = 0

    mutating func record(microseconds: Int) {
        var bucket = 0
        while bucket < Self.bounds.count, microseconds > Self.bounds[bucket] { bucket += 1 }
        counts[bucket] += 1
        sum += microseconds
    }

    mutating func add(_ other: LatencyHistogram) {
        for index in counts.indices { counts[index] += other.counts[index] }
        sum += other.sum
    }
}

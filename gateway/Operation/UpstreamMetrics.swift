import NIOCore
import Operations

/// What one address of a service has done, as one event loop saw it, or all together.
struct UpstreamMetrics: Sendable {
    struct Key: Hashable, Sendable {
        var service: ServiceName
        var address: UpstreamAddress
    }

    /// Time until the head of the answer.
    private(set) var durations = LatencyHistogram()
    /// Connections that could not be made, and answers that did not come whole.
    private(set) var failures = 0
    // Figures of the moment.
    var connections = 0
    var inFlight = 0
    /// Connections that each event loop may have.
    var limit = 0
    /// Event loops that hold the address back.
    var ejections = 0

    mutating func answered(in time: TimeAmount) { durations.record(microseconds: Int(time.nanoseconds / 1000)) }
    mutating func failed() { failures += 1 }

    mutating func add(_ other: UpstreamMetrics) {
        durations.add(other.durations)
        failures += other.failures
        connections += other.connections
        inFlight += other.inFlight
        limit += other.limit
        ejections += other.ejections
    }
}

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

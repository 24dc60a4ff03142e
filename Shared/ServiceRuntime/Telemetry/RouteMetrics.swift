import Core
import Synchronization

/// Counts and times requests by route template; a path as sent is never a label, since anybody can invent those.
public final class RouteMetrics: Sendable {
    /// Upper bounds of the histogram's buckets in microseconds.
    private static let bounds: [Int64] = [500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000]

    private struct Counts {
        /// Requests by hundreds of the status: 1xx to 5xx.
        var statuses = [Int](repeating: 0, count: 6)
        var buckets = [Int](repeating: 0, count: RouteMetrics.bounds.count + 1)
        var microseconds: Int64 = 0
    }

    private let labels: [String]
    /// One lock a route, so that routes do not wait for each other; the last is for requests that match none.
    private let counts: [Slot]

    private final class Slot: Sendable {
        let value = Mutex(Counts())
    }

    public init(routes: [Route]) {
        labels = routes.map { "method=\"\($0.method.rawValue)\",route=\"\($0.path)\"" } + ["method=\"-\",route=\"-\""]
        counts = labels.map { _ in Slot() }
    }

    func record(route: Int?, status: Int, duration: Duration) {
        let microseconds = Int64(duration / .microseconds(1))
        counts[route ?? counts.count - 1].value.withLock { counts in
            counts.statuses[min(max(status / 100, 0), 5)] += 1
            counts.microseconds += microseconds
            let bucket = Self.bounds.firstIndex { microseconds <= $0 } ?? Self.bounds.count
            counts.buckets[bucket] += 1
        }
    }

    /// Appends the Prometheus text (exposition format 0.0.4).
    func write(to text: inout String) {
        text += "# TYPE martlet_http_requests_total counter\n"
        for (label, slot) in zip(labels, counts) {
            let counts = slot.value.withLock { $0 }
            for (hundreds, count) in counts.statuses.enumerated() where count > 0 {
                text += "martlet_http_requests_total{\(label),status=\"\(hundreds)xx\"} \(count)\n"
            }
        }
        text += "# TYPE martlet_http_request_duration_seconds histogram\n"
        for (label, slot) in zip(labels, counts) {
            let counts = slot.value.withLock { $0 }
            let total = counts.buckets.reduce(0, +)
            if total == 0 { continue }
            var below = 0
            for (bound, count) in zip(Self.bounds, counts.buckets) {
                below += count
                text += "martlet_http_request_duration_seconds_bucket{\(label),le=\"\(Double(bound) / 1_000_000)\"} \(below)\n"
            }
            text += "martlet_http_request_duration_seconds_bucket{\(label),le=\"+Inf\"} \(total)\n"
            text += "martlet_http_request_duration_seconds_sum{\(label)} \(Double(counts.microseconds) / 1_000_000)\n"
            text += "martlet_http_request_duration_seconds_count{\(label)} \(total)\n"
        }
    }
}

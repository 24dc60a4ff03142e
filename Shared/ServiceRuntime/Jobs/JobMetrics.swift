import Synchronization

/// How a job came out of a process's hands.
enum JobOutcome: String, CaseIterable {
    case succeeded, cancelled
    /// For good: a dead letter.
    case failed
    /// The attempt failed, and there will be another.
    case retried
    /// It waits for its next turn.
    case handedBack = "handed_back"
    /// Another process has taken it, or what became of it could not be kept; in the latter case its lease runs out.
    case lost
    /// Of a kind that this release does not know.
    case unknown
}

/// What has become of jobs in this process, and what waits in the queue, for `/metrics`.
final class JobMetrics: Sendable {
    private struct Kind {
        var outcomes: [JobOutcome: Int] = [:]
        var duration: Duration = .zero
    }

    private struct Values {
        var kinds: [String: Kind] = [:]
        var running = 0
        /// Not known before the first look.
        var backlog: (jobs: Int, age: Duration)?
    }

    private let values: Mutex<Values>

    /// - Parameter kinds: the label of those alone; what a row says of others is no label.
    init(kinds: [String]) {
        values = Mutex(Values(kinds: Dictionary(kinds.map { ($0, Kind()) }) { first, _ in first }))
    }

    func begin() { values.withLock { $0.running += 1 } }

    /// Counts one that has begun.
    func end(_ kind: String, _ outcome: JobOutcome, after duration: Duration) {
        values.withLock { values in
            values.running -= 1
            let label = values.kinds[kind] == nil ? "-" : kind
            values.kinds[label, default: Kind()].outcomes[outcome, default: 0] += 1
            values.kinds[label]?.duration += duration
        }
    }

    /// Notes what waits, as of now.
    func backlog(_ jobs: Int, age: Duration) {
        values.withLock { $0.backlog = (jobs, age) }
    }

    func count(_ kind: String, _ outcome: JobOutcome) -> Int { values.withLock { $0.kinds[kind]?.outcomes[outcome] ?? 0 } }

    /// Appends the Prometheus text (exposition format 0.0.4).
    func write(to text: inout String) {
        let values = values.withLock { $0 }
        var gauges = [("running", "Jobs in the hands of this process.", "\(values.running)")]
        if let backlog = values.backlog {
            gauges += [
                ("queued", "Jobs of all tenants that are due, counted up to 10,000; the same in every process.", "\(backlog.jobs)"),
                ("oldest_seconds", "Since when the oldest of them is due; the same in every process.", "\(backlog.age / .seconds(1))"),
            ]
        }
        for (name, help, value) in gauges {
            text += "# HELP martlet_jobs_\(name) \(help)\n# TYPE martlet_jobs_\(name) gauge\nmartlet_jobs_\(name) \(value)\n"
        }
        let kinds = values.kinds.sorted { $0.key < $1.key }
        text += "# HELP martlet_jobs_total Turns of jobs, by what came of them.\n# TYPE martlet_jobs_total counter\n"
        for (kind, counts) in kinds {
            for outcome in JobOutcome.allCases {
                if let count = counts.outcomes[outcome] {
                    text += "martlet_jobs_total{kind=\"\(kind)\",outcome=\"\(outcome.rawValue)\"} \(count)\n"
                }
            }
        }
        text += "# HELP martlet_jobs_duration_seconds Time that turns took.\n# TYPE martlet_jobs_duration_seconds summary\n"
        for (kind, counts) in kinds where !counts.outcomes.isEmpty {
            text += "martlet_jobs_duration_seconds_sum{kind=\"\(kind)\"} \(counts.duration / .seconds(1))\n"
            text += "martlet_jobs_duration_seconds_count{kind=\"\(kind)\"} \(counts.outcomes.values.reduce(0, +))\n"
        }
    }
}

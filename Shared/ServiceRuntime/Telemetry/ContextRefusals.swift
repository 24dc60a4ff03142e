import Core
import Synchronization

/// Counts requests that were refused for their signed context, by the code that they were answered with. One that grows says that somebody
/// calls past the gateway, that a key is missing somewhere, or that clocks differ.
final class ContextRefusals: Sendable {
    private static let codes = [ErrorCode.unauthenticated, .deadlineExceeded, .clockSkew]
    private let counts = Mutex([Int](repeating: 0, count: codes.count))

    /// Does what may refuse, and counts when it does.
    func counting<Value>(_ body: () throws(Problem) -> Value) throws(Problem) -> Value {
        do { return try body() } catch {
            if let place = Self.codes.firstIndex(of: error.code) { counts.withLock { $0[place] += 1 } }
            throw error
        }
    }

    /// Appends the Prometheus text (exposition format 0.0.4).
    func write(to text: inout String) {
        text += "# HELP martlet_context_refused_total Requests refused for their signed context.\n"
        text += "# TYPE martlet_context_refused_total counter\n"
        for (code, count) in zip(Self.codes, counts.withLock { $0 }) {
            text += "martlet_context_refused_total{code=\"\(code.rawValue)\"} \(count)\n"
        }
    }
}

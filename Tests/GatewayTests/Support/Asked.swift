import Contracts
import NIOCore

/// What was asked of a limit, and between which times it was decided.
struct Asked: Sendable {
    var before: NIODeadline
    var after: NIODeadline
    var isAdmitted: Bool

    /// How often more than the limit was admitted in less than its period, whenever within its two times each was decided.
    static func violations(of policy: RateLimit, _ asked: [Asked]) -> Int {
        let admitted = asked.filter(\.isAdmitted).sorted { $0.after < $1.after }
        guard admitted.count > policy.count else { return 0 }
        return (0..<admitted.count - policy.count).count { index in
            let oneTooMany = admitted[index...index + policy.count]
            let first = oneTooMany.lazy.map(\.before).min() ?? admitted[index].before
            return admitted[index + policy.count].after - first < .seconds(Int64(policy.period))
        }
    }

    /// How many an exact limit, which notes each single request, would have admitted of those that asked.
    static func exactly(_ policy: RateLimit, _ asked: [Asked]) -> Int {
        var admitted: [NIODeadline] = []
        for time in asked.map(\.before).sorted() {
            let oldest = admitted.count - policy.count
            if oldest < 0 || time - admitted[oldest] >= .seconds(Int64(policy.period)) { admitted.append(time) }
        }
        return admitted.count
    }
}

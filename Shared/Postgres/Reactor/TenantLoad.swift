import Core

/// How many tenants have a batch on the fast lane of a reactor. Used by the reactor's thread only.
final class ActiveTenants {
    var count = 0
}

/// What one tenant has on the connections of one reactor, so that its share can be held. Used by the reactor's thread only.
final class TenantLoad {
    /// Batches on each connection of the fast lane.
    private var batches: [Int]
    /// Connections of the fast lane with at least one of its batches.
    private(set) var connections = 0
    /// Transactions and batches that have a connection of the bulk lane.
    var checkouts = 0
    /// Those of them that are there because they run long.
    var longCheckouts = 0
    /// Until then its writes have connections of their own, since one has just waited too long for a lock. Nanoseconds of the
    /// monotonic clock.
    var contendedUntil: Int64 = 0
    /// Texts that took longer than the fast lane lets them, each with the instant until which that is remembered.
    private var longTexts: [Int: Int64] = [:]

    /// More texts than that are forgotten together: the tenant that makes them up pays with the time of finding out again.
    private static let maximumLongTexts = 64

    private let active: ActiveTenants

    init(connections: Int, among active: ActiveTenants) {
        batches = Array(repeating: 0, count: connections)
        self.active = active
    }

    func begin(on connection: Int) {
        if connections == 0 { active.count += 1 }
        if batches[connection] == 0 { connections += 1 }
        batches[connection] += 1
    }

    func end(on connection: Int) {
        batches[connection] -= 1
        if batches[connection] == 0 { connections -= 1 }
        if connections == 0 { active.count -= 1 }
    }

    func isOn(_ connection: Int) -> Bool { batches[connection] > 0 }

    func remember(longText hash: Int, until instant: Int64) {
        if longTexts.count >= Self.maximumLongTexts { longTexts.removeAll(keepingCapacity: true) }
        longTexts[hash] = instant
    }

    /// Whether one of the statements is known to run long.
    func knowsAsLong(_ statements: [SQL], at now: Int64) -> Bool {
        guard !longTexts.isEmpty else { return false }
        return statements.contains { statement in
            let hash = statement.text.hashValue
            guard let until = longTexts[hash] else { return false }
            if until > now { return true }
            longTexts[hash] = nil
            return false
        }
    }

    /// Nothing would be lost with it.
    func isForgettable(at now: Int64) -> Bool {
        connections == 0 && checkouts == 0 && contendedUntil <= now && longTexts.allSatisfy { $0.value <= now }
    }
}
